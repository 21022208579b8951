"""One output folder in the hands of one run: lock, history, manifest, files and their names."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath

from batchgen.errors import OutputBusy, StorageError
from batchgen.output.history import History, load_history
from batchgen.output.lock import hold_lock
from batchgen.output.manifest import MANIFEST_NAME, Manifest, read_manifest, sync_folder
from batchgen.output.store import PART, SUPERSEDED, Store
from batchgen.output.threads import in_thread
from batchgen.record import MovedLine, Record
from batchgen.text import system_reason

TASK_ID_FORM = re.compile(r"[0-9]+-[0-9a-f]{32}")
"""What `task.task_id` makes: other programs have files that end like our temporary ones."""
IMAGES = "images"
LOCK_EVERY = 1.0
"""Seconds between two looks at a lock that another run holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A temporary image file of a run that was killed."""

    part: str
    """Path of the temporary file, below the output."""
    path: str
    """Path that the image was to have."""
    task_id: str


class OutputFolder:
    """An output folder that is locked, read and open for writing."""

    def __init__(self, folder: Path, history: History, manifest: Manifest, run_id: str) -> None:
        self.folder = folder
        self.history = history
        self.manifest = manifest
        self.store = Store(folder, self._make_room)
        self._run_id = run_id
        self._owners: dict[str, str] | None = None
        self._moving = asyncio.Lock()
        """One move at a time: a file that moves must not be moved by another."""

    async def prepare(self) -> None:
        """Make the folder of the images: after a call it is too late to find that it fails."""
        images = self.folder / IMAGES
        try:
            await self.store.make_folder(Path(IMAGES))
        except OSError as error:
            raise StorageError(
                f"{images} cannot be a folder of images: {error.strerror}."
            ) from error

    def leftovers(self) -> Iterator[Leftover]:
        """Temporary files below the output whose names say which task they belong to."""
        for found in sorted(_parts(self.folder)):
            relative = found.relative_to(self.folder)
            name, _, task_id = found.name[1 : -len(PART)].rpartition(".")
            if name and TASK_ID_FORM.fullmatch(task_id) and relative.parts[0] != SUPERSEDED:
                path = (relative.parent / name).as_posix()
                yield Leftover(part=relative.as_posix(), path=path, task_id=task_id)

    async def _move(self, task_id: str | None, path: str, new_path: str) -> None:
        """Move a file without a moment in which a record points at nothing.

        The second name first, then the line that follows the file to it, then the first name goes.

        Args:
            task_id: whose image it is; None for a file that no record knows.
        """
        source, target = self.folder / path, self.folder / new_path
        try:
            await self.store.make_folder(Path(new_path).parent)
            await in_thread(_second_name, source, target)
            await self.store.sync_folder(Path(new_path).parent)
            if task_id is not None:
                line = MovedLine(run_id=self._run_id, task_id=task_id, path=path, new_path=new_path)
                await self.manifest.append(line)
                self.history.moved[task_id] = new_path
            await in_thread(source.unlink, missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{source} could not be moved to {target}: {system_reason(error)}"
            ) from error

    async def finish_move(self) -> None:
        """Take away the first name of a file whose move a kill cut short after its line."""
        if self.history.last_move is None:
            return
        path, new_path = (self.folder / name for name in self.history.last_move)
        if await in_thread(_is_same, path, new_path):
            try:
                await in_thread(path.unlink, missing_ok=True)
            except OSError as error:
                raise StorageError(
                    f"{path} could not be removed: {system_reason(error)}"
                ) from error

    async def rename(self, task_id: str, path: str, new_path: str) -> None:
        """Give an image of an earlier run the name that its task has now.

        Args:
            path: where its record says it is, unless it moved since.
        """
        async with self._moving:
            await self._clear(new_path)
            await self._move(task_id, self.history.moved.get(task_id, path), new_path)

    async def _make_room(self, path: str) -> None:
        async with self._moving:
            await self._clear(path)

    async def _clear(self, path: str) -> None:
        """Move the file that has a name which is needed to `superseded/`: it was paid for."""
        if not await in_thread(os.path.lexists, self.folder / path):
            return
        owners = await in_thread(self.owners)
        owner = owners.get(path)
        await self._move(owner, path, await in_thread(self._free_name, path))

    def owners(self) -> dict[str, str]:
        """Path -> task id of the record whose file it was when this run began; blocks."""
        if self._owners is None:
            self._owners = _owners(self.folder / MANIFEST_NAME)
        return self._owners

    def _free_name(self, path: str) -> str:
        inside = PurePosixPath(SUPERSEDED, path.removeprefix("images/"))
        for number in count(1):
            name = inside.with_name(f"{inside.stem}~{number}{inside.suffix}")
            target = self.folder / name
            # The same file under both names is a move that a kill cut short.
            if not os.path.lexists(target) or _is_same(self.folder / path, target):
                return name.as_posix()
        raise AssertionError("the count has no end")


def _parts(folder: Path) -> Iterator[Path]:
    """Files below a folder with a temporary name; holds one name of a million at a time."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _parts(Path(entry.path))
            elif entry.name.startswith(".") and entry.name.endswith(PART):
                yield Path(entry.path)


