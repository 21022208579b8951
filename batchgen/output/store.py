"""Durable image files: checked, written beside their place, synced, and only then given their name.

Invariant: a path that `save` returned holds the whole image, whatever is killed afterwards, and no
file that was there before is overwritten. Bytes are stored as they came.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

import aiofiles

from batchgen.errors import StorageError
from batchgen.models import Artifact
from batchgen.output.images import Inspected
from batchgen.output.threads import in_thread, run_executor
from batchgen.record import StoredImage
from batchgen.text import system_reason

EXTENSIONS = {"png": "png", "jpeg": "jpg", "webp": "webp"}
SUPERSEDED = "superseded"
UNUSABLE = "unusable"
PART = ".part"

MakeRoom = Callable[[str], Awaitable[None]]
"""Called with the path (below the output) of a file that is in the way; must move it elsewhere."""


class Store:
    """The image files of one output folder."""

    def __init__(self, folder: Path, make_room: MakeRoom) -> None:
        self.folder = folder
        self._make_room = make_room
        self._made: set[Path] = {Path()}

    async def save(
        self, stem: str, task_id: str, artifact: Artifact, inspected: Inspected
    ) -> StoredImage:
        """Store one image durably under its name.

        Args:
            stem: path below the output without an extension; the bytes decide the extension.
            task_id: stands in the name of the temporary file, so that a run that was killed between
                here and the manifest can tell later whose image it is.

        Raises:
            StorageError: the disk did not take it.
        """
        path = f"{stem}.{EXTENSIONS[inspected.format]}"
        part = _part(path, task_id)
        try:
            await self.make_folder(Path(path).parent)
            await self._write(part, artifact.data)
            await self.place(part, path)
        except OSError as error:
            raise StorageError(
                f"{self.folder / path} could not be written: {system_reason(error)}"
            ) from error
        return self.describe(path, artifact, inspected)

    @staticmethod
    def describe(path: str, artifact: Artifact, inspected: Inspected) -> StoredImage:
        """What the manifest says of an image at this path."""
        return StoredImage(
            path=path,
            sha256=inspected.sha256,
            bytes=len(artifact.data),
            format=inspected.format,
            width=inspected.width,
            height=inspected.height,
            seed=artifact.seed,
            finish_reason=artifact.finish_reason,
        )

    async def place(self, part: str, path: str) -> None:
        """Give a durable temporary file its name, without ever replacing a file that has it."""
        if await in_thread(os.path.lexists, self.folder / path):
            await self._make_room(path)
        try:
            await in_thread(os.link, self.folder / part, self.folder / path, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:
            # A file system without hard links; one process holds the output, so the check stands.
            await in_thread(os.rename, self.folder / part, self.folder / path)
        await self.sync_folder(Path(path).parent)

    async def settle(self, path: str, task_id: str) -> None:
        """Drop the temporary name of an image whose record is durable."""
        try:
            await in_thread(os.unlink, self.folder / _part(path, task_id))
        except FileNotFoundError:
            return  # a file system without hard links had it renamed
        except OSError as error:
            raise StorageError(f"{self.folder / path}: {system_reason(error)}") from error

    async def keep_unusable(self, name: str, body: bytes) -> None:
        """Keep a reply that was paid for and holds no image, for a person to look at.

        A disk that does not take it is no reason to lose the record of what happened. One of an
        earlier run, whose attempts had the same numbers, is kept beside it.
        """
        try:
            await self.make_folder(Path(UNUSABLE))
            for number in count(1):
                path = f"{UNUSABLE}/{name}{'' if number == 1 else f'~{number}'}.json"
                if not await in_thread(os.path.lexists, self.folder / path):
                    await self._write(path, body)
                    return
        except OSError:
            return

    async def sync_folder(self, relative: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = await in_thread(os.open, self.folder / relative, os.O_RDONLY)
        try:
            await in_thread(os.fsync, descriptor)
        finally:
            os.close(descriptor)

    async def make_folder(self, relative: Path) -> None:
        """Make a folder and its parents, each durable in its own parent."""
        if relative in self._made:
            return
        await self.make_folder(relative.parent)
        await in_thread(os.makedirs, self.folder / relative, exist_ok=True)
        await self.sync_folder(relative.parent)
        self._made.add(relative)

    async def _write(self, relative: str, data: bytes) -> None:
        # "xb" creates exclusively and so follows no link; a leftover of the same task is dropped.
        path = self.folder / relative
        if await in_thread(os.path.lexists, path):
            await in_thread(os.unlink, path)
        async with aiofiles.open(path, "xb", buffering=0, executor=run_executor()) as file:
            written = 0
            view = memoryview(data)
            while written < len(data):
                written += await file.write(view[written:])  # a raw write may be short
            await in_thread(os.fsync, file.fileno())


def _part(path: str, task_id: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.{task_id}{PART}" if folder else f".{name}.{task_id}{PART}"
