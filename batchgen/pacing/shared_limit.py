"""A limit of calls in flight that several pacers share: those of all models of a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class SharedLimit:
    """Places for calls in flight; pacers that found none are asked in turn when one is free."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[Callable[[], None]] = deque()

    @property
    def is_full(self) -> bool:
        """Whether no call may start now."""
        return self._free <= 0

    def take(self) -> None:
        """A call starts."""
        self._free -= 1

    def wait(self, hand_out: Callable[[], None]) -> None:
        """Call `hand_out` when a place is free; those that came before are called first."""
        if hand_out not in self._waiting:
            self._waiting.append(hand_out)

    def give_back(self) -> None:
        """A call has ended."""
        self._free += 1
        for _ in range(len(self._waiting)):
            if self.is_full:
                return
            self._waiting.popleft()()
