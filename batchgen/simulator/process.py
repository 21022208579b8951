"""A simulator in its own process: it prints its address and ends on a signal or with its parent."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING

from .delivery import NotDelivered
from .faults.directives import DirectiveError
from .server import build_app, serving

if TYPE_CHECKING:
    from .options import Options


def run(options: Options) -> int:
    """Serve until SIGTERM, SIGINT or the end of the parent's pipe; gives an exit code."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s")
    if options.verbose:
        logging.getLogger("batchgen.simulator").setLevel(logging.INFO)
    # Connections that a fault directive drops are what was asked for.
    logging.getLogger("aiohttp.server").addFilter(_is_unwanted)
    _allow_many_files()
    try:
        asyncio.run(_serve(options))
    except (DirectiveError, OSError, OverflowError, ValueError) as error:
        sys.stderr.write(f"{_sentence(error, options)}\n")
        return 2
    return 0


def _sentence(error: Exception, options: Options) -> str:
    """What is wrong and what to do."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return (
            f"The port {options.port} of {options.host} is taken: another program, perhaps another "
            "simulator, listens there. Name another --port, or leave it out for a free one."
        )
    return f"simulator: {error}"


async def _serve(options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if options.parent_pipe:
        await loop.connect_read_pipe(lambda: _Parent(stop), sys.stdin)
    async with serving(build_app(options), options.host, options.port) as url:
        sys.stdout.write(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _is_unwanted(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], NotDelivered)


class _Parent(asyncio.Protocol):
    """The pipe from the parent: the kernel closes it, however the parent ends."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._stop.set()


def _allow_many_files() -> None:
    """Each connection is an open file; the soft limit is often 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        logging.getLogger(__name__).warning("the limit of open files could not be raised")
