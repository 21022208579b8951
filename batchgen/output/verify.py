"""Is an output what its manifest says? Everything is read, nothing is changed.

Each record that counts (the last of its task, succeeded) is held against its files, and each file
against the records. While a run writes, what it has in hand is left out.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from batchgen.errors import ManifestError
from batchgen.output.folder import LARGEST_IMAGE, PROOF, TASK_ID_FORM
from batchgen.output.history import History
from batchgen.output.images import BrokenImage, decode_image, read_shape
from batchgen.output.lock import lock_holder
from batchgen.output.manifest import is_damaged, open_manifest, parse_line
from batchgen.output.paths import open_regular, refuse_links
from batchgen.output.read_history import load_history
from batchgen.output.store import DERIVED_PART, IMAGES, PART, SPOOL
from batchgen.output.threads import cores
from batchgen.record import (
    DerivedFile,
    DerivedLine,
    Line,
    Record,
    RepairLine,
    RunLine,
    Status,
    StoredImage,
)
from batchgen.task import ID_VERSION, task_id
from batchgen.text import quoted, system_reason

ASIDE = "aside"
"""Folder of an output where `--repair` and `--prune` move files; nothing is ever deleted."""
LARGEST_FILE = 2 * LARGEST_IMAGE
"""Bytes of a file that is decoded: an image may have grown by its metadata."""
EARLY = 0.02
"""Seconds that the time of a file may lie after that of its record without being looked into."""
WINDOW = 16
"""Files for each thread that are handed out before the first of them is done."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
NOT_OURS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", PROOF})
"""Files that systems leave in folders, and the one that a run proves a folder with."""


class Kind(StrEnum):
    """What can be wrong."""

    MISSING = "missing"
    NOT_A_FILE = "no file"
    """A link, a pipe, a device or a folder has its name."""
    SIZE = "size"
    CONTENT = "content"
    """The size is right and the sha256 is not."""
    BROKEN = "broken"
    """The bytes are those on record, and no whole image: pixels that end early."""
    UNLIKE = "unlike"
    """It is another picture than the record says: format, width or height."""
    NO_IMAGE = "no image"
    """A record of success names no file."""
    WRONG_ID = "wrong id"
    """The id is not that of the request."""
    SHARED = "shared"
    """Two records name one file; this one's bytes are not there."""
    LINE = "damaged line"
    STRAY = "stray"
    """No record names the file."""
    DERIVED = "derived"
    """A file that was derived of an image is missing or damaged; the next run makes it again,
    without a call."""
    LEFTOVER = "leftover"
    """An image of a run that was killed; the next run whose job has its task puts it on record."""


ON_RECORD_NEXT = "the next run puts it on record, if its job still has the task"
OF_RECORDS = frozenset(Kind) - {Kind.LINE, Kind.STRAY, Kind.LEFTOVER, Kind.DERIVED}
"""Kinds of which a record is the subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be."""

    kind: Kind
    text: str
    """What is wrong, in a few words; of a path or a line that stand beside it."""
    path: str | None = None
    """Of the file, below the output."""
    task_id: str | None = None
    label: str | None = None
    offset: int | None = None
    """In bytes, of the line in the manifest."""
    files: tuple[str, ...] = ()
    """All files of the record, where they should be now."""


