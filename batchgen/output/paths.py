"""Paths that a manifest names, and files that are opened by name.

A manifest is data, not orders: whoever wrote a line, what it names stays inside the output, and no
link is followed to get there.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from batchgen.errors import OutputUnusable, StorageError
from batchgen.text import cannot_be_named, system_reason

FULL = (errno.ENOSPC, errno.EDQUOT)
LONGEST = 4096
"""Characters of a path, as Linux allows them."""
PLAIN = re.compile(r"images(?:/[A-Za-z0-9_-][A-Za-z0-9_.~-]{0,254}){1,15}", re.ASCII)
"""As runs name images: below the output, however it is read; others are looked at in parts."""
OURS = frozenset({"manifest.jsonl", "manifest.lock"})
"""Files of the output that are no image, and that no line may name."""


def inner_path(value: object) -> str | None:
    """A path that a line names, if it is one below the output; None if it is to be refused."""
    if not isinstance(value, str):
        return None
    if PLAIN.fullmatch(value):
        return value
    if not 0 < len(value) <= LONGEST or "\0" in value:
        return None
    parts = PurePosixPath(value).parts
    # As it is written: `a/./b` or `a//b` would be a second name of the same file.
    if value.startswith("/") or ".." in parts or "/".join(parts) != value or parts[0] in OURS:
        return None
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return None
    return value


def require_names(names: Iterable[str]) -> None:
    """Make sure that files can have these names, before anything is paid for.

    Raises:
        OutputUnusable: one has a letter that the encoding of the file system lacks.
    """
    for name in names:
        try:
            os.fsencode(name)
        except UnicodeEncodeError:
            raise OutputUnusable(cannot_be_named(name)) from None


def unusable(text: str, error: OSError, advice: str = "") -> StorageError:
    """Why an output cannot be used from the start; where the disk is full it can be, later."""
    kind = StorageError if error.errno in FULL else OutputUnusable
    return kind(f"{text}: {system_reason(error)}{advice}")


def refuse_links(folder: Path, path: str) -> None:
    """Look at the folders between an output and a file in it; one that is missing is none.

    Raises:
        OSError: one of them is a link, or no folder.
    """
    place = folder
    for part in PurePosixPath(path).parts[:-1]:
        place /= part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(mode):
            what = "a link" if stat.S_ISLNK(mode) else "no folder"
            raise NotADirectoryError(errno.ENOTDIR, f"{place} is {what}")


def open_regular(path: Path, flags: int) -> int:
    """A descriptor of a regular file, made if the flags say so; a link is not followed.

    Raises:
        OSError: it cannot be opened, or it is a link, a pipe, a device or a folder.
    """
    try:
        _require_regular(path.lstat())  # before the opening: that of a device can do something
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    try:
        _require_regular(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _require_regular(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        what = "a link, which is not followed" if stat.S_ISLNK(found.st_mode) else "no regular file"
        raise OSError(errno.EINVAL, f"it is {what}")
