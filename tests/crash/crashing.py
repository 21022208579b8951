"""The parent's side: ask the nursery for runs, and compare the disk with what was charged."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from interposer import Fault

import batchgen

HERE = Path(__file__).parent
WHOLE = Fault(step=0)
"""No fault."""
FIGURES: Counter[str] = Counter()
"""What the tests of this session came to; printed at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one run of the nursery came to."""

    exit_code: int | None = None
    """None: it was killed."""
    steps: list[str] = field(default_factory=list)
    """Its durable steps below the output's parent; a killed run died at the last one."""
    data: list[str] = field(default_factory=list)
    """With `keep_data`: what each step wrote, or linked."""
    notices: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class Nursery:
    """A warm process that forks runs; see nursery.py."""

    def __init__(self) -> None:
        paths = [str(Path(batchgen.__file__).parents[1]), str(HERE), str(HERE.parent)]
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import sys; sys.path[:0] = {paths}; import nursery; nursery.main()",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"

    def run(self, request: dict[str, Any]) -> Told:
        """One run to its end, whatever that is."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Told(**json.loads(self._read()))

    def close(self) -> None:
        """End it; it has no children by then."""
        self._process.communicate(timeout=20)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Simulator:
    """A running simulator's books."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ledger(self) -> list[dict[str, Any]]:
        """Every call since the reset."""
        return list(self._ask("GET", "ledger")["entries"])

    def in_flight(self) -> int:
        """Calls that it has not answered yet."""
        return int(self._ask("GET", "stats")["in_flight"])

    def reset(self) -> None:
        """Forget calls, charges and faults."""
        self._ask("POST", "reset")

    def script(self, *faults: dict[str, Any]) -> None:
        """Add fault directives."""
        self._ask("POST", "faults", list(faults))

    def _ask(self, method: str, what: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/simulator/{what}", data, method=method)
        with urllib.request.urlopen(request) as response:
            answer: dict[str, Any] = json.load(response)
            return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A call that somebody must pay for."""

    body_sha256: str
    image_sha256: str | None
    """None: no image came with the answer."""


@dataclass(slots=True)
class Scene:
    """One output folder, and all runs of a job into it."""

    nursery: Nursery
    job: dict[str, Any]
    simulator: Simulator | None = None
    """What the runs call; without one a till in the run's own process, in virtual time."""
    script: list[str] = field(default_factory=list)
    """What becomes of a till's first calls."""

    @property
    def folder(self) -> Path:
        return Path(self.job["output"])

    def run(self, fault: Fault = WHOLE, *, keep_data: bool = False, **selection: Any) -> Told:
        """Run the job."""
        service: dict[str, Any] = {"books": str(self.books), "script": self.script}
        if self.simulator is not None:
            service = {"url": self.simulator.url}
        request = {
            "job": self.job,
            "selection": selection,
            "fault": asdict(fault),
            "keep_data": keep_data,
            **service,
        }
        return self.nursery.run(request)

    @property
    def books(self) -> Path:
        """A till's books, beside the output's parent: no part of the disk under test."""
        return self.folder.parent.with_suffix(".books")

    def charges(self) -> list[Charge]:
        """What was charged so far, in the order of the calls."""
        if self.simulator is not None:
            lines = self.simulator.ledger()
            return [_charge(line) for line in lines if Decimal(line["charged_usd"])]
        text = self.books.read_text() if self.books.exists() else ""
        lines = [json.loads(line) for line in text.splitlines()]
        return [_charge(line) for line in lines if line["charged"]]


class Yard:
    """Makes one fresh scene after the other."""

    def __init__(self, nursery: Nursery, simulator: Simulator | None, root: Path) -> None:
        self._nursery, self._simulator, self._root = nursery, simulator, root
        self._numbers = count(1)

    def scene(self, prompts: list[str], script: Sequence[str] = (), **changes: Any) -> Scene:
        """A scene with nothing on its disk and nothing in its books."""
        if self._simulator is not None:
            self._simulator.reset()
        folder = self._root / f"{next(self._numbers)}" / "out"
        folder.parent.mkdir()
        job = make_job(folder, prompts, **changes)
        return Scene(self._nursery, job, self._simulator, list(script))

    def discard(self, scene: Scene) -> None:
        """Remove what it left: hundreds of them fill a disk."""
        shutil.rmtree(scene.folder.parent)


class Saved:
    """The folder of a scene as it is now, to begin from again and again."""

    def __init__(self, scene: Scene) -> None:
        self.charges = scene.charges()
        """What was charged until now; the books begin anew with each `restore`."""
        self._scene = scene
        self._kept = scene.folder.with_name("kept")
        _copy(scene.folder, self._kept)

    def restore(self) -> None:
        """Put everything back, and empty the books."""
        shutil.rmtree(self._scene.folder)
        _copy(self._kept, self._scene.folder)
        if self._scene.simulator is not None:
            self._scene.simulator.reset()
        self._scene.books.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """With second names as second names, which `shutil` would make files of their own."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def _charge(line: dict[str, Any]) -> Charge:
    return Charge(body_sha256=line["body_sha256"], image_sha256=line["image_sha256"])


def make_job(folder: Path, prompts: list[str], **changes: Any) -> dict[str, Any]:
    """A job of one image for each prompt, in no hurry to wait."""
    return {
        "name": "crash",
        "endpoint": "http://127.0.0.1:9",
        "model": "stability.stable-image-core-v1:1",
        "output": str(folder),
        "items": [{"id": f"item-{n}", "prompt": text} for n, text in enumerate(prompts, 1)],
        **changes,
        "limits": {"concurrency": 1, "requests_per_minute": 60_000, **changes.get("limits", {})},
    }


def lines_of(folder: Path) -> list[dict[str, Any] | None]:
    """Every line of the manifest; None for one that is no JSON object."""
    path = folder / "manifest.jsonl"
    data = path.read_bytes() if path.exists() else b""
    return [_parsed(line) for line in data.split(b"\n")[:-1]] + ([None] if _torn(data) else [])


def _torn(data: bytes) -> bool:
    return bool(data) and not data.endswith(b"\n")


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def body_sha256(request: dict[str, Any]) -> str:
    """What the ledger calls the request of a record."""
    return hashlib.sha256(json.dumps(request).encode()).hexdigest()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def received(path: Path) -> str:
    """sha256 of the bytes that the service sent, which a whole file with a label says."""
    data = path.read_bytes()
    said = re.search(rb"<batchgen:ReceivedSha256>([0-9a-f]{64})</", data)
    is_whole = data.endswith(b"IEND\xaeB`\x82")
    return said[1].decode() if said and is_whole else hashlib.sha256(data).hexdigest()


@dataclass(slots=True)
class Disk:
    """What an output folder holds, read without batchgen's own code."""

    folder: Path
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Task id -> its last record."""
    places: dict[str, list[str]] = field(default_factory=dict)
    """Task id -> where the images of its last successful record are now."""
    moves: dict[str, str] = field(default_factory=dict)
    torn: int = 0
    """Lines that are no JSON object."""
    kinds: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, folder: Path) -> Disk:
        disk = cls(folder)
        for line in lines_of(folder):
            if line is None:
                disk.torn += 1
            else:
                disk._take(line)
        return disk

    def _take(self, line: dict[str, Any]) -> None:
        self.kinds[line["kind"]] += 1
        if line["kind"] == "record":
            self.records[line["task_id"]] = line
            self.moves.pop(line["task_id"], None)
            self.places[line["task_id"]] = [image["path"] for image in line["images"]]
        elif line["kind"] == "moved":
            self.places[line["task_id"]] = [line["new_path"]]

    def succeeded(self) -> dict[str, dict[str, Any]]:
        return {name: it for name, it in self.records.items() if it["status"] == "succeeded"}

    def images(self) -> set[str]:
        """sha256 of what came with every file that is an image or may become one.

        A torn one has another.
        """
        kinds = {".png", ".part"}
        return {received(path) for path in self.folder.rglob("*") if path.suffix in kinds}

    def leftovers(self) -> list[str]:
        return [str(path) for path in self.folder.rglob("*.part")]

    def check_records(self) -> None:
        """Invariant 1: a record means that its files exist with the recorded sha256."""
        for task_id, record in self.succeeded().items():
            assert record["images"]
            for image, place in zip(record["images"], self.places[task_id], strict=True):
                file = self.folder / place
                assert sha256(file) == image["sha256"], (task_id, place)
                assert received(file) == image.get("received_sha256", image["sha256"])
