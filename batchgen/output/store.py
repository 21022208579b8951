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
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath

import aiofiles

from batchgen.errors import StorageError
from batchgen.models import Artifact
from batchgen.output.images import Inspected
from batchgen.output.manifest import sync_folder
from batchgen.output.paths import open_regular
from batchgen.output.threads import COMPUTING, in_thread, run_executor
from batchgen.record import DECODED_DIGITS, EXTENSIONS, StoredImage
from batchgen.text import system_reason

IMAGES = "images"
SUPERSEDED = "superseded"
UNUSABLE = "unusable"
SPOOL = "spool"
"""Where images are kept that could not be written to their place."""
PART = ".part"

KNOWN_FOLDERS = 1_000
"""Folders that a store remembers; one that it forgot has its name synced once more."""

DERIVED = "derived"
"""In the temporary names of files that are made of images."""
DERIVED_PART = f".{DERIVED}{PART}"

MakeRoom = Callable[[str], Awaitable[None]]
"""Called with the path (below the output) of a file that is in the way; must move it elsewhere."""


@dataclass(slots=True)
class Saving:
    """An image on the way to its place."""

    image: StoredImage
    task_id: str
    data: bytes
    is_written: bool = False
    """Whether the temporary file is whole and synced."""
    is_placed: bool = False
    """Whether it has its name, durably; if not, something else may have it."""
    error: OSError | None = None

    @property
    def part(self) -> str:
        """Its temporary name."""
        return _part(self.image.path, self.task_id)


