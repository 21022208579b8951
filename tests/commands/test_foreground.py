import asyncio
import gc
from contextlib import asynccontextmanager

from fakes import FakeService, picture, reply

import batchgen
from batchgen.bedrock import Endpoint, OpenRoute
from batchgen.commands.foreground import ForegroundRun
from batchgen.runner import Batch, RunOptions


class Looking(FakeService):
    """A service that notes how many objects the collector leaves alone while it is called."""

    def __init__(self, frozen):
        super().__init__((reply(picture()),))
        self.frozen = frozen

    async def invoke(self, model_id, body):
        self.frozen.append(gc.get_freeze_count())
        return await super().invoke(model_id, body)

    async def renew(self):
        return True


def options(folder, frozen):
    """A run of one task."""

    @asynccontextmanager
    async def opened(*_):
        service = Looking(frozen)
        yield Endpoint(routes=(OpenRoute(service=service, renew=service.renew),))

    item = batchgen.Item(id="mug", prompt="a mug")
    job = batchgen.Job(
        name="one",
        endpoint="http://127.0.0.1:1",
        model="stability.stable-image-core-v1:1",
        output=str(folder),
        items=[item],
    )
    return RunOptions(job=job, open_service=opened)


def test_the_collector_passes_over_what_was_loaded_while_a_run_calls(tmp_path):
    """By the command or in somebody's program, and no longer; what a program froze stays so."""
    gc.unfreeze()  # what a test before this one may have frozen in this process
    frozen = []
    ForegroundRun(options(tmp_path / "a", frozen), quiet=True).run()
    asyncio.run(Batch(options(tmp_path / "b", frozen)).run())
    assert min(frozen) > 1000
    assert gc.get_freeze_count() == 0
    gc.freeze()
    its_own = gc.get_freeze_count()
    try:
        asyncio.run(Batch(options(tmp_path / "c", frozen)).run())
        assert 0 < frozen[-1] <= its_own
        assert 0 < gc.get_freeze_count() <= its_own
    finally:
        gc.unfreeze()
