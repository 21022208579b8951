"""A run whose disk becomes full while a call is in flight, on a true file system of some megabytes.

Run as root in a mount namespace of its own (`unshare --mount`); prints what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench import Bench, Ran, bench, in_time_of_sockets

from batchgen.policies import attempt_log

SIZE = "12m"


def fill(path: Path) -> None:
    """Leave not a byte."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


async def fill_when_called(it: Bench, call: int, filler: Path) -> None:
    """Fill the disk as soon as the simulator has answered so many calls."""
    while len(it.calls()) < call:  # noqa: ASYNC110  # the simulator tells nobody
        await asyncio.sleep(0.01)
    fill(filler)


def told(it: Bench, ran: Ran) -> dict[str, Any]:
    return {
        "exit_code": ran.exit_code,
        "statuses": ran.statuses(),
        "charged": str(it.charged()),
        "said": ran.summary.stopping and ran.summary.stopping.text,
    }


@in_time_of_sockets
async def main(root: Path) -> None:
    disk = root / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", disk]
    subprocess.run(command, check=True)  # noqa: ASYNC221  # nothing else runs yet
    attempt_log.ROOM_FOR_ONE = attempt_log.ROOM_FOR_LINES = (
        100_000  # else so small a disk is full at once
    )
    async with bench(disk, picture="painted") as it:
        it.script({"action": "late", "seconds": 3})
        filler = disk / "filler"
        filler.touch()
        filling = asyncio.create_task(fill_when_called(it, 5, filler))
        first = told(it, await it.run(it.job(8, limits={"concurrency": 2})))
        await filling
        filler.unlink()
        ran = await it.run(it.job(8, limits={"concurrency": 2}))
        ran.check_images()
        print(json.dumps({"full": first, "mended": told(it, ran)}))  # noqa: T201 - the answer


if __name__ == "__main__":
    main(Path(sys.argv[1]))
