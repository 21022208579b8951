import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from fakes import (
    CORE,
    ERRORS,
    PRICE,
    SENT,
    Books,
    make_generation,
    make_image,
    make_task,
    picture,
)

from batchgen.attempt import Failed, Succeeded
from batchgen.errors import (
    AnswerLost,
    CredentialsRefused,
    Filtered,
    Misconfigured,
    NeverSent,
    QuotaExhausted,
    Rejected,
    ServiceFault,
    Throttled,
    Unavailable,
)
from batchgen.job import FailureLimit
from batchgen.models import Artifact
from batchgen.output.images import inspect_image
from batchgen.policies.retry import NOT_BILLED, Retry
from batchgen.policies.stop import StopCause
from batchgen.runner.options import Observer
from batchgen.runner.recorder import SHARE_SPEAKS_FROM, SIZES_TOLD, UNSENT_ATTEMPTS, exceeded

CONTRACT = [
    "kind",
    "run_id",
    "task_id",
    "label",
    "item_id",
    "vars",
    "status",
    "model_id",
    "region",
    "endpoint",
    "seed",
    "request",
    "images",
    "finish_reasons",
    "attempts",
    "request_id",
    "started_at",
    "finished_at",
    "latency_ms",
    "cost_usd",
    "maybe_billed",
    "maybe_billed_usd",
    "error",
]


@pytest.fixture
def opened(tmp_path):
    """Makes books; all are closed in the end."""
    made = []

    def open_books(**options):
        made.append(Books(tmp_path, **options))
        return made[-1]

    yield open_books
    for each in made:
        each.manifest.close()


COUNTS = {"attempts": 1, "maybe_billed": 0, "maybe_billed_usd": Decimal(0), "sent": SENT}


def succeeded(task=None, **changes):
    """A task that was made."""
    values = {**COUNTS, "generation": make_generation()}
    return Succeeded(task=task or make_task(), **{**values, **changes})


def failed(error, task=None, **changes):
    """A task that this error ended."""
    values = {**COUNTS, "error": error}
    return Failed(task=task or make_task(), **{**values, **changes})


async def line_of(books, made):
    """The line that an outcome becomes."""
    await books.recorder.conclude(made)
    return books.lines()[-1]


class TestOpen:
    async def test_why_a_task_stays_open_is_told_once_for_each_kind(self, opened):
        """A run that ends with 3 and was not stopped says why; one that was stopped says that."""
        books = opened()
        for kind in (Throttled, Throttled, Unavailable):
            await books.recorder.conclude(failed(ERRORS[kind], make_task(label=f"mug/{kind}")))
        told = books.listener.notices
        assert [Throttled.__name__ in told[0], Unavailable.__name__ in told[1]] == [True, True]
        assert "stays open: " in told[0]
        assert ERRORS[Throttled].message in told[0]
        books.stop.apply(StopCause.INTERRUPTED, who="SIGTERM")
        await books.recorder.conclude(failed(ERRORS[NeverSent]))
        assert len(told) == 2
        assert books.lines() == []


class TestSize:
    def asked(self, ratio):
        """A task that asks for this ratio."""
        request = {"prompt": "a mug", "seed": 7, "output_format": "png", "aspect_ratio": ratio}
        return make_task(request=request)

    def came(self, task, width, height):
        """A picture of this size, of this task."""
        image = make_image(path=f"images/{task.item_id}.png", width=width, height=height)
        return succeeded(task, generation=make_generation(images=(image,)))

    async def test_a_picture_of_another_size_is_kept_and_told_of(self, opened):
        """With both sizes, and on record as what it is."""
        books, task = opened(), self.asked("16:9")
        line = await line_of(books, self.came(task, 1024, 1024))

        assert (line["status"], line["images"][0]["width"]) == ("succeeded", 1024)
        (notice,) = books.listener.notices
        assert notice.startswith(
            f"images/{task.item_id}.png is 1024x1024, and 16:9 was asked for: it is kept."
        )

    async def test_a_picture_of_the_right_shape_is_not_told_of(self, opened):
        """Whatever its size in pixels."""
        books = opened()
        await line_of(books, self.came(self.asked("16:9"), 1344, 768))
        assert books.listener.notices == []

    async def test_each_kind_is_told_once(self, opened):
        """Ten thousand wrong pictures are not ten thousand lines."""
        books = opened()
        for number in range(40):
            await line_of(books, self.came(self.asked("16:9"), 1024, 1024))
            await line_of(books, self.came(self.asked("16:9"), 64, 64 + number))

        assert len(books.listener.notices) == SIZES_TOLD


