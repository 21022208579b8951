"""Pictures as they are sent, made in threads so that the loop goes on answering."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from .pictures.plain import plain
from .pictures.studio import Commission, paint
from .result import Picture

REMEMBERED = 64
"""Painted pictures kept, so that the same request soon after costs nothing: about 20 MB."""


class Gallery:
    """Makes pictures: painted ones, or plain ones where `plain_pictures` is set."""

    def __init__(self, *, plain_pictures: bool, about: int | None) -> None:
        self._plain_pictures = plain_pictures
        self._about = about
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="paint")
        self._ready: dict[tuple[tuple[int, int], str], Picture] = {}
        self._making = asyncio.Lock()

    async def picture(self, commission: Commission) -> Picture:
        """The picture of a commission."""
        loop = asyncio.get_running_loop()
        if not self._plain_pictures:
            return await loop.run_in_executor(self._threads, _painted, commission)
        key = (commission.size, commission.format)
        if key in self._ready:
            return self._ready[key]
        # A thousand calls may start with none made: one makes it, the others wait for it.
        async with self._making:
            making = loop.run_in_executor(self._threads, _plain, *key, self._about)
            self._ready[key] = await making
        return self._ready[key]

    def close(self) -> None:
        """Start no more pictures."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@lru_cache(maxsize=REMEMBERED)
def _painted(commission: Commission) -> Picture:
    return Picture.of(paint(commission))


@lru_cache(maxsize=16)
def _plain(size: tuple[int, int], image_format: str, about: int | None) -> Picture:
    return Picture.of(plain(size, image_format, about))
