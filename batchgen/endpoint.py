"""Open what a job calls: AWS, a URL, or a simulator that lives as long as the run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from batchgen.errors import ServiceUnusable
from batchgen.generate import Service
from batchgen.job import Job

AskQuotas = Callable[[Iterable[str]], Awaitable[Mapping[str, float | None]]]
"""From model ids to calls a minute; None where nobody can tell, 0 for an account without any."""


async def nobody_can_tell(model_ids: Iterable[str]) -> Mapping[str, float | None]:
    """For a service that has no quotas to ask for."""
    return dict.fromkeys(model_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A service that is ready for calls."""

    service: Service
    renew: Callable[[], Awaitable[bool]]
    """Reads credentials anew; False if only a person can change them."""
    quotas: AskQuotas = nobody_can_tell


Open = Callable[[Job, int], AbstractAsyncContextManager[Opened]]
"""From a job and the most calls in flight to a service; `opened`, or a fake in a test."""

SPARE_CONNECTIONS = 8
"""Connections beyond the calls in flight, so that none waits for one that is just closing."""


@asynccontextmanager
async def opened(job: Job, calls_in_flight: int) -> AsyncIterator[Opened]:
    """The service of this job's endpoint.

    Raises:
        ServiceUnusable: no credentials, an unknown profile or Region, or no simulator.
    """
    # The SDK takes a third of a second to import; only a run that makes calls pays for it.
    from batchgen.account import quotas_of  # noqa: PLC0415
    from batchgen.bedrock import Connection, connect  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        url = await url_of(job, stack)
        connection = Connection(
            region=job.region, url=url, calls_in_flight=calls_in_flight + SPARE_CONNECTIONS
        )
        bedrock = await stack.enter_async_context(connect(connection))
        yield Opened(service=bedrock, renew=bedrock.renew, quotas=partial(quotas_of, connection))


async def url_of(job: Job, stack: AsyncExitStack) -> str | None:
    """Where a job's calls go, None for AWS; a simulator that it starts ends with the stack.

    Raises:
        ServiceUnusable: the simulator did not start.
    """
    if job.endpoint == "aws":
        return None
    if job.endpoint != "simulator":
        return job.endpoint
    from batchgen.simulator.launch import running  # noqa: PLC0415  # needs aiohttp

    try:
        simulator = await stack.enter_async_context(running(*_simulator_options(job)))
    except OSError as error:
        raise ServiceUnusable(f"The simulator did not start: {error}") from error
    return simulator.url


def _simulator_options(job: Job) -> tuple[str, ...]:
    wanted = {
        "--latency": job.simulator.latency,
        "--requests-per-minute": job.simulator.requests_per_minute,
    }
    return tuple(f"{name}={value:g}" for name, value in wanted.items() if value is not None)
