"""How much of one kind of work is done within one turn of the event loop.

A turn does all that is due, and nothing else runs meanwhile: what a thousand calls have to do at
once is a second in which no deadline is looked at and no other call goes on.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turnstile:
    """Lets so many coroutines pass in each turn of the loop, in the order in which they came.

    A turn is counted from where it was the last time, so one of the loop may have twice as many.
    """

    def __init__(self, a_turn: int) -> None:
        """Let `a_turn` of them pass in each."""
        self._a_turn = a_turn
        self._left = a_turn
        """How many may still pass in this turn at once."""
        self._called = 0
        """How many of those who waited pass in the next one."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_counting = False
        """Whether the next turn begins anew."""

    async def enter(self) -> None:
        """Pass, in this turn of the loop or in a later one."""
        if not self._is_counting:
            self._count()
        if self._left > 0 and not self._waiting:
            self._left -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _count(self) -> None:
        self._is_counting = True
        asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._left, self._called = self._a_turn - self._called, 0
        while self._waiting and self._called < self._a_turn:
            turn = self._waiting.popleft()
            if not turn.done():
                self._called += 1
                turn.set_result(None)
        if self._called:
            self._left = 0  # whoever comes now goes behind them
        self._is_counting = False
        if self._left < self._a_turn:
            self._count()
