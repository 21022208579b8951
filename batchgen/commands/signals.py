"""Signals while a batch runs: the first one drains, the second one ends."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batchgen.policies import Stop, StopCause
from batchgen.text import duration

DRAIN_TIMEOUT = 120.0
"""Seconds that calls in flight get to end after the first signal."""
ENDING = "Ending now; what was in flight may have been billed and is on record."
CAUSES = {
    signal.SIGINT: StopCause.INTERRUPTED,
    signal.SIGTERM: StopCause.TERMINATED,
    signal.SIGHUP: StopCause.INTERRUPTED,
}


class Signals:
    """Turns signals into a drain, and a second one into an end."""

    def __init__(
        self, stop: Stop, in_flight: Callable[[], int], notify: Callable[[str], None]
    ) -> None:
        self._stop = stop
        self._in_flight = in_flight
        self._notify = notify
        self._task = asyncio.current_task()
        self._received = 0

    def receive(self, number: signal.Signals) -> None:
        """One of the signals in `CAUSES` came."""
        self._received += 1
        if self._received == 1:
            self._drain(number)
        elif self._received == 2:  # noqa: PLR2004  # the second one
            self._end(ENDING)

    def _drain(self, number: signal.Signals) -> None:
        flying = self._in_flight()
        self._stop.request(CAUSES[number], f"Stopped by {number.name}.")
        if flying:
            self._notify(
                f"{number.name}: no more calls are started. In flight, and paid for: {flying}, "
                f"which get up to {duration(DRAIN_TIMEOUT)} to end. A second signal ends them now."
            )
            late = f"{duration(DRAIN_TIMEOUT)} are over. {ENDING}"
            asyncio.get_running_loop().call_later(DRAIN_TIMEOUT, self._end, late)

    def _end(self, text: str) -> None:
        self._notify(text)
        if self._task is not None:
            self._task.cancel()


@contextmanager
def handle_signals(signals: Signals, status: Callable[[], None]) -> Iterator[None]:
    """Signals go to `signals`, and SIGUSR1 calls `status`, for the length of the block."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (*CAUSES, signal.SIGUSR1)}
    for number in CAUSES:
        loop.add_signal_handler(number, signals.receive, number)
    loop.add_signal_handler(signal.SIGUSR1, status)
    try:
        yield
    finally:
        # The loop gives each signal its default back: for a moment SIGUSR1 would kill.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, before)
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