class TestRecord:
    async def test_a_success(self, opened):
        """Every field of the contract, in its order, from task, run and generation."""
        task, before = make_task(), datetime.now(UTC)
        line = await line_of(
            opened(), succeeded(task, attempts=3, maybe_billed=1, maybe_billed_usd=PRICE)
        )
        assert list(line) == CONTRACT
        finished = datetime.fromisoformat(line.pop("finished_at"))
        assert before.replace(microsecond=0) <= finished <= datetime.now(UTC)
        assert line == {
            "kind": "record",
            "run_id": "run-1",
            "task_id": task.id,
            "label": task.label,
            "item_id": task.item_id,
            "vars": {"style": "studio"},
            "status": "succeeded",
            "model_id": CORE,
            "region": "us-west-2",
            "endpoint": "simulator",
            "seed": task.seed,
            "request": dict(task.request),
            "images": [make_image().model_dump()],
            "finish_reasons": [None],
            "attempts": 3,
            "request_id": "r-1",
            "started_at": "2026-11-21T12:00:00.000Z",
            "latency_ms": 2890,
            "cost_usd": 0.04,
            "maybe_billed": 1,
            "maybe_billed_usd": 0.04,
            "error": None,
        }

    async def test_a_failure(self, opened):
        """Nothing was made, nothing surely billed, and why stands in `error`."""
        error = ServiceFault("It failed.", code="ModelErrorException", request_id="r-7")
        line = await line_of(opened(), failed(error, attempts=3, maybe_billed=3))
        assert list(line) == CONTRACT
        assert line["status"] == "failed"
        assert (line["images"], line["finish_reasons"]) == ([], [])
        assert (line["attempts"], line["maybe_billed"], line["cost_usd"]) == (3, 3, 0.0)
        assert (line["request_id"], line["latency_ms"]) == ("r-7", None)
        assert line["started_at"] == "2026-11-21T12:00:00.000Z"
        assert line["error"] == {
            "type": "ServiceFault",
            "code": "ModelErrorException",
            "message": "It failed.",
            "retryable": True,
        }

    @pytest.mark.parametrize("came", [True, False])
    async def test_a_filtered_one(self, opened, came):
        """The service's words are kept; an image that came beside them may have been billed."""
        reasons = ("Filter reason: output image", None)
        error = Filtered("words", code="Filtered", finish_reasons=reasons, image_came=came)
        line = await line_of(opened(), failed(error, maybe_billed=1))
        assert line["status"] == "filtered"
        assert line["finish_reasons"] == list(reasons)
        assert (line["images"], line["cost_usd"]) == ([], 0.0)
        assert line["maybe_billed"] == 1 + came
        assert line["error"]["type"] == "Filtered"
        assert line["error"]["retryable"] is False

    @pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
    async def test_every_error_has_its_name(self, opened, kind):
        """`error.type` is the name of the class, for programs; some never come to a record."""
        books = opened()
        await books.recorder.conclude(succeeded())  # so that nothing stays open
        line = await line_of(books, failed(ERRORS[kind]))
        if kind in (*NOT_BILLED, Misconfigured, QuotaExhausted):
            assert line["status"] == "succeeded"  # the one before: its task stays open
            return
        assert line["error"]["type"] == kind.__name__
        assert line["status"] == ("filtered" if kind is Filtered else "failed")

    @pytest.mark.parametrize("made", [succeeded(), failed(ERRORS[Rejected])])
    async def test_an_unknown_price_is_null(self, opened, made):
        """Where nobody knows the price, nobody says 0 either."""
        made = replace(made, task=replace(made.task, price_usd=None))
        assert (await line_of(opened(), made))["cost_usd"] is None

    async def test_an_attempt_that_was_never_sent_started_now(self, opened):
        """There is always a time."""
        line = await line_of(opened(), failed(Rejected("words", code="Code"), sent=None))
        assert line["started_at"] == line["finished_at"]

    async def test_words_of_the_service_cannot_break_a_line(self, opened):
        """Line ends, controls and half characters come back as they were said."""
        said = "a\u2028b\r\n\x1b[31m\ud800"
        line = await line_of(opened(), failed(Rejected(said, code="Code")))
        assert line["error"]["message"] == said