class Store:
    """The image files of one output folder."""

    def __init__(self, folder: Path, make_room: MakeRoom) -> None:
        self.folder = folder
        self._root = os.fspath(folder)
        """The same as a text: to put a `Path` together takes longer than what is done with it."""
        self._make_room = make_room
        self._durable: set[str] = set()
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
        saving = await in_thread(self.begin, stem, task_id, artifact, inspected)
        return await self.finish(saving)

    def begin(self, stem: str, task_id: str, artifact: Artifact, inspected: Inspected) -> Saving:
        """Do all of `save` that one thread can do without the loop; blocks.

        That is nearly always everything: the file is written, synced, named, and its name synced,
        in one go. `finish` says whether it was, and does the rest.
        """
        path = f"{stem}.{EXTENSIONS[inspected.format]}"
        saving = Saving(self.describe(path, artifact, inspected), task_id, artifact.data)
        try:
            self._make_folder(_parent(path))
            _write_now(self._at(saving.part), artifact.data)
            saving.is_written = True
            saving.is_placed = self._give_name(saving.part, path)
        except OSError as error:
            saving.error = error
        return saving

    async def finish(self, saving: Saving) -> StoredImage:
        """What was begun, as it is stored.

        Raises:
            StorageError: the disk did not take it.
        """
        path, part = saving.image.path, saving.part
        try:
            if saving.error is not None:
                raise saving.error  # as if it were met here
            if not saving.is_placed:
                await self.place(part, path)
        except OSError as error:
            text = f"{self.folder / path} could not be written: {system_reason(error)}"
            if not (saving.is_written and await in_thread(os.path.lexists, self.folder / part)):
                name = f"{PurePosixPath(path).name}.{saving.task_id}{PART}"
                text = f"{text}; {await self._keep(name, saving.data)}"
            raise StorageError(text) from error
        return saving.image

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
        if await in_thread(self._give_name, part, path):
            return
        await self._make_room(path)
        if not await in_thread(self._give_name, part, path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)

    def _give_name(self, part: str, path: str) -> bool:
        """Name a temporary file and sync the name; False if something else has it."""
        source, target = self._at(part), self._at(path)
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError:
            # A file system without hard links; one process holds the output, so the look stands.
            if os.path.lexists(target):
                return False
            os.rename(source, target)  # noqa: PTH104  # the crash tests count calls of `os`
        sync_folder(_parent(target))
        return True

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
            await self.make_folder(_parent(path))
            await self._write(part, data)
            await self.place(part, path)
        except OSError as error:
            text = f"{self.folder / path} could not be written: {system_reason(error)}"
            raise StorageError(text) from error
        await self.drop(part)

    async def settle(self, path: str, task_id: str) -> None:
        """Drop the temporary name of an image whose record is durable.

        Raises:
            StorageError: the disk did not let it go.
        """
        await in_thread(self.settle_all, (path,), task_id)

    def settle_all(self, paths: Iterable[str], task_id: str) -> None:
        """The same for all images of a task; blocks."""
        for path in paths:
            self._drop(_part(path, task_id))

    async def drop(self, part: str) -> None:
        """Remove a temporary name.

        Raises:
            StorageError: the disk did not let it go.
        """
        await in_thread(self._drop, part)

    def _drop(self, part: str) -> None:
        try:
            os.unlink(self._at(part))  # noqa: PTH108  # as above
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
            await self.make_folder(UNUSABLE)
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
            await self.make_folder(SPOOL)
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
        await in_thread(sync_folder, self.folder / relative)

    async def make_folder(self, relative: str) -> None:
        """Make a folder and its parents, each durable in its own parent.

        Looked at each time, for a folder can be removed, or become a link, while a run writes.

        Args:
            relative: its path below the output, with `/`; empty for the output itself.

        Raises:
            OSError: it cannot be made, or something else has its name.
        """
        await in_thread(self._make_folder, relative)

    def _make_folder(self, relative: str) -> None:
        if not relative:
            return
        parent = _parent(relative)
        self._make_folder(parent)
        is_new = _make_folder(self._at(relative))
        if is_new or relative not in self._durable:
            sync_folder(self._at(parent))
            if len(self._durable) >= KNOWN_FOLDERS:  # a job may have one for each image
                self._durable.clear()
            self._durable.add(relative)

    def _at(self, relative: str) -> str:
        """Where a path below the output lies."""
        return f"{self._root}/{relative}"

    async def _write(self, relative: str | Path, data: bytes) -> None:
        """What `_write_now` does, in many steps, for what is written seldom."""
        path = self.folder / relative
        if await in_thread(os.path.lexists, path):
            await in_thread(os.unlink, path)
        async with aiofiles.open(path, "xb", buffering=0, executor=run_executor()) as file:
            written = 0
            view = memoryview(data)
            while written < len(data):
                written += await file.write(view[written:])  # a raw write may be short
            await in_thread(os.fsync, file.fileno())


def _write_now(path: str, data: bytes) -> None:
    """Write a file that is not there yet, and sync it; a leftover of the same task is dropped."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC  # and so follows no link
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileExistsError:
        os.unlink(path)  # noqa: PTH108  # the crash tests count calls of `os`
        descriptor = os.open(path, flags, 0o666)
    try:
        rest = memoryview(data)
        with COMPUTING:  # this is a copy for the kernel; the disk takes it in the sync
            while rest:
                rest = rest[os.write(descriptor, rest) :]  # a write may be short
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _holds(path: Path, data: bytes) -> bool:
    """Whether a file is there and has these bytes."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            return file.read(len(data) + 1) == data
    except OSError:
        return False


def _make_folder(path: str) -> bool:
    """Make a folder unless it is there; whether it was made. Several threads may do it."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        with suppress(FileExistsError):  # another image's thread was first
            os.mkdir(path)  # noqa: PTH102  # the crash tests count calls of `os`
            return True
        mode = os.lstat(path).st_mode
    if not stat.S_ISDIR(mode):
        what = "a link, which is not followed" if stat.S_ISLNK(mode) else "no folder"
        raise NotADirectoryError(errno.ENOTDIR, f"{path} is {what}")
    return False


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _part(path: str, task_id: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.{task_id}{PART}" if folder else f".{name}.{task_id}{PART}"
