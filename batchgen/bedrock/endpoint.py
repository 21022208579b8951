"""Open what a job calls: AWS, a URL, or a simulator that lives as long as the run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from batchgen.bedrock.routes import Endpoint
from batchgen.errors import ServiceUnusable
from batchgen.job import Job


@asynccontextmanager
async def open_endpoint(job: Job, calls_in_flight: int) -> AsyncIterator[Endpoint]:
    """The service of this job's endpoint, by each of its routes.

    Raises:
        JobError: two routes turned out to be the same account and Region.
        ServiceUnusable: no simulator; or, on every route: no credentials, an unknown profile or
            Region, a role that cannot be assumed.
    """
    # The SDK takes a third of a second to import; only a run that makes calls pays for it.
    from batchgen.bedrock.connect import connection_of, open_route, refuse_twins, try_route  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        url = await url_of(job, stack)
        ways = [(route, connection_of(route, url, calls_in_flight)) for route in job.ways]
        if not job.routes:
            yield Endpoint(routes=(await open_route(*ways[0], stack),))
            return
        found = [await try_route(route, connection, stack) for route, connection in ways]
        refuse_twins(job, found)
        usable = tuple(each.opened for each in found if each.opened is not None)
        notices = tuple(each.why for each in found if each.why)
        if not usable:
            raise ServiceUnusable(f"No route can be used. {' '.join(notices)}")
        yield Endpoint(routes=usable, notices=notices)


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
