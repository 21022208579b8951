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
"""Pictures kept, so that the same request soon after costs nothing: about 20 MB."""


class Gallery:
    """Makes pictures: painted ones, or plain ones where `plain_pictures` is set."""

    def __init__(self, *, plain_pictures: bool, about: int | None) -> None:
        self._plain_pictures = plain_pictures
        self._about = about
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="paint")
        self._painted = lru_cache(maxsize=REMEMBERED)(_painted)
        self._ready: dict[tuple[tuple[int, int], str], Picture] = {}
        self._making = asyncio.Lock()

    async def picture(self, commission: Commission) -> Picture:
        """The picture of a commission."""
        if self._plain_pictures:
            return await self._plain(commission.size, commission.format)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._painted, commission)

    def close(self) -> None:
        """Start no more pictures."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _plain(self, size: tuple[int, int], image_format: str) -> Picture:
        key = (size, image_format)
        # A thousand calls may start with none made: one makes it, the others wait for it.
        async with self._making:
            if key not in self._ready:
                loop = asyncio.get_running_loop()
                data = await loop.run_in_executor(
                    self._threads, plain, size, image_format, self._about
                )
                self._ready[key] = Picture.of(data)
        return self._ready[key]


def _painted(commission: Commission) -> Picture:
    return Picture.of(paint(commission))
