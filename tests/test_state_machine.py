"""Whatever happens in whatever order, what was paid for is there and on record."""

import asyncio
import hashlib
import json
import shutil
import tempfile
from collections import namedtuple
from contextlib import asynccontextmanager
from pathlib import Path
from unittest import mock

from fakes import ERRORS, FakeAnswer, picture, reply
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from virtual_time import run as run_virtually

from batchgen import manifest
from batchgen.batch import Batch
from batchgen.endpoint import Opened
from batchgen.errors import AnswerLost, Filtered, NeverSent, Rejected, ServiceFault, Throttled
from batchgen.job import Item, Job
from batchgen.order import Order
from batchgen.record import MovedLine, Record, Status
from batchgen.select import Selection

CORE = "stability.stable-image-core-v1:1"
CONCURRENCY = 2
CHARGED = {"good", "lost", "fault", "broken"}
ENDS = {
    "throttled": Throttled,
    "unsent": NeverSent,
    "lost": AnswerLost,
    "fault": ServiceFault,
    "filtered": Filtered,
    "rejected": Rejected,
}
STEPS = st.lists(st.sampled_from([*ENDS, "broken", "good", "good", "good"]), max_size=8)
Usage = namedtuple("Usage", "total used free")  # noqa: PYI024  # as shutil's own


class Killed(BaseException):
    """The process is gone: nobody catches this."""


class Books:
    """What the service charged, over all runs."""

    def __init__(self):
        self.charged = 0
        self.without_image = 0
        """Charged calls that no image came of: lost answers, failures, unusable replies."""
        self.calls = 0


class Service:
    """Follows a script, then makes what is asked for; may be the end of the process."""

    def __init__(self, books, script=(), kill_at=None):
        self.books, self.script, self.kill_at = books, iter(script), kill_at
        self.made = 0

    async def invoke(self, model_id, body):
        await asyncio.sleep(1)
        step = next(self.script, "good")
        self.made += 1
        self.books.calls += 1
        self.books.charged += step in CHARGED
        self.books.without_image += step in CHARGED and step != "good"
        if self.made == self.kill_at:
            raise Killed
        await asyncio.sleep(1)
        if step in ENDS:
            raise ERRORS[ENDS[step]]
        request = json.loads(body)
        shade = hashlib.sha256(request["prompt"].encode()).digest()[0]
        image = picture("png", size=(8, 1 + request["seed"] % 50), shade=shade)
        data = image[:-6] if step == "broken" else image
        return FakeAnswer(body=reply(data, seeds=[request["seed"]]))

    async def renew(self):
        return True


class Machine(RuleBasedStateMachine):
    """One output folder, and everything that may befall it."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.books = Books()
        self.versions = {}
        self.kills = 0
        self.full = False
        self.recorded = set()
        """Hash of every image that ever was on record."""

    def teardown(self):
        shutil.rmtree(self.folder)

    @rule()
    def submit(self):
        """Another item stands in the job."""
        self.versions[f"item-{len(self.versions)}"] = 0

    @precondition(lambda self: self.versions)
    @rule(data=st.data(), version=st.integers(0, 2))
    def edit(self, data, version):
        """A prompt is changed, or changed back."""
        self.versions[data.draw(st.sampled_from(sorted(self.versions)))] = version

    @rule(full=st.booleans())
    def fill(self, full):
        """The disk has no room, or has some again."""
        self.full = full

    @precondition(lambda self: self.versions)
    @rule(script=STEPS)
    def resume(self, script):
        """A run, in which calls may be throttled, lost, filtered, rejected."""
        self.run(Service(self.books, script))

    @precondition(lambda self: self.versions)
    @rule(script=STEPS, kill_at=st.integers(1, 6))
    def crash(self, script, kill_at):
        """A run that is killed in its n-th call, if it gets so far."""
        try:
            self.run(Service(self.books, script, kill_at))
        except BaseExceptionGroup as group:
            if group.subgroup(Killed) is None:
                raise
            self.kills += 1

    @precondition(lambda self: self.versions)
    @rule()
    def finish(self):
        """Undisturbed, a run makes everything; and then there is nothing left to make."""
        self.full = False
        summary = self.run(Service(self.books), retry_filtered=True)
        assert summary.exit_code == 0
        calls = self.books.calls
        assert self.run(Service(self.books), retry_filtered=True).exit_code == 0
        assert self.books.calls == calls
        shown = {path.name for path in (self.folder / "images").iterdir()}
        assert shown == {f"{name}-1.png" for name in self.versions}

    def run(self, service, **selection):
        @asynccontextmanager
        async def opened(*_):
            yield Opened(service=service, renew=service.renew)

        async def main():
            order = Order(
                job=self.job(),
                selection=Selection(**selection),
                open_service=opened,
                clock=asyncio.get_running_loop().time,
            )
            return await Batch(order).run()

        free = 0 if self.full else 10**12
        with mock.patch.object(shutil, "disk_usage", return_value=Usage(10**12, 0, free)):
            return run_virtually(main())

    def job(self):
        return Job(
            name="machine",
            endpoint="simulator",
            model=CORE,
            output=str(self.folder),
            items=[
                Item(id=name, prompt=f"{name} in version {version}")
                for name, version in self.versions.items()
            ],
            limits={"concurrency": CONCURRENCY, "requests_per_minute": 600.0},
        )

    @invariant()
    def what_is_on_record_is_there(self):
        """Every record's image exists with its hash; none that was ever recorded is gone."""
        latest, where = {}, {}
        for line in self.lines():
            if isinstance(line, Record):
                latest[line.task_id] = line
                where.pop(line.task_id, None)
                self.recorded.update(image.sha256 for image in line.images)
            elif isinstance(line, MovedLine):
                where[line.task_id] = line.new_path
        for task_id, record in latest.items():
            if record.status is Status.SUCCEEDED:
                (image,) = record.images
                path = self.folder / where.get(task_id, image.path)
                assert digest(path) == image.sha256
        assert self.recorded <= {digest(path) for path in self.folder.rglob("*.png")}

    @invariant()
    def nothing_is_paid_twice_without_need(self):
        """Charged: an image on record, a call that brought none, or in flight at a kill."""
        records = [line for line in self.lines() if isinstance(line, Record)]
        images = sum(len(record.images) for record in records)
        assert self.books.charged <= images + self.books.without_image + self.kills * CONCURRENCY

    def lines(self):
        path = self.folder / manifest.NAME
        return list(manifest.read(path)) if path.exists() else []


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=40,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
