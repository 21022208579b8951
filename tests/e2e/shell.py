"""The installed command in a folder of its own, and a simulator that remembers what it charged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from batchgen.cli import main

KEPT = (
    "PATH",
    "HOME",
    "PYTHONPATH",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_EC2_METADATA_DISABLED",
)
"""What a command sees of the environment of the tests, which `tests/conftest.py` has cleaned."""
CORE = "stability.stable-image-core-v1:1"
PATIENCE = 60.0
"""Seconds that anything may take on a busy machine before the test fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str


class Shell:
    """Runs `batchgen` in one folder, against one service."""

    def __init__(
        self, folder: Path, service: Service, capsys: pytest.CaptureFixture[str] | None = None
    ) -> None:
        self.folder = folder
        self.service = service
        self._capsys = capsys
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str, **options: Any) -> Ended:
        """Run a command to its end: in this process, which has imported all that it needs.

        With `options`, those of `start`, it is one that was started.
        """
        if not options and self._capsys is not None:
            self._capsys.readouterr()  # what the test wrote until now
            with chdir(self.folder):
                code = main(arguments)
            out, err = self._capsys.readouterr()
            return Ended(code=code, out=out, err=err)
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=PATIENCE)
        return Ended(code=process.returncode, out=out or "", err=err or "")

    def run(self, *arguments: str, **options: Any) -> Ended:
        """`batchgen run job.yaml` at a quota that nothing has to wait for."""
        return self("run", "job.yaml", "--rpm=60000", *arguments, **options)

    def start(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        via: str = 'exec "$@"',
        **options: Any,
    ) -> subprocess.Popen[str]:
        """Start a command; whatever is left of it ends with the test.

        Args:
            arguments: of `batchgen`.
            env: set beside `KEPT`.
            via: a line of sh that starts it, and may redirect its streams.
            options: of `Popen`.
        """
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        settings: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "cwd": self.folder,
            "env": {**environment, **(env or {})},
            "encoding": "utf-8",
            "errors": "surrogateescape",
            **options,
        }
        command = ["/bin/sh", "-c", via, "sh", sys.executable, "-m", "batchgen", *arguments]
        process = subprocess.Popen(command, **settings)
        self._started.append(process)
        return process

    def close(self) -> None:
        """End what a test left running."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def job(self, *prompts: str, **keys: Any) -> None:
        """Write `job.yaml`: `item-1` for the first prompt, and so on. JSON is YAML, too."""
        items = [{"id": f"item-{n}", "prompt": text} for n, text in enumerate(prompts, 1)]
        job = {
            "name": "shop",
            "endpoint": self.service.url,
            "model": CORE,
            "output": "out",
            "items": items,
            **keys,
        }
        (self.folder / "job.yaml").write_text(json.dumps(job), encoding="utf-8")

    def edit(self, index: int, **keys: Any) -> None:
        """Change an item of `job.yaml`."""
        path = self.folder / "job.yaml"
        job = json.loads(path.read_text(encoding="utf-8"))
        job["items"][index].update(keys)
        path.write_text(json.dumps(job), encoding="utf-8")

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """The manifest's lines of one kind by now; every line must be JSON."""
        path = self.folder / "out/manifest.jsonl"
        whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
        return [line for line in map(json.loads, whole.splitlines()) if line["kind"] == kind]

    def files(self) -> dict[str, bytes]:
        """Path -> content of everything in the folder; a folder has none."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes() if path.is_file() else b""
            for path in sorted(self.folder.rglob("*"))
        }


@dataclass(frozen=True, slots=True)
class Service:
    """A running simulator."""

    url: str

    def ledger(self) -> list[dict[str, Any]]:
        """Every call so far, with what it cost."""
        entries: list[dict[str, Any]] = self._ask("GET", "ledger")["entries"]
        return entries

    def charged(self) -> int:
        """How many calls are on the bill."""
        return sum(float(entry["charged_usd"]) > 0 for entry in self.ledger())

    def in_flight(self) -> int:
        """How many calls are on the bill whose answer is still under way."""
        return sum(entry["delivered"] is None for entry in self.ledger())

    def script(self, action: str, **details: Any) -> None:
        """Have calls go wrong: see `batchgen simulate --help`."""
        self._ask("POST", "faults", [{"action": action, **details}])

    def reset(self) -> None:
        """Forget everything."""
        self._ask("POST", "reset")

    def _ask(self, method: str, what: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.url}/simulator/{what}"
        request = urllib.request.Request(url, data, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            answer: dict[str, Any] = json.load(response)
            return answer


def texts(log: str) -> list[str]:
    """The lines of a log without their times, each of which must have one."""
    lines = [line.split(" ", 1) for line in log.splitlines()]
    assert all(datetime.fromisoformat(when).tzinfo for when, _ in lines)
    return [text for _, text in lines]


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    last = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < last, "it never came to that"
        time.sleep(0.02)  # another process tells nobody when it has come so far


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be asked for its exit code does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