class TestConclude:
    async def test_the_temporary_name_goes_when_the_record_is_durable(self, opened, monkeypatch):
        """Until the line is synced the file keeps both names, after it only its own."""
        books, task = opened(), make_task()
        data = picture()
        artifact = Artifact(data=data, seed=1, finish_reason=None)
        stored = await books.store.save(task.file_stem, task.id, artifact, inspect_image(data))
        seen, sync = [], os.fdatasync

        def note(descriptor):
            sync(descriptor)
            seen.extend(books.files())

        monkeypatch.setattr(os, "fdatasync", note)
        await books.recorder.conclude(succeeded(task, generation=make_generation(images=(stored,))))
        assert len(seen) == 2
        assert books.files() == [stored.path]

    async def test_everybody_is_told_after_that(self, opened):
        """Tally and observer hear of a task when its record is on the disk."""
        books = opened()
        line = await line_of(books, succeeded())
        assert [record.task_id for record in books.listener.records] == [line["task_id"]]
        assert sum(books.tally.counts.values()) == 1

    def test_whoever_does_not_listen_hears_nothing(self):
        """The default observer does nothing."""
        silent = Observer()
        assert silent.record(None) is silent.retry(None) is silent.notice("x") is None


class TestOpenTasks:
    @pytest.mark.parametrize("kind", NOT_BILLED, ids=lambda kind: kind.__name__)
    async def test_what_only_the_service_failed_stays_open(self, opened, kind):
        """Where nothing at all was answered for half an hour, it is not the task that failed."""
        books = opened()
        books.clock.advance(1_800)
        await books.recorder.conclude(failed(ERRORS[kind]))
        assert books.lines() == []
        cause = StopCause.CREDENTIALS if kind is CredentialsRefused else StopCause.THROTTLED_OUT
        assert books.stop.stopping.cause is cause
        assert "words" in books.stop.stopping.text
        assert sum(books.tally.counts.values()) == 0

    @pytest.mark.parametrize("kind", NOT_BILLED, ids=lambda kind: kind.__name__)
    async def test_while_others_succeed_it_stays_open_as_well(self, opened, kind):
        """The next run makes it; this one goes on."""
        books = opened()
        await books.recorder.conclude(succeeded())
        books.clock.advance(1_799)
        await books.recorder.conclude(failed(ERRORS[kind]))
        assert len(books.lines()) == 1
        assert books.stop.stopping is None

    async def test_a_used_up_quota_leaves_its_tasks_open(self, opened):
        """They are made when there is quota again; nothing says that they failed."""
        books = opened()
        await books.recorder.conclude(failed(ERRORS[QuotaExhausted]))
        assert (books.lines(), books.tally.left_denied) == ([], False)

    @pytest.mark.parametrize("kind", [AnswerLost, ServiceFault])
    async def test_failed_records_do_not_set_the_clock_back(self, opened, kind):
        """Half an hour of nothing but failures of the service is half an hour without success."""
        books = opened()
        for _ in range(2):
            books.clock.advance(900)
            await books.recorder.conclude(failed(ERRORS[kind], maybe_billed=2))
        assert len(books.lines()) == 2
        assert books.stop.stopping.cause is StopCause.THROTTLED_OUT

    @pytest.mark.parametrize("kind", [Rejected, Filtered])
    async def test_what_the_service_decides_is_an_answer(self, opened, kind):
        """It serves calls: the clock starts anew."""
        books = opened()
        for _ in range(4):
            books.clock.advance(900)
            await books.recorder.conclude(failed(ERRORS[kind]))
        assert books.stop.stopping is None

    async def test_it_gives_up_on_time_though_every_attempt_waits(self, opened):
        """Nobody has to try again for the run to end."""
        books = opened()
        books.recorder.retry(retry_of(Throttled))
        await books.recorder.watch(sleep=books.clock.sleep)
        assert books.stop.stopping.cause is StopCause.THROTTLED_OUT
        assert 1_800 <= books.clock.now - 1_000 <= 1_801

    async def test_a_slow_service_is_waited_for(self, opened):
        """It has refused nothing: its first answer may take long."""
        books = opened()

        async def sleep(seconds):
            await books.clock.sleep(seconds)
            if books.clock.now > 5_000:
                books.stop.request(StopCause.INTERRUPTED, "test")

        await books.recorder.watch(sleep=sleep)
        assert books.stop.stopping.cause is StopCause.INTERRUPTED

    async def test_a_success_of_long_ago_does_not_count(self, opened):
        """Half an hour after the last image the service counts as down."""
        books = opened()
        await books.recorder.conclude(succeeded())
        books.clock.advance(1_800)
        await books.recorder.conclude(failed(ERRORS[Throttled]))
        assert len(books.lines()) == 1
        assert books.stop.stopping.cause is StopCause.THROTTLED_OUT

    async def test_a_failure_that_may_have_cost_something_is_recorded(self, opened):
        """An ambiguous end is an outcome, whatever the others do."""
        books = opened()
        await books.recorder.conclude(failed(ERRORS[AnswerLost], maybe_billed=2))
        assert len(books.lines()) == 1
        assert books.stop.stopping is None


