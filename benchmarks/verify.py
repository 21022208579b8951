"""How fast an output is verified, against hashing its files alone on all cores.

    python -m benchmarks.verify [--images 400] [--kind png|jpeg|webp]

Makes that many images of about 1.5 MB (a photograph's noise, 1024x1024) in a temporary folder, with
a manifest, and prints megabytes a second and their ratio to sha256 alone.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import random
import re
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from batchgen.output import verify_output
from batchgen.record import DECODED_DIGITS, Record, RunLine, Status, StoredImage
from batchgen.task import task_id

MB = 1_000_000
SIZE = (1024, 1024)
OPTIONS = {"png": {}, "jpeg": {"quality": 97, "subsampling": 0}, "webp": {"quality": 95}}
PICTURES = 8
"""Different ones; the other files are copies of these."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--kind", choices=OPTIONS, default="png")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = make_output(folder, given.images, given.kind)
        print(f"{given.images} {given.kind} images, {size / MB:,.0f} MB, {cores()} cores")
        alone = timed(lambda: hash_all(folder))
        print(f"sha256 alone on all cores   {size / MB / alone:8,.0f} MB/s")
        rounds = (("verify", False), ("verify --quick", True), ("verify, decoding all", False))
        for title, quick in rounds:
            if title.endswith("all"):
                forget(folder / "manifest.jsonl")
            took = timed(lambda quick=quick: check(folder, quick=quick))
            rate, images = size / MB / took, given.images / took
            ratio = alone / took
            print(f"{title:<27} {rate:8,.0f} MB/s, {images:,.0f} images/s, {ratio:.2f} of sha256")


def cores() -> int:
    return len(os.sched_getaffinity(0))


def timed(work: Callable[[], None]) -> float:
    """Seconds of the faster of two goes: the first warms the cache of the disk."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def check(folder: Path, *, quick: bool) -> None:
    found = verify_output(folder / "manifest.jsonl", quick=quick)
    if found.findings:
        raise SystemExit(f"not sound: {found.findings[:3]}")


def forget(manifest: Path) -> None:
    """Take out of the records that the images were decoded when they came, as older ones are."""
    text = manifest.read_text()
    manifest.write_text(re.sub(r'"decoded": "[0-9a-f]+", ', "", text))


def hash_all(folder: Path) -> None:
    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(digest, (folder / "images").iterdir()))


def make_output(folder: Path, images: int, kind: str) -> int:
    """Bytes of the images."""
    (folder / "images").mkdir()
    pictures = [picture(kind) for _ in range(min(PICTURES, images))]
    lines = [run_line()]
    for number in range(images):
        data = pictures[number % len(pictures)]
        path = f"images/{number}.{kind}"
        (folder / path).write_bytes(data)
        lines.append(record(path, data, kind, number))
    (folder / "manifest.jsonl").write_bytes(b"".join(line.to_json() for line in lines))
    return sum(len(pictures[number % len(pictures)]) for number in range(images))


def picture(kind: str) -> bytes:
    noise = Image.effect_noise(SIZE, 12)
    ramp = Image.linear_gradient("L").resize(SIZE)
    bands = [
        Image.blend(ramp, noise, 0.35),
        Image.blend(ramp.rotate(90), Image.effect_noise(SIZE, 9), 0.2),
        Image.blend(noise, ramp, random.uniform(0.5, 0.7)),
    ]
    file = io.BytesIO()
    Image.merge("RGB", bands).save(file, kind, **OPTIONS[kind])
    return file.getvalue()


def run_line() -> RunLine:
    return RunLine(
        run_id="run",
        batchgen_version="0",
        sdk_versions={},
        job_name="benchmark",
        job_file=None,
        job_sha256=None,
        endpoint="simulator",
        region="us-west-2",
        random_seed_key="k",
        started_at=datetime.now(UTC),
    )


def record(path: str, data: bytes, kind: str, seed: int) -> Record:
    request = {"prompt": "a mug", "seed": seed + 1}
    now = datetime.now(UTC)
    image = StoredImage(
        path=path,
        sha256=(digest := hashlib.sha256(data).hexdigest()),
        decoded=digest[:DECODED_DIGITS],
        bytes=len(data),
        format=kind,
        width=SIZE[0],
        height=SIZE[1],
        seed=seed + 1,
        finish_reason=None,
    )
    return Record(
        run_id="run",
        task_id=task_id("model", request),
        label=f"mug/{seed}",
        item_id="mug",
        vars={},
        status=Status.SUCCEEDED,
        model_id="model",
        region="us-west-2",
        endpoint="simulator",
        seed=seed + 1,
        request=request,
        images=(image,),
        finish_reasons=(None,),
        attempts=1,
        request_id=None,
        started_at=now,
        finished_at=now,
        latency_ms=1,
        cost_usd=0.04,
        maybe_billed=0,
        maybe_billed_usd=0.0,
        error=None,
    )


if __name__ == "__main__":
    main()
