"""The memory that replies take together, from the first byte that is read until they are stored.

Replies that arrive at once would otherwise be read at once: a thousand of 2 MB take 4 GB. One that
does not fit is left in its socket, where the service waits for us, until others are stored.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

MB = 1_000_000
MOST = 256 * MB
"""Bytes that replies take together on a machine that has them."""
SHARE_OF_MACHINE = 8
"""Replies take at most this part of the memory that the machine, or our container, has."""
SMALL = 64 * 1024
"""Bytes of a reply that takes nothing: its connection holds as much before it is read."""
COPIES = 3
"""Bytes that one byte of a reply takes until it is stored: as it came, parsed, and as an image."""

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


class Share:
    """What one reply takes until it is released, when its image is stored or its attempt failed."""

    def __init__(self, memory: ReplyMemory, size: int) -> None:
        self._memory = memory
        self.size = size
        """Bytes."""

    def correct(self, size: int) -> None:
        """The reply turned out to have `size` bytes; it waits for none if they are more."""
        taken = _taken(size)
        self._memory.give_back(self.size - taken)
        self.size = taken

    def release(self) -> None:
        """The reply takes no memory any more; to say so again does nothing."""
        self._memory.give_back(self.size)
        self.size = 0


class ReplyMemory:
    """Bytes that replies may take together, shared by all routes of a run; first come first served.

    A reply takes its whole share before it is read: no two of them are ever half read and wait for
    each other. One that is larger than everything is read when no other is there.
    """

    def __init__(self, most: int | None = None) -> None:
        """Share out at most this many bytes; None for what this machine can spare."""
        self._most = default_memory() if most is None else most
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.held = 0
        """Bytes that are taken."""

    def is_free(self, size: int) -> bool:
        """Whether a reply of `size` bytes need not wait."""
        taken = _taken(size)
        return not taken or (not self._waiting and self._fits(taken))

    async def take(self, size: int) -> Share:
        """A share for a reply of `size` bytes, as soon as there is room for it."""
        taken = _taken(size)
        if self.is_free(size):
            self.held += taken
        else:
            await self._turn(taken)
        return Share(self, taken)

    async def _turn(self, taken: int) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((taken, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._let_in()  # those behind it may fit
            else:
                self.give_back(taken)
            raise

    def give_back(self, taken: int) -> None:
        """Bytes of a share are free again; they go to those who wait longest."""
        self.held -= taken
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            taken, turn = self._waiting[0]
            if not turn.done():
                if not self._fits(taken):
                    return
                self.held += taken
                turn.set_result(None)
            self._waiting.popleft()

    def _fits(self, taken: int) -> bool:
        return self.held + taken <= self._most or self.held <= 0


def _taken(size: int) -> int:
    return 0 if size <= SMALL else COPIES * size


def default_memory() -> int:
    """Bytes for replies by what this machine has: 256 MB, less where that is a large part of it."""
    return min(MOST, *(each // SHARE_OF_MACHINE for each in _limits()))


def _limits() -> Iterator[int]:
    """Bytes of memory that this machine has, and that each of our control groups allows."""
    yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in _limit_files():
        try:
            yield int(file.read_text())
        except (OSError, ValueError):  # it is not there, or says `max`
            continue


def _limit_files() -> Iterator[Path]:
    """Where the limits of our control group and of those around it stand, in both versions."""
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except (OSError, ValueError):  # no Linux
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            root, name = CGROUPS, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = CGROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        own = root / path.strip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(root):
                yield folder / name
