"""What one process uses for its images, from the last one that warms it up to the last of all."""

from __future__ import annotations

import asyncio
import resource
import time
from dataclasses import dataclass
from pathlib import Path

TICK = 0.01
"""Seconds between two looks at the clock by the loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is to be made."""

    port: int
    folder: Path
    warm: int
    """Images before the measurement: what happens once does not count."""
    count: int
    """Images within it."""
    in_flight: int

    @property
    def url(self) -> str:
        """Of the server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def total(self) -> int:
        """All images."""
        return self.warm + self.count


@dataclass(slots=True)
class _Used:
    cpu: float
    wall: float
    faults: int


def _used() -> _Used:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return _Used(usage.ru_utime + usage.ru_stime, time.monotonic(), usage.ru_minflt)


class Meter:
    """Told of each image; knows afterwards what they took."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._made = 0
        self._start = self._end = _used()
        self._stops: dict[bool, float] = {False: 0.0, True: 0.0}
        """Whether it was within the measurement -> the longest stop of the loop."""
        self._has_loop = False

    def made(self, number: int = 1) -> None:
        """So many images more are whole."""
        self._made += number
        if self._made == self._load.warm:
            self._start = _used()
        if self._made == self._load.total:
            self._end = _used()

    async def watch_loop(self) -> None:
        """Note how late the loop is, until cancelled."""
        self._has_loop = True
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK)
            late = time.monotonic() - before - TICK
            inside = self._load.warm <= self._made < self._load.total
            self._stops[inside] = max(self._stops[inside], late)

    def figures(self) -> dict[str, float | None]:
        """For an image, but for the peak and the stop."""
        if self._made != self._load.total:
            raise SystemExit(f"{self._made} images of {self._load.total} were made")
        count = self._load.count
        return {
            "cpu_ms": (self._end.cpu - self._start.cpu) / count * 1000,
            "wall_ms": (self._end.wall - self._start.wall) / count * 1000,
            "faults": (self._end.faults - self._start.faults) / count,
            "peak_mb": peak_mb(),
            "stop_ms": self._stops[True] * 1000 if self._has_loop else None,
            "start_stop_ms": self._stops[False] * 1000 if self._has_loop else None,
        }


def peak_mb() -> float:
    """Most resident memory of this process; getrusage would count the parent's before the exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
