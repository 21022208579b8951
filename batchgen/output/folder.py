"""One output folder in the hands of one run: lock, history, manifest, files and their names."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import resource
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath

from batchgen.errors import ManifestError, OutputBusy, OutputUnusable, StorageError
from batchgen.output.history import History
from batchgen.output.images import BrokenImage, inspect_image
from batchgen.output.lock import Lock, hold_lock
from batchgen.output.manifest import (
    MANIFEST_NAME,
    Manifest,
    read_manifest,
    sync_folder,
)
from batchgen.output.paths import inner_path, open_regular, refuse_links, unusable
from batchgen.output.read_history import load_history
from batchgen.output.store import IMAGES, PART, SPOOL, SUPERSEDED, UNUSABLE, Store
from batchgen.output.threads import in_thread
from batchgen.record import DerivedFile, MovedLine, Record, RepairLine
from batchgen.text import system_reason

TASK_ID_FORM = re.compile(r"[0-9]+-[0-9a-f]{32}")
"""What `task.task_id` makes: other programs have files that end like our temporary ones."""
PROOF = ".batchgen-proof"
"""Name of the file that shows that a folder takes one; what a killed run left of it goes."""
LARGEST_IMAGE = 25_000_000
"""Bytes: the largest body that Bedrock sends."""
ROOM_FOR_LINES = 16_000_000
"""Bytes by which the manifest of one run may grow."""
FILES_BESIDE = 16
"""Files and folders that a run makes besides its images."""
LOCK_EVERY = 1.0
"""Seconds between two looks at a lock that another run holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A temporary image file of a run that was killed."""

    part: str
    """Path of the temporary file, below the output."""
    path: str
    """Path that the image was to have; of a spooled one its last part alone."""
    task_id: str
    is_spooled: bool = False
    """It could not be written to its place, and was kept in the spool."""


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

    async def prove(self, calls: int) -> None:
        """Make sure that images will find their place: after a call it is too late.

        Each folder is made, takes a file, syncs it, gives it a second name and lets it go.

        Args:
            calls: that may be in flight at once, each with a file to come.

        Raises:
            OutputUnusable: a folder is a link or takes no file, or files may not grow enough.
            StorageError: the disk is full.
        """
        for name in (SUPERSEDED, IMAGES, UNUSABLE):
            try:
                await self.store.make_folder(name)
                await in_thread(_prove_folder, self.folder / name, self.folder / SUPERSEDED)
            except OSError as error:
                text = f"{self.folder / name} cannot take images"
                raise unusable(text, error) from error
        await in_thread(require_limits, self.folder, calls)

    def leftovers(self) -> Iterator[Leftover]:
        """Temporary files below the output whose names say which task they belong to."""
        for found in sorted(_parts(self.folder)):
            relative = found.relative_to(self.folder)
            top, is_spooled = relative.parts[0], relative.parts[0] == SPOOL
            if top == SUPERSEDED or found.name.startswith(".") == is_spooled:
                continue
            name, _, task_id = found.name.removeprefix(".")[: -len(PART)].rpartition(".")
            path = inner_path(name if is_spooled else (relative.parent / name).as_posix())
            if name and TASK_ID_FORM.fullmatch(task_id) and path is not None:
                yield Leftover(
                    part=relative.as_posix(), path=path, task_id=task_id, is_spooled=is_spooled
                )

    def require_inside(self, path: str) -> Path:
        """Where a path of the manifest lies, before anything is done there.

        Raises:
            StorageError: a link is on the way, and it may lead anywhere.
        """
        try:
            refuse_links(self.folder, path)
        except OSError as error:
            raise StorageError(f"{path} is left alone: {system_reason(error)}") from error
        return self.folder / path

    async def _move(self, task_id: str | None, path: str, new_path: str) -> None:
        """Move a file without a moment in which a record points at nothing.

        The second name first, then the line that follows the file to it, then the first name goes.

        Args:
            task_id: whose image it is; None for a file that no record knows.
        """
        source, target = self.require_inside(path), self.require_inside(new_path)
        beside = await in_thread(self._beside, task_id, path, new_path)
        try:
            await self.store.make_folder(new_path.rpartition("/")[0])
            for old, new in beside:
                await in_thread(_second_name, old, new)
            await in_thread(_second_name, source, target)
            await self.store.sync_folder(Path(new_path).parent)
            if task_id is not None:
                line = MovedLine(run_id=self._run_id, task_id=task_id, path=path, new_path=new_path)
                await self.manifest.append(line)
                self.history.moved[task_id] = new_path
            self._pass_on(path, new_path, task_id)
            for old in (source, *(old for old, _ in beside)):
                await in_thread(old.unlink, missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{source} could not be moved to {target}: {system_reason(error)}"
            ) from error

    def _beside(
        self, task_id: str | None, path: str, new_path: str, *, is_gone: bool = False
    ) -> list[tuple[Path, Path]]:
        """What was derived of an image that moves: where it is, and where it goes.

        A file with other bytes may be an image that has taken the name since, and stays.

        Args:
            is_gone: the image has its new path already.
        """
        record = None if task_id is None else self.history.present(task_id)
        if record is None or not record.images:
            return []
        image = record.images[0]
        if image.path != (new_path if is_gone else path):
            return []
        before = image.at(path).derived
        pairs = zip(
            (each for each in before if each.stays_beside), image.at(new_path).derived, strict=True
        )
        return [
            (self.require_inside(old.path), self.require_inside(new.path))
            for old, new in pairs
            if _is_whole(self.require_inside(old.path), old)
        ]

    async def finish_move(self) -> None:
        """Take away the first name of a file whose move a kill cut short after its line."""
        if self.history.last_move is None:
            return
        path, new_path = map(self.require_inside, self.history.last_move)
        moved = self.history.last_moved
        beside = await in_thread(self._beside, moved, *self.history.last_move, is_gone=True)
        for old, new in ((path, new_path), *beside):
            if await in_thread(_has_both_names, old, new):
                try:
                    await in_thread(old.unlink, missing_ok=True)
                except OSError as error:
                    raise StorageError(
                        f"{old} could not be removed: {system_reason(error)}"
                    ) from error

    async def rename(self, task_id: str, path: str, new_path: str) -> None:
        """Give an image of an earlier run the name that its task has now.

        Args:
            path: where its record says it is, unless it moved since.
        """
        async with self._moving:
            await self._clear(new_path)
            now = self.history.moved.get(task_id, path)
            for old, new in await in_thread(self._beside, task_id, now, new_path):
                if not await in_thread(_is_same, old, new):
                    await self._clear(new.relative_to(self.folder).as_posix())
            await self._move(task_id, now, new_path)

    async def _make_room(self, path: str) -> None:
        async with self._moving:
            await self._clear(path)

    async def _clear(self, path: str) -> None:
        """Move the file that has a name which is needed to `superseded/`: it was paid for."""
        if not await in_thread(os.path.lexists, self.folder / path):
            return
        owners = await in_thread(self.owners)
        owner = owners.get(path)
        await self._move(owner, path, await in_thread(self._free_name, path, owner))

    def owners(self) -> dict[str, str]:
        """Path -> task id of the record whose file it is; blocks."""
        if self._owners is None:
            self._owners = owners_of(self.folder / MANIFEST_NAME)
        return self._owners

    def own(self, record: Record) -> None:
        """Take note of a record that has come under a name which may be another task's by now."""
        if self._owners is not None:
            self._owners.update((image.path, record.task_id) for image in record.images)

    def _pass_on(self, path: str, new_path: str, owner: str | None) -> None:
        if self._owners is None or owner is None:
            return
        if self._owners.get(path) == owner:
            del self._owners[path]
        self._owners[new_path] = owner

    def _free_name(self, path: str, owner: str | None) -> str:
        inside = PurePosixPath(SUPERSEDED, path.removeprefix("images/"))
        for number in count(1):
            name = inside.with_name(f"{inside.stem}~{number}{inside.suffix}")
            target = self.folder / name
            pairs = [(self.folder / path, target)]
            pairs += self._beside(owner, path, name.as_posix())
            # The same file under both names is a move that a kill cut short.
            if all(not os.path.lexists(new) or _is_same(old, new) for old, new in pairs):
                return name.as_posix()
        raise AssertionError("the count has no end")