def _is_same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return False


def _second_name(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        if not _is_same(source, target):
            raise
    except OSError:
        source.rename(target)  # a file system without hard links


def _owners(manifest: Path) -> dict[str, str]:
    """Path -> task id of the record whose file it is now, for every file of a manifest."""
    paths: dict[str, str] = {}
    for line in read_manifest(manifest):
        if isinstance(line, Record):
            paths.update((image.path, line.task_id) for image in line.images)
        elif isinstance(line, MovedLine):
            if paths.get(line.path) == line.task_id:
                del paths[line.path]
            paths[line.new_path] = line.task_id
    return paths


@dataclass(frozen=True, slots=True, kw_only=True)
class LockWait:
    """How long a run waits for another one that holds its output."""

    wait: float = 0.0
    """Seconds."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """May raise, to end the waiting."""
    notify: Callable[[str], None] | None = None
    """Called once, with who is waited for."""


@asynccontextmanager
async def open_output(
    folder: Path, run_id: str, *, lock_wait: LockWait | None = None
) -> AsyncIterator[OutputFolder]:
    """Make, lock, seal and read an output folder.

    Raises:
        OutputBusy: another run holds it, and did not end in time.
        StorageError: it cannot be written.
        ManifestError: its manifest cannot be used.
    """
    try:
        await in_thread(_make, folder)
    except OSError as error:
        text = f"The output {folder} cannot be made: {error.strerror}."
        raise StorageError(f"{text} Name another one with `output` or --output.") from error
    with ExitStack() as stack:
        await _lock(stack, folder, lock_wait or LockWait())
        manifest = Manifest.open(folder)
        try:
            history = await in_thread(load_history, folder / MANIFEST_NAME)
            output = OutputFolder(folder, history, manifest, run_id)
            yield output
        finally:
            manifest.close()


def _make(folder: Path) -> None:
    """Make the output; its own name is synced too, else a loss of power takes all that is in it."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in made or [folder]:
        with suppress(PermissionError):  # a folder above that is not ours to read
            sync_folder(each.parent)


async def _lock(stack: ExitStack, folder: Path, lock_wait: LockWait) -> None:
    """Take the lock; the kernel tells nobody when it is free, so a waiter looks every second."""
    last = time.monotonic() + lock_wait.wait
    for looks in count():
        try:
            stack.enter_context(hold_lock(folder))
        except OutputBusy as error:
            if time.monotonic() >= last:
                raise
            if looks == 0 and lock_wait.notify is not None:
                lock_wait.notify(f"{error} This run starts when that one has ended.")
            await lock_wait.sleep(LOCK_EVERY)
        else:
            return


MOUNTS = Path("/proc/self/mountinfo")


NETWORK = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
    | {"glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
)
"""File system types (Linux names) whose locks or syncs depend on another machine."""


def network_file_system(folder: Path, mounts: Path = MOUNTS) -> str | None:
    """The type of the network file system that a folder lies on; None for a local one.

    Also None where the machine does not say (other systems than Linux).
    """
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    best, kind = -1, ""
    resolved = folder.resolve()
    for line in lines:
        before, _, after = line.partition(" - ")
        point = _mount_point(before)
        if resolved.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split(" ")[0]
    return kind if kind in NETWORK else None


def _mount_point(fields: str) -> Path:
    """The fifth field of a line of mountinfo, in which a space is written as an octal number."""
    named = fields.split(" ")[4:5]
    return Path(named[0].replace("\\040", " ")) if named else Path("/")