@dataclass(slots=True, kw_only=True)
class Verified:
    """What a verification came to."""

    manifest: Path
    holder: str | None
    """The run that holds the output, in words; what it has in hand was left out."""
    records: int = 0
    """Records that count and have files."""
    files: int = 0
    bytes: int = 0
    """That were read."""
    findings: list[Finding] = field(default_factory=list)
    unchecked_ids: int = 0
    """Ids of another version, which cannot be made again."""
    settled_lines: tuple[int, ...] = ()
    """Offsets of damaged lines that a repair has named, and that are no findings."""
    last_start: datetime | None = None
    """When the last run began, UTC."""

    @property
    def counts(self) -> Counter[Kind]:
        """Kind -> findings."""
        return Counter(finding.kind for finding in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A file, as a record says that it is."""

    path: str
    image: StoredImage | DerivedFile
    record: Record
    files: tuple[str, ...]
    """All of the record, or only itself if it is derived."""

    def finding(self, kind: Kind, text: str) -> Finding:
        """Something is wrong with it."""
        if isinstance(self.image, DerivedFile):
            kind, text = Kind.DERIVED, f"{text}; it was made of {self.record.images[0].path}"
        return Finding(
            kind=kind,
            text=text,
            path=self.path,
            task_id=self.record.task_id,
            label=self.record.label,
            files=self.files,
        )


class _Wrong(Exception):
    """What is wrong with a file."""

    def __init__(self, kind: Kind, text: str) -> None:
        self.kind = kind
        self.text = text


Progress = Callable[[int, int], None]
"""Called with the files that are done, and with how many there are."""


def verify_output(
    manifest: Path,
    *,
    quick: bool = False,
    is_ours: bool = False,
    threads: int | None = None,
    progress: Progress = lambda *_: None,
) -> Verified:
    """Hold an output against its manifest, on all cores; blocks.

    Args:
        manifest: of the output that is the folder around it.
        quick: look at sizes and times; only files that are newer than their record are read.
        is_ours: the lock of the output is held by the caller.
        threads: that read files; None: two for each core.
        progress: see `Progress`.

    Raises:
        ManifestError: it cannot be read, is empty or no manifest, or names a path outside.
        StorageError: the lock file cannot be read.
    """
    return _Verification(manifest, quick=quick, is_ours=is_ours, progress=progress).run(
        threads or 2 * cores()
    )


class _Verification:
    def __init__(self, manifest: Path, *, quick: bool, is_ours: bool, progress: Progress) -> None:
        self._folder = manifest.parent
        self._quick = quick
        self._progress = progress
        self._found = Verified(
            manifest=manifest, holder=None if is_ours else lock_holder(manifest.parent)
        )
        self._history: History = load_history(manifest)
        self._owners: dict[str, int] = {}
        """Path -> offset of the record whose file it is; all of them, to know the strays."""
        self._derived: set[str] = set()
        """Paths of files that were derived of images."""
        self._shared: list[tuple[str, Expected]] = []
        """A path, and the second record that names it."""
        self._damaged: dict[int, bytes] = {}
        """Offset -> a line that cannot be read."""
        self._total = self._history.counts()[Status.SUCCEEDED]
        self._missing: dict[tuple[int, str], str] = {}
        """Size and sha256 of a file that is gone -> its path."""
        self._end = 0
        """Offset behind the last line that was read."""

    def run(self, threads: int) -> Verified:
        with ThreadPoolExecutor(threads, thread_name_prefix="batchgen-verify") as pool:
            window: deque[Future[tuple[int, Finding | None]]] = deque()
            for expected in self._expected():
                window.append(pool.submit(self._check, expected))
                if len(window) > WINDOW * threads:
                    self._take(window.popleft())
            while window:
                self._take(window.popleft())
        self._settle_shared()
        self._found.findings = [
            # An image may have taken the name of what is no longer derived.
            each
            for each in self._found.findings
            if each.kind is not Kind.DERIVED or each.path not in self._owners
        ]
        self._found.findings += self._damaged_lines()
        self._found.findings += self._strays()
        if self._found.holder is not None:
            self._leave_out_what_moves()
        return self._found

    def _take(self, future: Future[tuple[int, Finding | None]]) -> None:
        size, finding = future.result()
        self._found.files += 1
        self._found.bytes += size
        if finding is not None:
            self._found.findings.append(finding)
        self._progress(self._found.files, max(self._total, self._found.files))

    # What the manifest says.

    def _lines(self) -> Iterator[tuple[int, Line]]:
        """Every readable line with its offset; notes the others."""
        manifest, known = self._found.manifest, 0
        settled: set[int] = set()
        try:
            with open_manifest(manifest, buffering=1 << 20) as file:
                for data in file:
                    offset, self._end = self._end, self._end + len(data)
                    line = parse_line(data)
                    if line is not None:
                        known += 1
                        yield offset, line
                        if isinstance(line, RepairLine):
                            settled.update(line.damaged_lines)
                        elif isinstance(line, RunLine):
                            self._found.last_start = line.started_at
                    elif is_damaged(data):
                        self._damaged[offset] = data
        except FileNotFoundError:
            raise ManifestError(
                f"{manifest} is not there: put it back, or let --adopt rebuild it from what the "
                "images say of themselves"
            ) from None
        except OSError as error:
            raise ManifestError(f"{manifest} cannot be read: {system_reason(error)}") from error
        if not known:
            raise ManifestError(
                f"{manifest} holds no line of a run: it is empty, damaged, or no manifest"
            )
        self._found.settled_lines = tuple(sorted(settled & self._damaged.keys()))
        for offset in self._found.settled_lines:
            del self._damaged[offset]

    def _expected(self) -> Iterator[Expected]:
        """The files of the records that count, each once."""
        for offset, record in self._lines():
            if not isinstance(record, Record):
                continue
            if self._history.offset(record.task_id) != offset:
                continue  # a later one counts
            self._check_id(record)
            if record.status is Status.SUCCEEDED:
                yield from self._files(record, offset)

    def _files(self, record: Record, offset: int) -> Iterator[Expected]:
        self._found.records += 1
        if not record.images:
            finding = Finding(
                kind=Kind.NO_IMAGE,
                text="its record of success names no file",
                task_id=record.task_id,
                label=record.label,
                offset=offset,
            )
            self._found.findings.append(finding)
        files = self._present_paths(record)
        derived = self._history.placed(record).images[0].derived if record.images else ()
        whole = (*files, *(each.path for each in derived))
        for path, image in zip(files, record.images, strict=True):
            expected = Expected(path=path, image=image, record=record, files=whole)
            if path in self._owners:
                self._shared.append((path, expected))
            else:
                self._owners[path] = offset
                yield expected
        for each in derived:
            self._derived.add(each.path)
            yield Expected(path=each.path, image=each, record=record, files=(each.path,))

    def _check_id(self, record: Record) -> None:
        version = record.task_id.partition("-")[0]
        if version != ID_VERSION and version.isdecimal():
            self._found.unchecked_ids += 1
            return
        if record.task_id != task_id(record.model_id, record.request):
            finding = Finding(
                kind=Kind.WRONG_ID,
                text="its id is not that of its model and request",
                task_id=record.task_id,
                label=record.label,
                path=record.images[0].path if record.images else None,
                files=self._present_paths(record),
            )
            self._found.findings.append(finding)

    def _present_paths(self, record: Record) -> tuple[str, ...]:
        """Where the files of a record are now; the history has refused what leads elsewhere."""
        moved = self._history.moved.get(record.task_id)
        paths = [image.path for image in record.images]
        if moved is not None and paths:
            paths[0] = moved
        return tuple(paths)

    def _damaged_lines(self) -> Iterator[Finding]:
        for offset, data in self._damaged.items():
            if self._found.holder is not None and not data.endswith(b"\n"):
                continue  # it is being written
            shown = quoted(data[:40].decode("ascii", errors="replace"))
            yield Finding(kind=Kind.LINE, text=f"cannot be read: {shown}", offset=offset)

    # What the files say.

    def _check(self, expected: Expected) -> tuple[int, Finding | None]:
        """Hold one file against its record, in a thread; the bytes that were read count too."""
        try:
            return self._look(expected), None
        except _Wrong as wrong:
            return 0, expected.finding(wrong.kind, wrong.text)
        except FileNotFoundError as error:
            self._missing[expected.image.bytes, expected.image.sha256] = expected.path
            return 0, expected.finding(Kind.MISSING, system_reason(error))
        except OSError as error:
            return 0, expected.finding(Kind.NOT_A_FILE, system_reason(error))

    def _look(self, expected: Expected) -> int:
        image, path = expected.image, self._folder / expected.path
        refuse_links(self._folder, expected.path)
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise _Wrong(Kind.NOT_A_FILE, _what(found.st_mode))
        if found.st_size != image.bytes:
            raise _Wrong(Kind.SIZE, f"{found.st_size} bytes in place of {image.bytes}")
        if self._quick and found.st_mtime <= expected.record.finished_at.timestamp() + EARLY:
            return 0
        if found.st_size > LARGEST_FILE:
            raise _Wrong(Kind.BROKEN, f"{found.st_size} bytes are more than any image has")
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb", buffering=0) as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != image.sha256:
            raise _Wrong(Kind.CONTENT, "its sha256 is another one")
        try:
            # What its hash proves need not be decoded once more.
            form, width, height = (read_shape if image.is_decoded else decode_image)(data)
        except BrokenImage as error:
            raise _Wrong(Kind.BROKEN, str(error)) from error
        if (form, width, height) != (image.format, image.width, image.height):
            said = f"{image.format} of {image.width}x{image.height}"
            raise _Wrong(Kind.UNLIKE, f"{form} of {width}x{height}, on record as {said}")
        return len(data)

    def _settle_shared(self) -> None:
        """Of two records of one name, whose file is it? The other one's image is gone."""
        for path, second in self._shared:
            first = self._reread(path)
            _, problem = self._check(second)
            loser, winner = second, first
            if problem is None and first is not None and first.image.sha256 != second.image.sha256:
                loser, winner = first, second
                self._owners[path] = -1
                self._found.findings = [
                    each
                    for each in self._found.findings
                    if (each.path, each.task_id) != (path, first.record.task_id)
                ]
            name = "another record" if winner is None else quoted(winner.record.label)
            self._found.findings.append(loser.finding(Kind.SHARED, f"{name} names the same file"))

    def _reread(self, path: str) -> Expected | None:
        """What the first record of a path said of it."""
        with open_manifest(self._found.manifest) as file:
            file.seek(max(self._owners[path], 0))
            line = parse_line(file.readline())
        if not isinstance(line, Record):
            return None
        found = zip(self._present_paths(line), line.images, strict=True)
        for place, image in found:
            if place == path:
                return Expected(path=path, image=image, record=line, files=(path,))
        return None

    def _strays(self) -> Iterator[Finding]:
        """Files that no record names, but for those that the store itself sets aside."""
        is_busy = self._found.holder is not None
        for path in sorted(_image_files(self._folder)):
            if path in self._owners or path in self._derived:
                continue
            if _is_leftover(path):
                if not is_busy:
                    text = f"a run that was killed left it; {ON_RECORD_NEXT}"
                    yield Finding(kind=Kind.LEFTOVER, text=text, path=path)
            elif not path.startswith(f"{SPOOL}/"):
                text = f"no record names it{self._former_name(path)}"
                yield Finding(kind=Kind.STRAY, text=text, path=path)

    def _former_name(self, path: str) -> str:
        """Of a file that was renamed: to give it its name back costs nothing, unlike a repair."""
        try:
            refuse_links(self._folder, path)
            with os.fdopen(open_regular(self._folder / path, os.O_RDONLY), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if all(size != known for known, _ in self._missing):
                    return ""
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return ""
        name = self._missing.get((size, digest))
        if name is None:
            return ""
        return f"; it is {name}, which is missing: rename it back, and nothing is made again"

    def _leave_out_what_moves(self) -> None:
        """Drop what the run that holds the output did since we began, or has in hand."""
        started, touched, named = 0.0, set[str](), set[str]()
        at = 0
        with open_manifest(self._found.manifest, buffering=1 << 20) as file:
            for data in file:
                line, is_new, at = parse_line(data), at >= self._end, at + len(data)
                if isinstance(line, RunLine):
                    started = line.started_at.timestamp()
                elif is_new and line is not None:
                    touched.add(str(getattr(line, "task_id", "")))
                    if isinstance(line, Record):
                        named.update(image.path for image in line.images)
                        named.update(each.path for image in line.images for each in image.derived)
                    elif isinstance(line, DerivedLine):
                        named.update(each.path for each in line.derived)

        def is_in_hand(finding: Finding) -> bool:
            if finding.task_id is not None:
                return finding.task_id in touched
            if finding.path is None:
                return False
            try:
                written = (self._folder / finding.path).lstat().st_mtime
            except OSError:
                return True
            return finding.path in named or written >= started

        self._found.findings = [each for each in self._found.findings if not is_in_hand(each)]


def _what(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a link, which is not followed"
    return "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"


def _is_leftover(path: str) -> bool:
    """Whether a file has the temporary name of a task's image."""
    name = path.rpartition("/")[2]
    owner = name.removesuffix(PART).rpartition(".")[2]
    return name.endswith(PART) and TASK_ID_FORM.fullmatch(owner) is not None


def _image_files(folder: Path) -> Iterator[str]:
    """Files where images are: below `images/`, and pictures in the output itself."""
    with os.scandir(folder) as entries:
        for entry in entries:
            is_picture = entry.name.lower().endswith(PICTURES) or _is_leftover(entry.name)
            if is_picture and not entry.is_dir(follow_symlinks=False):
                yield entry.name
    for name in (IMAGES, SPOOL):
        if not (folder / name).is_symlink():
            yield from files_below(folder, name)


def files_below(folder: Path, inside: str) -> Iterator[str]:
    """The files in a folder of an output and in the folders below it; no link is followed."""
    try:
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                path = f"{inside}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    yield from files_below(folder, path)
                elif entry.name not in NOT_OURS and not entry.name.endswith(DERIVED_PART):
                    yield path
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        text = f"{folder / inside} cannot be read: {system_reason(error)}"
        raise ManifestError(text) from error
