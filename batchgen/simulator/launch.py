"""Start a simulator as a child process, talk to it, and be sure that it ends."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Mapping, Sequence

READY_SECONDS = 20.0
END_SECONDS = 5.0


class SimulatorError(OSError):
    """The simulator did not come up, or refused what it was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulator:
    """A simulator that runs in another process."""

    url: str
    pid: int

    async def ledger(self) -> list[dict[str, Any]]:
        """Every call so far, as `ledger.Entry` has it, with `delivered`."""
        entries: list[dict[str, Any]] = (await self._ask("GET", "ledger"))["entries"]
        return entries

    async def stats(self) -> dict[str, Any]:
        """Counts so far."""
        return await self._ask("GET", "stats")

    async def script(self, faults: Sequence[Mapping[str, Any]]) -> None:
        """Add fault directives, as `faults.directives.Directive` has them.

        Raises:
            SimulatorError: one of them cannot be used.
        """
        await self._ask("POST", "faults", list(faults))

    async def reset(self) -> None:
        """Forget calls, charges, faults and used-up quota."""
        await self._ask("POST", "reset")

    async def _ask(self, method: str, what: str, body: object = None) -> dict[str, Any]:
        import aiohttp  # noqa: PLC0415  # a tenth of a second, in which the child starts already

        url = f"{self.url}/simulator/{what}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, json=body) as response,
        ):
            answer: dict[str, Any] = await response.json()
            if not response.ok:
                raise SimulatorError(answer["message"])
            return answer


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[Simulator]:
    """A simulator with these command-line options, ended on leaving, or when this process ends.

    It has a session of its own: a terminal's Ctrl-C reaches only this process, which can still
    finish what is in flight.

    Raises:
        SimulatorError: it did not come up within 20 seconds; the text has what it said.
    """
    with tempfile.TemporaryFile() as complaints:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a file of the user's in this folder must not hide a module
            "-m",
            "batchgen.simulator",
            "--parent-pipe",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=complaints,
            start_new_session=True,
        )
        try:
            yield await _ready(child, complaints)
        finally:
            await _end(child)


async def _ready(child: Process, complaints: IO[bytes]) -> Simulator:
    assert child.stdout is not None  # noqa: S101 - a pipe was asked for
    try:
        line = await asyncio.wait_for(child.stdout.readline(), READY_SECONDS)
    except TimeoutError:
        line = b""
    if not line:
        complaints.seek(0)
        said = complaints.read().decode("utf-8", "replace").strip() or "nothing"
        raise SimulatorError(f"the simulator did not start; it said: {said}")
    return Simulator(**json.loads(line))


async def _end(child: Process) -> None:
    assert child.stdin is not None  # noqa: S101 - a pipe was asked for
    child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), END_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
