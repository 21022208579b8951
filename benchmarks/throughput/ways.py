"""batchgen, and the ways to do the same without it; each in the fewest lines that work."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import batchgen
from benchmarks.throughput import floor
from benchmarks.throughput.meter import Load, Meter

MODEL = "stability.stable-image-core-v1:1"
REQUEST = {"prompt": "a benchmark", "seed": 7, "output_format": "png"}
KEYS = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "example"}
REGION = "us-west-2"


def job(load: Load) -> batchgen.Job:
    """So many equal tasks."""
    return batchgen.Job(
        name="benchmark",
        endpoint=load.url,
        model=MODEL,
        output=str(load.folder),
        prompt="a benchmark",
        items=[batchgen.Item(id="x", variants=load.total)],
        limits={"concurrency": load.in_flight, "requests_per_minute": 1_000_000.0},
    )


def ours(load: Load, meter: Meter) -> None:
    """Checked, hashed, labelled on record, journaled and synced."""

    def note(record: batchgen.Record) -> None:
        if record.status is not batchgen.Status.SUCCEEDED:
            raise SystemExit(record)
        meter.made()

    async def run() -> None:
        with _watched(meter):
            await batchgen.run(job(load), on_record=note)

    asyncio.run(run())


def boto3_threads(load: Load, meter: Meter) -> None:
    """A thread for each call in flight; decoded and written durably."""
    import boto3  # noqa: PLC0415  # each process imports what it measures
    from botocore.config import Config  # noqa: PLC0415

    config = Config(max_pool_connections=load.in_flight, retries={"total_max_attempts": 1})
    client = boto3.client(
        "bedrock-runtime", region_name=REGION, endpoint_url=load.url, config=config, **KEYS
    )
    lock = threading.Lock()
    threading.stack_size(1 << 20)  # a thousand times the usual 8 MB would be more than is allowed

    def make(number: int) -> None:
        reply = client.invoke_model(modelId=MODEL, body=json.dumps(REQUEST))
        data = _image(reply["body"].read())
        floor.write_durably(load.folder, f"{number}.png", data)
        with lock:
            meter.made()

    with ThreadPoolExecutor(load.in_flight) as threads:
        for _ in threads.map(make, range(load.total)):
            pass


def raw_aioboto3(load: Load, meter: Meter) -> None:
    """A coroutine for each call in flight; decoded and written, not synced."""
    import aioboto3  # noqa: PLC0415  # as above
    from aiobotocore.config import AioConfig  # noqa: PLC0415

    config = AioConfig(max_pool_connections=load.in_flight, retries={"total_max_attempts": 1})

    async def run() -> None:
        session = aioboto3.Session(region_name=REGION, **KEYS)
        opening = session.client("bedrock-runtime", endpoint_url=load.url, config=config)
        async with opening as client:

            async def make(number: int) -> None:
                reply = await client.invoke_model(modelId=MODEL, body=json.dumps(REQUEST))
                await _write(load, number, _image(await reply["body"].read()))

            await _all(load, meter, make)

    asyncio.run(run())


def litellm(load: Load, meter: Meter) -> None:
    """A coroutine for each call in flight; decoded and written, not synced."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the internet for prices
    import litellm as library  # noqa: PLC0415  # as above; not among our dependencies

    library.suppress_debug_info = True
    where = {"aws_region_name": REGION, "aws_bedrock_runtime_endpoint": load.url, **KEYS}

    async def make(number: int) -> None:
        reply = await library.aimage_generation(
            prompt="a benchmark", model=f"bedrock/{MODEL}", max_retries=0, **where
        )
        await _write(load, number, base64.b64decode(reply.data[0].b64_json))

    asyncio.run(_all(load, meter, make))


def missing(way: str) -> str | None:
    """Why a way cannot be taken here; None if it can."""
    if way == "litellm" and find_spec("litellm") is None:
        return "LiteLLM is not installed: `.venv/bin/pip install litellm` adds its row"
    return None


Way = Callable[[Load, Meter], None]
WAYS: dict[str, tuple[str, Way]] = {
    "floor": ("bare work", floor.make),
    "batchgen": ("batchgen", ours),
    "boto3": ("boto3, threads, durable", boto3_threads),
    "aioboto3": ("raw aioboto3, not synced", raw_aioboto3),
    "litellm": ("LiteLLM, not synced", litellm),
}
"""Name -> its title and what makes the images."""


def _image(body: bytes) -> bytes:
    return base64.b64decode(json.loads(body)["images"][0])


async def _write(load: Load, number: int, data: bytes) -> None:
    await asyncio.to_thread(Path(load.folder, f"{number}.png").write_bytes, data)


async def _all(load: Load, meter: Meter, make: Callable[[int], Awaitable[None]]) -> None:
    numbers = iter(range(load.total))

    async def worker() -> None:
        for number in numbers:
            await make(number)
            meter.made()

    with _watched(meter):
        await asyncio.gather(*(worker() for _ in range(load.in_flight)))


@contextmanager
def _watched(meter: Meter) -> Any:
    watching = asyncio.ensure_future(meter.watch_loop())
    try:
        yield
    finally:
        with suppress(asyncio.CancelledError):
            watching.cancel()
