"""Servers in bad weather: outages, strays, quotas that change, other programs. By their goals."""

# ruff: noqa: D102 - `servers.Server` and `world.Client` say what the methods do
from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from benchmarks.pacing.servers import QuotaAt, Server


class _Wrapped:
    """A server with something before it."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def admits(self, now: float) -> bool:
        return self._server.admits(now)

    def finished(self) -> None:
        self._server.finished()

    def capacity(self, start: float, end: float) -> float:
        return self._server.capacity(start, end)

    def used(self, at: float, service_s: float, start: float, end: float) -> float:
        return self._server.used(at, service_s, start, end)


class Outages(_Wrapped):
    """Nothing but 429 within some spans of time."""

    def __init__(self, server: Server, spans: Sequence[tuple[float, float]]) -> None:
        super().__init__(server)
        self._spans = spans

    def admits(self, now: float) -> bool:
        return not self._out(now) and self._server.admits(now)

    def capacity(self, start: float, end: float) -> float:
        seconds = range(int(start), int(end))
        per_second = (self._server.capacity(at, at + 1) for at in seconds if not self._out(at))
        return sum(per_second)

    def _out(self, now: float) -> bool:
        return any(start <= now < end for start, end in self._spans)


class Strays(_Wrapped):
    """A share of the calls gets a 429 that has nothing to do with anything."""

    def __init__(self, server: Server, share: float, random: Random, first: int = 0) -> None:
        """`first`: so many calls at the beginning get one for sure."""
        super().__init__(server)
        self._share = share
        self._random = random
        self._first = first

    def admits(self, now: float) -> bool:
        self._first -= 1
        if self._first >= 0 or self._random.random() < self._share:
            return False
        return self._server.admits(now)


class Both(_Wrapped):
    """A quota and a cap on calls in flight; the capacity is that of the first."""

    def __init__(self, server: Server, other: Server) -> None:
        super().__init__(server)
        self._other = other

    def admits(self, now: float) -> bool:
        if not self._server.admits(now):
            return False
        if self._other.admits(now):
            return True
        self._server.finished()
        return False

    def finished(self) -> None:
        self._server.finished()
        self._other.finished()


def steps(*levels: tuple[float, float]) -> QuotaAt:
    """A quota that is `levels[i][1]` from the instant `levels[i][0]` on."""
    return lambda now: next(quota for at, quota in reversed(levels) if at <= now or at == 0)


class Bursts:
    """A program that makes so many calls at once every so often, and retries none."""

    def __init__(self, calls: int, every_s: float, begin_s: float = 0.0) -> None:
        self._calls = calls
        self._every_s = every_s
        self._next = begin_s
        self._left = calls

    def next_start(self, now: float) -> float:
        del now
        return self._next

    def started(self, now: float) -> None:
        del now
        self._left -= 1
        if self._left <= 0:
            self._left = self._calls
            self._next += self._every_s

    def served(self, call: None, now: float) -> None:
        """Goes on as ever."""

    def throttled(self, call: None, now: float) -> None:
        """Goes on as ever."""


class Greedy:
    """A program that calls far too often within some spans, whatever comes back."""

    def __init__(self, per_minute: float, spans: Sequence[tuple[float, float]]) -> None:
        self._gap = 60.0 / per_minute
        self._spans = spans
        self._next = spans[0][0] if spans else math.inf

    def next_start(self, now: float) -> float:
        del now
        for start, end in self._spans:
            if self._next < end:
                return max(start, self._next)
        return math.inf

    def started(self, now: float) -> None:
        self._next = now + self._gap

    def served(self, call: None, now: float) -> None:
        """Goes on as ever."""

    def throttled(self, call: None, now: float) -> None:
        """Goes on as ever."""
