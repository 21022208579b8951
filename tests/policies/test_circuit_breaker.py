import asyncio
import math

import pytest
from fakes import ERRORS, make_generation, make_task
from virtual_time import virtual_time

from batchgen.attempt import Attempt
from batchgen.errors import AttemptError, InputChanged, NotStarted, Rejected, Throttled, Unavailable
from batchgen.policies.circuit_breaker import (
    PAUSES,
    QUIET,
    REFUSALS,
    CircuitBreaker,
    with_circuit_breaker,
)
from batchgen.policies.retry import NOT_BILLED
from batchgen.policies.stop import Stop, StopCause


class Service:
    """Answers as it is told, after a second; counts who is in flight."""

    def __init__(self):
        self.error = None
        self.calls = []
        self.in_flight = self.most = 0

    async def __call__(self, attempt):
        self.calls.append(now())
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        error = self.error
        await asyncio.sleep(1)
        self.in_flight -= 1
        if error is not None:
            raise error
        return make_generation()


def now():
    return asyncio.get_running_loop().time()


class Rig:
    def __init__(self):
        self.service, self.stop, self.told = Service(), Stop(), []
        self.breaker = CircuitBreaker(PAUSES, quiet=QUIET, refusals=REFUSALS, clock=now)
        self.generate = with_circuit_breaker(
            self.service, self.breaker, self.stop, self.told.append
        )

    async def call(self):
        try:
            return await self.generate(Attempt(task=make_task(), number=1))
        except AttemptError as error:
            return error

    async def refuse(self, count, error=None):
        """So many refusals, evenly over more than the quiet time."""
        self.service.error = error or ERRORS[Throttled]
        for _ in range(count):
            await self.call()
            await asyncio.sleep(QUIET / REFUSALS)


@virtual_time
async def test_it_passes_calls_while_the_service_serves():
    """A closed breaker changes nothing: calls run side by side."""
    rig = Rig()

    await asyncio.gather(*(rig.call() for _ in range(20)))

    assert rig.service.most == 20
    assert not rig.breaker.is_open()


@virtual_time
async def test_it_opens_after_refusals_and_time():
    """It takes both: enough refusals in a row, and enough time without an answer."""
    rig = Rig()
    await rig.refuse(REFUSALS - 1)
    assert not rig.breaker.is_open()

    await rig.refuse(1)

    assert rig.breaker.is_open()
    assert len(rig.told) == 1
    assert "One call at a time" in rig.told[0]


@virtual_time
async def test_many_refusals_at_once_do_not_open_it():
    """A burst of rejected calls within a minute is the pacer's business."""
    rig = Rig()
    rig.service.error = ERRORS[Throttled]

    await asyncio.gather(*(rig.call() for _ in range(50)))

    assert not rig.breaker.is_open()


@virtual_time
async def test_open_it_lets_one_probe_through_at_a_time():
    """Twenty waiting tasks make one call at a time, with growing pauses between them."""
    rig = Rig()
    await rig.refuse(REFUSALS)
    rig.service.calls.clear()
    rig.service.most = 0
    start = now()

    await asyncio.gather(*(rig.call() for _ in range(7)))

    assert rig.service.most == 1
    starts = [call - start for call in rig.service.calls]
    gaps = [after - before for before, after in zip([-1.0, *starts], starts, strict=False)]
    # The first pause lapsed while nobody called; each call takes a second.
    assert gaps == [1.0, *(pause + 1 for pause in (*PAUSES[1:], PAUSES[-1], PAUSES[-1]))]


@virtual_time
async def test_what_was_not_sent_does_not_close_it():
    """An input that changed fails its task and says nothing of the service."""
    rig = Rig()
    await rig.refuse(REFUSALS)
    rig.service.error = ERRORS[InputChanged]

    await rig.call()

    assert rig.breaker.is_open()


@virtual_time
async def test_one_success_closes_it_and_all_go_on():
    """When a probe gets through, everybody who waited calls at once, and a person is told."""
    rig = Rig()
    await rig.refuse(REFUSALS)
    rig.service.error = None

    await asyncio.gather(*(rig.call() for _ in range(8)))

    assert not rig.breaker.is_open()
    assert rig.service.most == 7
    assert rig.told[-1].startswith("The service is back")


UNSAID = (*NOT_BILLED, InputChanged)
"""What says nothing of whether the service serves calls, or that it does not."""


@pytest.mark.parametrize("kind", [kind for kind in ERRORS if not issubclass(kind, UNSAID)])
@virtual_time
async def test_an_answer_is_an_answer(kind):
    """A failure that is no refusal shows that the service serves calls."""
    rig = Rig()
    await rig.refuse(REFUSALS - 1)
    rig.service.error = ERRORS[kind]
    await rig.call()

    await rig.refuse(1)

    assert not rig.breaker.is_open()


@pytest.mark.parametrize("kind", NOT_BILLED)
@virtual_time
async def test_every_refusal_counts(kind):
    """Throttled, no capacity, not sent and refused credentials alike."""
    rig = Rig()

    await rig.refuse(REFUSALS, ERRORS[kind])

    assert rig.breaker.is_open()


@virtual_time
async def test_the_stop_sends_home_who_waits():
    """Nobody waits for a probe in a run that is stopping."""
    rig = Rig()
    await rig.refuse(REFUSALS, ERRORS[Unavailable])
    await rig.call()
    waiting = [
        asyncio.ensure_future(rig.generate(Attempt(task=make_task(), number=1))) for _ in range(3)
    ]
    await asyncio.sleep(0.1)
    calls = len(rig.service.calls)

    rig.stop.request(StopCause.INTERRUPTED, "test")
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    assert all(isinstance(outcome, NotStarted) for outcome in outcomes)
    assert len(rig.service.calls) == calls


@virtual_time
async def test_it_tells_when_a_call_could_start():
    """Closed at once; open at the next probe, and while one is under way nobody knows when."""
    rig = Rig()
    assert rig.breaker.ready_in() == 0
    await rig.refuse(REFUSALS)
    await rig.call()
    assert rig.breaker.ready_in() == PAUSES[1]

    probe = asyncio.ensure_future(rig.call())
    await asyncio.sleep(0.1)
    assert rig.breaker.ready_in() == math.inf
    rig.service.error = None
    await probe
    assert rig.breaker.ready_in() == 0


def test_rejected_is_no_refusal():
    """The table this rests on: a wrong request is an answer."""
    assert not issubclass(Rejected, NOT_BILLED)
