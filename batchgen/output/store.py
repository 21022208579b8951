"""Durable image files: checked, written beside their place, synced, and only then given their name.

Invariant: a path that `save` returned holds the whole image, whatever is killed afterwards, and no
file that was there before is overwritten. Bytes are stored as they came.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from pathlib import Path, PurePosixPath

import aiofiles

from batchgen.errors import StorageError
from batchgen.models import Artifact
from batchgen.output.images import Inspected
from batchgen.output.paths import open_regular
from batchgen.output.threads import in_thread, run_executor
from batchgen.record import DECODED_DIGITS, EXTENSIONS, StoredImage
from batchgen.text import system_reason

IMAGES = "images"
SUPERSEDED = "superseded"
UNUSABLE = "unusable"
SPOOL = "spool"
"""Where images are kept that could not be written to their place."""
PART = ".part"

DERIVED = "derived"
"""In the temporary names of files that are made of images."""
DERIVED_PART = f".{DERIVED}{PART}"

MakeRoom = Callable[[str], Awaitable[None]]
"""Called with the path (below the output) of a file that is in the way; must move it elsewhere."""


class Store:
    """The image files of one output folder."""

    def __init__(self, folder: Path, make_room: MakeRoom) -> None:
        self.folder = folder
        self._make_room = make_room
        self._durable: set[Path] = {Path()}
        """Folders whose names were synced."""
        self._refuge: Path | None = None
        self.kept: Counter[Path] = Counter()
        """Folder -> how many images it took that could not be written to their place."""

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
        part, written = _part(path, task_id), False
        try:
            await self.make_folder(Path(path).parent)
            await self._write(part, artifact.data)
            written = True
            await self.place(part, path)
        except OSError as error:
            text = f"{self.folder / path} could not be written: {system_reason(error)}"
            if not (written and await in_thread(os.path.lexists, self.folder / part)):
                name = f"{PurePosixPath(path).name}.{task_id}{PART}"
                text = f"{text}; {await self._keep(name, artifact.data)}"
            raise StorageError(text) from error
        return self.describe(path, artifact, inspected)

    @staticmethod
    def describe(path: str, artifact: Artifact, inspected: Inspected) -> StoredImage:
        """What the manifest says of an image at this path."""
        return StoredImage(
            path=path,
            sha256=inspected.sha256,
            decoded=inspected.sha256[:DECODED_DIGITS] if inspected.is_decoded else None,
            received_sha256=inspected.received_sha256,
            pixels_sha256=inspected.pixels_sha256,
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

    async def save_derived(self, path: str, data: bytes) -> None:
        """Store a file that was made of an image, durably; one that is there already stays.

        Its temporary name belongs to no task, so that a killed run's is taken for no image.

        Raises:
            StorageError: the disk did not take it.
        """
        part = _part(path, DERIVED)
        try:
            if await in_thread(_holds, self.folder / path, data):
                return
            await self.make_folder(Path(path).parent)
            await self._write(part, data)
            await self.place(part, path)
        except OSError as error:
            text = f"{self.folder / path} could not be written: {system_reason(error)}"
            raise StorageError(text) from error
        await self.drop(part)

    async def settle(self, path: str, task_id: str) -> None:
        """Drop the temporary name of an image whose record is durable."""
        await self.drop(_part(path, task_id))

    async def drop(self, part: str) -> None:
        """Remove a temporary name.

        Raises:
            StorageError: the disk did not let it go.
        """
        try:
            await in_thread(os.unlink, self.folder / part)
        except FileNotFoundError:
            return  # a file system without hard links had it renamed
        except OSError as error:
            raise StorageError(
                f"{self.folder / part} could not be removed: {system_reason(error)}"
            ) from error

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
            await self._keep(f"{name}.json", body)

    async def _keep(self, name: str, data: bytes) -> str:
        """Keep what was paid for and finds no place: in the spool, else in the temporary folder.

        Returns:
            Where it is now, as the end of a sentence.
        """
        try:
            await self.make_folder(Path(SPOOL))
            await self._write(f"{SPOOL}/{name}", data)
        except OSError:
            return await self._keep_outside(name, data)
        self.kept[self.folder / SPOOL] += 1
        return f"it is kept in {self.folder / SPOOL}, where the next run finds it"

    async def remove_empty_spool(self) -> None:
        """Remove the spool when recovery has taken everything out of it; others stay."""
        with suppress(OSError):  # it holds something, or is not there
            await in_thread(os.rmdir, self.folder / SPOOL)

    async def _keep_outside(self, name: str, data: bytes) -> str:
        try:
            if self._refuge is None:
                self._refuge = Path(tempfile.mkdtemp(prefix="batchgen-"))
            await self._write(self._refuge / name, data)
        except OSError as error:
            return f"nor could it be kept elsewhere: {system_reason(error)}"
        self.kept[self._refuge] += 1
        return (
            f"it is kept in {self._refuge}: move it to {self.folder / SPOOL}, where the next run "
            "finds it"
        )

    async def sync_folder(self, relative: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = await in_thread(os.open, self.folder / relative, os.O_RDONLY)
        try:
            await in_thread(os.fsync, descriptor)
        finally:
            os.close(descriptor)

    async def make_folder(self, relative: Path) -> None:
        """Make a folder and its parents, each durable in its own parent.

        Looked at each time, for a folder can be removed, or become a link, while a run writes.

        Raises:
            OSError: it cannot be made, or something else has its name.
        """
        if relative == Path():
            return
        await self.make_folder(relative.parent)
        is_new = await in_thread(_make_folder, self.folder / relative)
        if is_new or relative not in self._durable:
            await self.sync_folder(relative.parent)
            self._durable.add(relative)

    async def _write(self, relative: str | Path, data: bytes) -> None:
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


def _holds(path: Path, data: bytes) -> bool:
    """Whether a file is there and has these bytes."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            return file.read(len(data) + 1) == data
    except OSError:
        return False


def _make_folder(path: Path) -> bool:
    """Make a folder unless it is there; whether it was made. Several threads may do it."""
    if not os.path.lexists(path):
        with suppress(FileExistsError):  # another image's thread was first
            os.mkdir(path)  # noqa: PTH102  # the crash tests count calls of `os`
            return True
    mode = path.lstat().st_mode
    if not stat.S_ISDIR(mode):
        what = "a link, which is not followed" if stat.S_ISLNK(mode) else "no folder"
        raise NotADirectoryError(errno.ENOTDIR, f"{path} is {what}")
    return False


def _part(path: str, task_id: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.{task_id}{PART}" if folder else f".{name}.{task_id}{PART}"