def _parts(folder: Path) -> Iterator[Path]:
    """Files below a folder with a temporary name; holds one name of a million at a time."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _parts(Path(entry.path))
            elif entry.name.endswith(PART):
                yield Path(entry.path)


def _is_whole(path: Path, derived: DerivedFile) -> bool:
    """Whether the file that was derived is here, with its bytes."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            data = file.read(derived.bytes + 1)
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == derived.sha256


def _is_same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return False


def refuse_lost_manifest(folder: Path) -> None:
    """An output that has images and no manifest is not an empty one: nothing says what was made.

    Raises:
        ManifestError: a whole image lies there, and the manifest is missing or empty.
    """
    manifest = folder / MANIFEST_NAME
    try:
        if not stat.S_ISREG(manifest.lstat().st_mode) or manifest.stat().st_size:
            return  # what is no file is refused when it is opened
    except FileNotFoundError:
        pass
    except OSError:
        return
    found = next(_whole_images(folder), None)
    if found is not None:
        raise ManifestError(
            f"{folder} holds images ({found.relative_to(folder)}) and no {MANIFEST_NAME}, which "
            "says what they are: put it back, let `batchgen verify --adopt` rebuild it from images "
            "that carry `metadata: full`, or let --fresh make everything again."
        )


def _whole_images(folder: Path) -> Iterator[Path]:
    for name in (IMAGES, SUPERSEDED, SPOOL):
        for path in (folder / name).rglob("*"):
            try:
                with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
                    inspect_image(file.read(LARGEST_IMAGE))
            except (OSError, BrokenImage):
                continue
            yield path


