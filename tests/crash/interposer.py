"""Counts the durable steps of this process, and lets it die, or the disk fail, at one of them.

Install it before aiofiles or batchgen are imported: they take functions of `os` as they find them.
"""

from __future__ import annotations

import base64
import errno
import io
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

KILLED = 9
"""Exit status of a process that died at a step."""
SPACE = frozenset({"create", "write", "pwrite", "fsync", "fdatasync", "link", "rename", "mkdir"})
"""Steps that a full disk refuses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens at one durable step."""

    step: int
    """1-based; 0 stands for none."""
    kind: str = "die"
    """`die` before the step, `tear` in its middle, `fail` it, or have every write `short`."""
    share: float = 0.5
    """Of the bytes of a torn or short write that reach the file; other steps are torn behind."""
    error: str = "EIO"
    """Name in `errno` of what a failed step says."""
    lasting: bool = False
    """Whether every later step fails as well."""


@dataclass(slots=True)
class Interposer:
    """The steps of one process so far, below one folder."""

    folder: str = ""
    fault: Fault = Fault(step=0)
    steps: list[str] = field(default_factory=list)
    """Kind and path of each, in the order in which they began."""
    data: list[str] = field(default_factory=list)
    """What each step wrote, in base64, or the path that it linked or renamed."""
    last_words: Callable[[], None] = lambda: None
    """Called before the process dies."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, folder: str, fault: Fault, last_words: Callable[[], None]) -> None:
        """Count from 1, only what happens in this folder."""
        self.folder, self.fault, self.last_words = os.path.realpath(folder), fault, last_words
        self.steps, self.data = [], []

    def step(
        self,
        kind: str,
        target: object,
        act: Callable[..., Any],
        data: bytes | None = None,
        source: object = None,
    ) -> Any:
        """Do what a step does, with `data` if it has any, unless the fault says otherwise."""
        arguments = () if data is None else (data,)
        path = _path(target)
        if not self.folder or not (path == self.folder or path.startswith(f"{self.folder}/")):
            return act(*arguments)
        fault = self.fault
        with self.lock:
            self.steps.append(f"{kind} {os.path.relpath(path, self.folder)}")
            self.data.append(self._said(data, source))
            hit = len(self.steps) == fault.step
            late = bool(fault.step) and len(self.steps) > fault.step
            if hit and fault.kind == "die":
                die()
        if fault.kind == "fail" and (hit or (late and fault.lasting)):
            _refuse(kind, path, fault.error)
        if data is not None and (fault.kind == "short" or (hit and fault.kind == "tear")):
            arguments = (memoryview(data)[: max(1, int(len(data) * fault.share))],)
        try:
            return act(*arguments)
        finally:
            if hit and fault.kind == "tear":
                die()

    def _said(self, data: bytes | None, source: object) -> str:
        if source is not None:
            return os.path.relpath(_path(source), self.folder)
        return "" if data is None else base64.b64encode(data).decode()


INTERPOSER = Interposer()
_exit, _os_open, _os_write, _os_pwrite = os._exit, os.open, os.write, os.pwrite


def die() -> NoReturn:
    """End as a kill ends: nothing is flushed, closed or finished."""
    INTERPOSER.last_words()
    _exit(KILLED)


def _refuse(kind: str, path: str, error: str) -> None:
    """Raise what the disk would; a full one still removes, and shortens."""
    if error not in {"ENOSPC", "EDQUOT"} or kind in SPACE:
        code = getattr(errno, error)
        raise OSError(code, os.strerror(code), path)


def _path(target: Any) -> str:
    if isinstance(target, int):
        try:
            return os.readlink(f"/proc/self/fd/{target}")
        except OSError:
            return ""
    return os.path.join(os.path.realpath(os.path.dirname(target)), os.path.basename(target))


class CountedFile(io.FileIO):
    """A raw file whose writes are steps."""

    def write(self, data: Any) -> int:
        return int(INTERPOSER.step("write", self.fileno(), super().write, data))


def _open_file(file: Any, mode: str = "r", buffering: int = -1, **others: Any) -> Any:
    if not set(mode) & set("wxa"):
        return open(file, mode, buffering=buffering, **others)
    assert buffering == 0, "a buffered file writes when it likes: its steps cannot be counted"
    return INTERPOSER.step("create", file, lambda: CountedFile(file, mode.replace("b", "")))


def _open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
    def act() -> int:
        return _os_open(path, flags, *args, **kwargs)

    creates = flags & os.O_CREAT and not os.path.lexists(path)
    return int(INTERPOSER.step("create", path, act)) if creates else act()


def _counted(kind: str) -> Callable[..., Any]:
    real = getattr(os, kind)

    def act(target: Any, *args: Any, **kwargs: Any) -> Any:
        return INTERPOSER.step(kind, target, lambda: real(target, *args, **kwargs))

    return act


def _counted_pair(kind: str) -> Callable[..., Any]:
    real = getattr(os, kind)

    def act(source: Any, target: Any, **kwargs: Any) -> Any:
        return INTERPOSER.step(kind, target, lambda: real(source, target, **kwargs), source=source)

    return act


def install() -> None:
    """Put the counting functions in the place of the real ones, for good."""
    os.open = _open
    os.write = lambda fd, data: INTERPOSER.step("write", fd, lambda part: _os_write(fd, part), data)
    os.pwrite = lambda fd, data, at: INTERPOSER.step(
        "pwrite", fd, lambda part: _os_pwrite(fd, part, at), data
    )
    for kind in ("fsync", "fdatasync", "ftruncate", "unlink", "mkdir"):
        setattr(os, kind, _counted(kind))
    for kind in ("link", "rename"):
        setattr(os, kind, _counted_pair(kind))
    os.replace, os.remove = os.rename, os.unlink
    import aiofiles.threadpool  # noqa: PLC0415  # after the above, see the module's docstring

    aiofiles.threadpool.sync_open = _open_file
