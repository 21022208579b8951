"""What a loss of power may leave of a run: its traced steps, replayed on a disk that forgets.

A file system promises only what was synced: the bytes of a file by a sync of the file, its name by
a sync of the folder. What was not synced may be there or not.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

FOLDER = -1
"""Stands for a folder where a file has its number."""


@dataclass(slots=True)
class File:
    """The bytes of one file: all of them, and those that are safe."""

    data: bytes = b""
    safe: bytes = b""


@dataclass(slots=True)
class Platter:
    """Names and bytes, each as programs see them and as they are safe."""

    files: list[File] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    safe_names: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path) -> Platter:
        """What lies below a folder, all of it safe."""
        platter = cls()
        numbers: dict[int, int] = {}
        for path in sorted(root.rglob("*")):
            name, number = path.relative_to(root).as_posix(), path.stat().st_ino
            if path.is_dir():
                platter.names[name] = FOLDER
                continue
            if number not in numbers:
                numbers[number] = platter._new(path.read_bytes())
            platter.names[name] = numbers[number]
        platter.safe_names = dict(platter.names)
        return platter

    def _new(self, data: bytes = b"") -> int:
        self.files.append(File(data, data))
        return len(self.files) - 1

    def take(self, step: str, data: str) -> None:
        """One traced step and what it wrote, linked or renamed."""
        kind, _, name = step.partition(" ")
        match kind:
            case "create":
                self.names[name] = self._new()
            case "mkdir":
                self.names.setdefault(name, FOLDER)
            case "write":
                self.files[self.names[name]].data += base64.b64decode(data)
            case "ftruncate":
                self.files[self.names[name]].data = b""
            case "pwrite":
                self.files[self.names[name]].data = base64.b64decode(data)
            case "link":
                self.names.setdefault(name, self.names[data])
            case "rename":
                self.names[name] = self.names.pop(data)
            case "unlink":
                self.names.pop(name, None)
            case "fsync" | "fdatasync":
                self._sync(name)

    def _sync(self, name: str) -> None:
        if name != "." and self.names[name] != FOLDER:
            file = self.files[self.names[name]]
            file.safe = file.data
            return
        inside = {each for each in {*self.names, *self.safe_names} if _folder(each) == name}
        for each in inside:
            self.safe_names.pop(each, None)
            if each in self.names:
                self.safe_names[each] = self.names[each]

    def reachable(self, name: str) -> int | None:
        """The file of a safe name in safe folders."""
        above = [str(parent) for parent in PurePosixPath(name).parents][:-1]
        if not all(self.safe_names.get(each) == FOLDER for each in above):
            return None
        return self.safe_names.get(name)

    def leave(self, root: Path) -> None:
        """Write what is certainly still there into an empty folder."""
        made: dict[int, Path] = {}
        for name in sorted(self.safe_names):
            number = self.reachable(name)
            path = root / name
            if number == FOLDER:
                path.mkdir()
            elif number in made:
                path.hardlink_to(made[number])
            elif number is not None:
                path.write_bytes(self.files[number].safe)
                made[number] = path


def _folder(name: str) -> str:
    return str(PurePosixPath(name).parent)


def promised(manifest: bytes) -> Iterator[tuple[str, str]]:
    """Name below the output and sha256 of every image that a manifest's records speak of."""
    places: dict[str, tuple[str, str]] = {}
    for line in manifest.split(b"\n")[:-1]:
        fields: dict[str, Any] = json.loads(line)
        if fields["kind"] == "record" and fields["images"]:
            image = fields["images"][0]
            places[fields["task_id"]] = (image["path"], image["sha256"])
        elif fields["kind"] == "moved":
            places[fields["task_id"]] = (fields["new_path"], places[fields["task_id"]][1])
    yield from places.values()


def check(platter: Platter, output: str) -> None:
    """A record, safe or just written, means that its image is safe; a safe record can be found."""
    name = f"{output}/manifest.jsonl"
    if name not in platter.names:
        return
    manifest = platter.files[platter.names[name]]
    if b'"kind": "record"' in manifest.safe:
        assert platter.reachable(name) is not None, "the manifest itself may be gone"
    for view in (manifest.data, manifest.safe):
        for path, sha256 in promised(view):
            full = f"{output}/{path}"
            number = platter.reachable(full)
            assert number is not None, f"{path} is on record, and its name is not safe"
            assert full in platter.names, f"{path} is on record, and was removed"
            assert hashlib.sha256(platter.files[number].safe).hexdigest() == sha256, path
    kept = {number for name, number in platter.safe_names.items() if name.endswith(".part")}
    claimed = {platter.safe_names[f"{output}/{path}"] for path, _ in promised(manifest.safe)}
    for name, number in platter.safe_names.items():
        if name.endswith(".png"):
            assert number in kept | claimed, f"{name} is paid for, and nobody will know whose it is"
