"""When a run will end, as a person or a program reads it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from batchgen.runner import CONFIDENCE, Deadline, Forecast
from batchgen.text import duration

IN_TEN = round(10 * CONFIDENCE)
A_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """A forecast, by the clock."""

    forecast: Forecast
    now: datetime
    """When the run would begin, in the zone whose clock is shown."""
    deadline: Deadline | None
    tasks: int
    """To make."""

    def to_json(self) -> dict[str, Any]:
        """Fields of one object; instants in ISO 8601 with the zone."""
        told = self.forecast
        return {
            "minutes": told.minutes,
            "ends_at": self._iso(told.seconds),
            "ends": {
                "earliest_at": self._iso(told.earliest_s),
                "latest_at": self._iso(told.latest_s),
                "earliest_minutes": round(told.earliest_s / 60, 2),
                "latest_minutes": round(told.latest_s / 60, 2),
                "probability": CONFIDENCE,
                "by": "budget" if told.ends_broke else "tasks",
                "makes": list(told.made),
            },
            "until": None if self.deadline is None else self._until().isoformat(timespec="seconds"),
            "before_until": None if self.deadline is None else self._chance() >= 0.5,  # noqa: PLR2004  # more likely than not
            "before_until_probability": None if self.deadline is None else self._chance(),
            "made_before_until": None if self.deadline is None else list(told.in_time),
        }

    def sentence(self) -> str:
        """`about 50 min; it ends between 03:10 and 04:05 in 9 of 10, if it began now: ...`."""
        if not self.tasks:
            return "nothing is to be made"
        told = self.forecast
        if told.ends_broke and not told.made[1]:
            return "nothing would be made, for the budget has no room for one task"
        subject = "the budget ends it" if told.ends_broke else "it ends"
        said = f"about {duration(told.seconds)}; {subject} {self._range()}, if it began now"
        if told.ends_broke:
            said = f"{said}, with {_between(told.made)} of {self.tasks:,} tasks made"
        return said if self.deadline is None else f"{said}: {self._before_until()}"

    def _range(self) -> str:
        """`between 03:10 and 04:05 tomorrow in 9 of 10`: the minutes around it."""
        first = self._at(self.forecast.earliest_s).replace(second=0, microsecond=0)
        last = self._at(self.forecast.latest_s)
        if last != last.replace(second=0, microsecond=0):
            last = last.replace(second=0, microsecond=0) + A_MINUTE
        days = self._day(first), self._day(last)
        middle = "" if days[0] == days[1] else days[0]
        return f"between {first:%H:%M}{middle} and {last:%H:%M}{days[1]} in {IN_TEN} of 10"

    def _before_until(self) -> str:
        until = f"the deadline at {self._until():%Y-%m-%d %H:%M}"
        chance = self._chance()
        if chance == 1:
            return f"before {until}"
        made = f"by then {_between(self.forecast.in_time)} of {self.tasks:,} tasks are made"
        if chance == 0:
            return f"only after {until}; {made}"
        tenths = min(9, max(1, round(10 * chance)))
        return f"in {tenths} of 10 before {until}; {made}"

    def _chance(self) -> float:
        return 0.0 if self.deadline is None else self.forecast.chance(self._left_s(self.deadline))

    def _left_s(self, deadline: Deadline) -> float:
        return deadline.at - self.now.timestamp()

    def _until(self) -> datetime:
        at = self.now.timestamp() if self.deadline is None else self.deadline.at
        return datetime.fromtimestamp(at, UTC).astimezone()

    def _at(self, seconds: float) -> datetime:
        # Not `now + ...`, which knows nothing of a night in which the clocks change.
        return datetime.fromtimestamp(self.now.timestamp() + seconds, UTC).astimezone()

    def _iso(self, seconds: float) -> str:
        return self._at(seconds).isoformat(timespec="seconds")

    def _day(self, at: datetime) -> str:
        """Nothing for today."""
        days = (at.date() - self.now.date()).days
        if days == 0:
            return ""
        return " tomorrow" if days == 1 else f" on {at:%Y-%m-%d}"


def _between(counts: tuple[int, int]) -> str:
    least, most = counts
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
