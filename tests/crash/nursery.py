"""A process that forks a child for each run it is asked for: warm, and free to be killed.

Speaks JSON lines: a request on standard input, an answer on standard output. Run it as a script.
"""

from __future__ import annotations

import interposer

interposer.install()  # before anything else takes functions of `os`

import asyncio
import gc
import json
import logging
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import services
import virtual_time
from crashing import make_job
from interposer import INTERPOSER, Fault

from batchgen.bedrock.routes import Service
from batchgen.cli import _exit_code
from batchgen.errors import BatchgenError, ExitCode
from batchgen.job import Job
from batchgen.runner.batch import Batch
from batchgen.runner.options import Observer, RunOptions
from batchgen.runner.progress import Summary
from batchgen.runner.selection import Selection

_write_out = os.fdopen(os.dup(1), "w", buffering=1)


class Notes(Observer):
    """Keeps what a person would be told."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


def child(request: dict[str, Any], answer: int) -> None:
    """One run in a process of its own; it never returns."""
    notes = Notes()
    told: dict[str, Any] = {"notices": notes.notices}

    def tell() -> None:
        _write_all(answer, json.dumps({**told, **traced()}).encode())

    def traced() -> dict[str, Any]:
        kept = ("steps", "data") if request["keep_data"] else ("steps",)
        return {name: getattr(INTERPOSER, name) for name in kept}

    folder = os.path.dirname(request["job"]["output"])
    INTERPOSER.begin(folder, Fault(**request["fault"]), last_words=tell)
    try:
        told |= run(request, notes)
    except BatchgenError as error:
        told |= {"exit_code": _exit_code(error), "error": str(error)}
    except BaseException:  # noqa: BLE001  # whatever it is, the parent wants to know
        told |= {"exit_code": ExitCode.FAULT, "error": traceback.format_exc()}
    tell()
    os._exit(0)


def _write_all(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(data)


def run(request: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """The run itself, against a simulator or, in virtual time, against a till."""
    job = Job.model_validate(request["job"])
    order = RunOptions(job=job, selection=Selection(**request["selection"]), observer=notes)
    if "url" in request:
        summary = asyncio.run(_made(order, services.Wire(request["url"])))
    else:
        till = services.Till(Path(request["books"]), request["script"])
        summary = virtual_time.run(_made_in_virtual_time(order, till))
    return {"exit_code": summary.exit_code, "summary": summary.to_json()}


async def _made(order: RunOptions, service: Service) -> Summary:
    return await Batch(replace(order, open_service=services.opening(service))).run()


async def _made_in_virtual_time(order: RunOptions, service: Service) -> Summary:
    return await _made(replace(order, clock=asyncio.get_running_loop().time), service)


def answered(request: dict[str, Any]) -> dict[str, Any]:
    """Fork, and wait for the end of the child: what it told, without an exit code if it died."""
    mine, its = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(mine)
        child(request, its)
    os.close(its)
    with os.fdopen(mine, "rb") as pipe:
        told: dict[str, Any] = json.loads(pipe.read())
    os.waitpid(pid, 0)
    return told


def warm_up() -> None:
    """Make one image here: what a first run imports and builds no child has to do again."""
    with TemporaryDirectory() as folder:
        job = make_job(Path(folder, "out"), ["a mug"])
        run({"job": job, "selection": {}, "books": f"{folder}/books", "script": []}, Notes())


def main() -> None:
    """Warm up, say so, and serve until standard input ends."""
    logging.basicConfig(level=logging.ERROR)
    warm_up()
    gc.freeze()
    _write_out.write("ready\n")
    for line in sys.stdin:
        _write_out.write(json.dumps(answered(json.loads(line))) + "\n")


if __name__ == "__main__":
    main()
