"""The README as data, and copies of the project in which its commands are run as they stand."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
KEPT = ("PATH", "PYTHONPATH", "TMPDIR")
"""What a command sees of the environment of the tests: nothing of make, of AWS or of a person."""
PATIENCE = 150.0
"""Seconds that a command may take on a busy machine."""
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"`((?:make \w|\.venv/bin/batchgen )[^`]*)`")


def blocks(language: str, document: Path = README) -> list[str]:
    """The fenced blocks of one language, in order."""
    text = document.read_text(encoding="utf-8")
    return [body for _, name, body in FENCE.findall(text) if name == language]


def prose(document: Path = README) -> str:
    """A document without its fenced blocks."""
    return FENCE.sub("", document.read_text(encoding="utf-8"))


def commands() -> list[str]:
    """Every command that the README names, in blocks and in sentences; each once."""
    lines = [line for block in blocks("console") for line in block.splitlines()]
    lines += [" ".join(span.split()) for span in COMMAND.findall(prose())]
    return list(dict.fromkeys(lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str


class Running:
    """A command that was started, and whose streams go to files, for nobody reads them yet."""

    def __init__(self, line: str, folder: Path, streams: Path) -> None:
        self._streams = streams
        self._files: list[IO[bytes]] = [(streams / name).open("wb") for name in ("out", "err")]
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        home = {"HOME": str(streams), "AWS_EC2_METADATA_DISABLED": "true"}
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", line],
            cwd=folder,
            env={**environment, **home},
            stdin=subprocess.DEVNULL,
            stdout=self._files[0],
            stderr=self._files[1],
            start_new_session=True,  # so that all that it starts can be ended with it
        )

    def ended(self) -> Ended:
        """Wait for its end."""
        code = self.process.wait(PATIENCE)
        for file in self._files:
            file.close()
        out, err = ((self._streams / name).read_text("utf-8") for name in ("out", "err"))
        return Ended(code=code, out=out, err=err)

    def first_line(self) -> dict[str, Any]:
        """The JSON object that a server announces itself with."""
        last = time.monotonic() + PATIENCE
        while not (text := (self._streams / "out").read_text("utf-8")).endswith("\n"):
            assert self.process.poll() is None, (self._streams / "err").read_text("utf-8")
            assert time.monotonic() < last, "the server never came up"
            time.sleep(0.05)  # another process writes a file: nothing tells when
        announced: dict[str, Any] = json.loads(text)
        return announced

    def close(self) -> None:
        """End it and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.ended()


class Project:
    """A copy of this project, as a fresh clone with everything installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "shop"
        self._streams = folder
        self._started: list[Running] = []
        for name in _files():
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)  # its time, too: make goes by that
        self._install()

    def _install(self) -> None:
        """Lend it the environment that the tests run in, marked as just made from its lock."""
        venv = self.folder / ".venv"
        venv.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (venv / name).symlink_to(Path(sys.prefix) / name)
        for marker in (".run-ready", ".dev-ready"):
            (venv / marker).touch()

    def start(self, line: str) -> Running:
        """Start a command line in the project's folder."""
        streams = self._streams / f"streams-{len(self._started)}"
        streams.mkdir()
        running = Running(line, self.folder, streams)
        self._started.append(running)
        return running

    def run(self, line: str) -> Ended:
        """Run a command line to its end."""
        return self.start(line).ended()

    def images(self, output: str) -> list[str]:
        """Names of the images of an output folder."""
        return sorted(path.name for path in (self.folder / output / "images").glob("*"))

    def records(self, output: str) -> list[dict[str, Any]]:
        """The records of an output's manifest."""
        text = (self.folder / output / "manifest.jsonl").read_text("utf-8")
        lines = map(json.loads, text.splitlines())
        return [line for line in lines if line["kind"] == "record"]

    def close(self) -> None:
        """End what still runs."""
        for running in self._started:
            running.close()


def _files() -> list[str]:
    """Paths of all files of the project that git knows or would know."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [name for name in listed.split("\0") if (ROOT / name).is_file()]
