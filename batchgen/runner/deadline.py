"""The instant at which a run must have ended: absolute, whatever is done to the clock meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as time_of_day

from batchgen.policies import Stop, StopCause
from batchgen.text import duration

LONGEST_CALL = 30.0
"""Seconds that a call may be expected to take (Bedrock: 3 to 30 s)."""
TELLING = 20
"""Calls that were seen before their own times count instead."""
SAFETY = 1.25
"""What is left for the next call to take longer than all before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """An absolute instant at which everything must have ended."""

    at: float
    """Seconds since the epoch."""
    text: str
    """As the user said it: `06:00`."""


def margin_of(longest: float, calls: int) -> float:
    """Seconds before a deadline from which on no call starts, so that the last one ends in time.

    Args:
        longest: seconds of the longest call so far. The next one may take longer.
        calls: how many there were; a few say little.
    """
    expected = LONGEST_CALL if calls < TELLING else 0.0
    return max(expected, SAFETY * longest)


async def watch_deadline(
    deadline: Deadline,
    stop: Stop,
    *,
    margin: Callable[[], float],
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Request the stop `margin()` seconds before the deadline: what is in flight ends in time.

    Looks at the wall clock every 30 s or sooner, for it may be set and the machine may sleep.
    """
    while (left := deadline.at - margin() - now()) > 0:
        await sleep(min(left, 30.0))
    stop.apply(StopCause.DEADLINE, deadline=deadline.text)


def next_time(until: time_of_day, now: datetime) -> datetime:
    """The next instant after `now` at which local clocks show this time of day.

    A time that clocks skip in a night of spring comes as long after midnight as on other days.

    Args:
        until: without a time zone.
        now: with its time zone. The result is in the zone that this machine has on that day, so
            that 06:00 is 06:00 in the morning after the clocks changed, too.
    """
    today = now.astimezone().date()
    days = (today + timedelta(days=ahead) for ahead in range(3))
    instants = (instant for day in days for instant in _instants(day, until))
    return next(instant for instant in instants if instant > now)


def _instants(day: date, until: time_of_day) -> list[datetime]:
    """When local clocks show this time: once, or twice in a night of autumn."""
    wanted = datetime.combine(day, until)
    both = {wanted.replace(fold=fold).astimezone() for fold in (0, 1)}
    shown = sorted(instant for instant in both if instant.replace(tzinfo=None) == wanted)
    return shown or [max(both)]


def deadline_of(until: time_of_day | None, longest: float | None, now: datetime) -> Deadline | None:
    """The earlier of a time of day and a longest duration in seconds; None without either."""
    deadlines = []
    if until is not None:
        at = next_time(until, now).timestamp()
        deadlines.append(Deadline(at=at, text=f"{until:%H:%M}"))
    if longest is not None:
        text = f"of {duration(longest)} after the start"
        deadlines.append(Deadline(at=now.timestamp() + longest, text=text))
    return min(deadlines, key=lambda deadline: deadline.at, default=None)