def _has_both_names(first: Path, second: Path) -> bool:
    """Whether these are two names of one file, of which one can go without losing it."""
    try:
        one, other = first.lstat(), second.lstat()
    except OSError:
        return False
    is_same = (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
    return is_same and first != second and stat.S_ISREG(one.st_mode) and one.st_nlink > 1


def _prove_folder(folder: Path, superseded: Path) -> None:
    """Do to a file in this folder what will be done to an image."""
    names = [folder / PROOF, superseded / f"{PROOF}-2"]
    for name in names:
        if os.path.lexists(name):
            os.unlink(name)  # noqa: PTH108  # the crash tests count calls of `os`
    descriptor = os.open(names[0], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, b"batchgen was here")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _second_name(*names)
    for name in names:
        if os.path.lexists(name):
            os.unlink(name)  # noqa: PTH108  # as above


def require_limits(folder: Path, calls: int) -> None:
    """Look at what the system lets this process write.

    Raises:
        OutputUnusable: files may not become as large as an image, or the manifest, can be.
        StorageError: no file is left to be made.
    """
    largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    lines = 0
    with suppress(OSError):  # doctor looks at outputs that are still to be made
        lines = (folder / MANIFEST_NAME).lstat().st_size
    need = max(LARGEST_IMAGE, lines + ROOM_FOR_LINES)
    if largest != resource.RLIM_INFINITY and largest < need:
        raise OutputUnusable(
            f"Files of this process may have {largest} bytes, and those of {folder} need up to "
            f"{need}: raise the limit (`ulimit -f unlimited`)."
        )
    system = os.statvfs(folder)
    if system.f_files and system.f_favail < calls + FILES_BESIDE:
        raise StorageError(
            f"The file system of {folder} has {system.f_favail} files (inodes) left, and the calls "
            f"in flight need up to {calls + FILES_BESIDE}: remove some files there."
        )


def _second_name(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        if not _is_same(source, target):
            raise
    except OSError:
        source.rename(target)  # a file system without hard links


def owners_of(manifest: Path) -> dict[str, str]:
    """Path -> task id of the record whose file it is now, for every file of a manifest."""
    paths: dict[str, str] = {}
    for line in read_manifest(manifest):
        if isinstance(line, Record):
            inside = filter(inner_path, (image.path for image in line.images))
            paths.update((path, line.task_id) for path in inside)
        elif isinstance(line, MovedLine):
            if paths.get(line.path) == line.task_id:
                del paths[line.path]
            paths[line.new_path] = line.task_id
        elif isinstance(line, RepairLine):
            for file in line.files:
                paths.pop(file.path, None)
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
        OutputUnusable: it cannot be written.
        ManifestError: its manifest cannot be used.
    """
    try:
        await in_thread(_make, folder)
    except OSError as error:
        advice = ". Name another one with `output` or --output."
        raise unusable(f"The output {folder} cannot be made", error, advice) from error
    with ExitStack() as stack:
        lock = await _lock(stack, folder, lock_wait or LockWait())
        manifest = Manifest.open(folder, lock)
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


async def _lock(stack: ExitStack, folder: Path, lock_wait: LockWait) -> Lock:
    """Take the lock; the kernel tells nobody when it is free, so a waiter looks every second."""
    last = time.monotonic() + lock_wait.wait
    for looks in count():
        try:
            return stack.enter_context(hold_lock(folder))
        except OutputBusy as error:
            if time.monotonic() >= last:
                raise
            if looks == 0 and lock_wait.notify is not None:
                lock_wait.notify(f"{error} This run starts when that one has ended.")
            await lock_wait.sleep(LOCK_EVERY)
    raise AssertionError("the count has no end")


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