def retry_of(kind, attempt=1):
    """A retry after an error of this class."""
    return Retry(task=make_task(), attempt=attempt, wait=1.0, error=ERRORS[kind])


class TestUnreachable:
    async def test_nothing_ever_answered(self, opened):
        """Six attempts at a task without reaching anybody end a run that never reached anybody."""
        assert UNSENT_ATTEMPTS == 6
        books = opened()
        for number in range(1, 6):
            books.recorder.retry(retry_of(NeverSent, number))
        assert books.stop.stopping is None
        books.recorder.retry(retry_of(NeverSent, 6))
        assert books.stop.stopping.cause is StopCause.UNREACHABLE
        assert books.stop.stopping.text == "Nothing answers at the endpoint: words."

    @pytest.mark.parametrize("kind", [Throttled, Unavailable, AnswerLost])
    async def test_any_answer_proves_that_somebody_is_there(self, opened, kind):
        """After it, a network that is gone for a while is only a network that is gone."""
        books = opened()
        books.recorder.retry(retry_of(kind))
        books.recorder.retry(retry_of(NeverSent, 50))
        assert books.stop.stopping is None

    async def test_so_does_an_outcome(self, opened):
        """A success, or a request that was refused."""
        for made in (succeeded(), failed(ERRORS[Rejected])):
            books = opened()
            await books.recorder.conclude(made)
            books.recorder.retry(retry_of(NeverSent, 50))
            assert books.stop.stopping is None

    async def test_retries_are_counted_and_told(self, opened):
        """Tally and observer hear of each."""
        books, retries = opened(), [retry_of(Throttled), retry_of(ServiceFault)]
        for each in retries:
            books.recorder.retry(each)
        assert books.listener.retries == retries
        assert (books.tally.retried, books.tally.throttled) == (2, 1)


class TestFailureLimit:
    @pytest.mark.parametrize(
        ("limit", "failures", "finished", "stops"),
        [
            (None, 10**6, 10**6, False),
            (FailureLimit(count=5), 4, 4, False),
            (FailureLimit(count=5), 5, 100, True),
            (FailureLimit(count=1), 1, 1, True),
            (FailureLimit(share=0.1), 19, 19, False),  # too few to speak of a share
            (FailureLimit(share=0.1), 2, 20, False),
            (FailureLimit(share=0.1), 3, 20, True),
            (FailureLimit(share=1.0), 20, 20, False),
            (FailureLimit(share=0.5), 0, 0, False),
        ],
    )
    def test_it_is_a_number_or_a_share(self, limit, failures, finished, stops):
        """A number is reached, a share is exceeded, and of fewer than twenty there is none."""
        assert SHARE_SPEAKS_FROM == 20
        assert exceeded(limit, failures, finished) is stops

    async def test_the_run_stops(self, opened):
        """The failure that reaches the limit is recorded, and ends the run."""
        books = opened(limit=FailureLimit(count=2))
        await books.recorder.conclude(failed(ERRORS[Rejected]))
        await books.recorder.conclude(succeeded())
        assert books.stop.stopping is None
        await books.recorder.conclude(failed(ERRORS[Rejected]))
        assert books.stop.stopping.cause is StopCause.FAILURES
        assert books.stop.stopping.text == "2 tasks failed: limits.max_failures is reached."
        assert len(books.lines()) == 3

    async def test_filtered_ones_are_no_failures(self, opened):
        """Moderation is an outcome of its own."""
        books = opened(limit=FailureLimit(count=1))
        for _ in range(5):
            await books.recorder.conclude(failed(ERRORS[Filtered]))
        assert books.stop.stopping is None

    async def test_a_share_counts_all_that_finished(self, opened):
        """Successes and filtered ones are finished too."""
        books = opened(limit=FailureLimit(share=0.5))
        for _ in range(9):
            await books.recorder.conclude(succeeded())
        for _ in range(10):
            await books.recorder.conclude(failed(ERRORS[Rejected]))
        assert books.stop.stopping is None  # 10 of 19
        await books.recorder.conclude(failed(ERRORS[Filtered]))
        assert books.stop.stopping is None  # 10 of 20
        await books.recorder.conclude(failed(ERRORS[Rejected]))
        assert books.stop.stopping.cause is StopCause.FAILURES  # 11 of 21


def test_the_contract_is_complete():
    """The golden names are unique and as many as the contract has."""
    assert len(set(CONTRACT)) == len(CONTRACT) == 23
    assert json.dumps(CONTRACT)
