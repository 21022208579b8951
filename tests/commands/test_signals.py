"""What signals do to a run, told to the run's own task; the process's share is in e2e."""

import asyncio
import os
import signal

import pytest
from virtual_time import virtual_time

from batchgen.commands.signals import DRAIN_TIMEOUT, Signals, handle_signals
from batchgen.policies.stop import Stop, StopCause


class Run:
    """A run with some calls in flight, until it is stopped and they have ended, or cancelled."""

    def __init__(self, in_flight):
        self.in_flight = in_flight
        self.stop = Stop()
        self.landed = asyncio.Event()
        self.told = []
        self.asked = asyncio.Event()
        self.ready = asyncio.Event()

    async def run(self):
        signals = Signals(self.stop, lambda: self.in_flight, self.told.append)
        with handle_signals(signals, self.asked.set):
            self.signals = signals
            self.ready.set()
            await self.stop.wait()
            if self.in_flight:
                await self.landed.wait()


async def started(in_flight):
    """A run and its task, with the signals handled."""
    run = Run(in_flight)
    task = asyncio.create_task(run.run())
    await run.ready.wait()
    return run, task


@virtual_time
async def test_the_first_signal_waits_for_what_is_in_flight():
    """It is paid for: the run ends when it has landed, and says what it waits for."""
    run, task = await started(in_flight=3)

    run.signals.receive(signal.SIGTERM)
    await asyncio.sleep(DRAIN_TIMEOUT - 1)
    assert not task.done()
    run.landed.set()
    await task

    assert run.stop.stopping.cause is StopCause.TERMINATED
    (told,) = run.told
    assert told.startswith("SIGTERM: no more calls are started. In flight, and paid for: 3, which")
    assert told.endswith("get up to 2 min to end. A second signal ends them now.")


@virtual_time
async def test_the_drain_has_an_end():
    """Calls that do not land within two minutes are given up."""
    run, task = await started(in_flight=1)

    run.signals.receive(signal.SIGINT)
    with pytest.raises(asyncio.CancelledError):
        await task

    assert asyncio.get_running_loop().time() == DRAIN_TIMEOUT
    assert run.told[-1].startswith("2 min are over. Ending now; ")


@virtual_time
async def test_the_second_signal_ends_and_a_third_changes_nothing():
    """Whichever signals they are."""
    run, task = await started(in_flight=1)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        run.signals.receive(number)
    with pytest.raises(asyncio.CancelledError):
        await task

    assert run.stop.stopping.cause is StopCause.INTERRUPTED
    assert len(run.told) == 2
    assert run.told[1] == "Ending now; what was in flight may have been billed and is on record."


@virtual_time
async def test_with_nothing_in_flight_the_first_signal_ends():
    """There is nothing to wait for, and nothing to say."""
    run, task = await started(in_flight=0)

    run.signals.receive(signal.SIGHUP)
    await task

    assert run.stop.stopping.cause is StopCause.INTERRUPTED
    assert run.told == []


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (signal.SIGINT, StopCause.INTERRUPTED),
        (signal.SIGHUP, StopCause.INTERRUPTED),
        (signal.SIGTERM, StopCause.TERMINATED),
    ],
)
async def test_the_process_hands_its_signals_over(number, cause):
    """Within the block they stop the run; after it they do what they did before."""
    before = signal.getsignal(number)
    run, task = await started(in_flight=0)

    os.kill(os.getpid(), number)
    await task

    assert run.stop.stopping.cause is cause
    assert run.stop.stopping.text == f"Stopped by {number.name}."
    assert signal.getsignal(number) == before


async def test_a_status_can_be_asked_for():
    """SIGUSR1 asks where the run stands, and the run goes on."""
    run, task = await started(in_flight=0)

    os.kill(os.getpid(), signal.SIGUSR1)
    async with asyncio.timeout(10):
        await run.asked.wait()
    assert not task.done()
    run.stop.request(StopCause.BUDGET, "enough")
    await task
