"""What `doctor` finds of a job, against a simulator in the same process."""

from contextlib import asynccontextmanager

from batchgen.doctor.examine import examine
from batchgen.simulator import server
from batchgen.simulator.clock import SystemClock
from batchgen.simulator.options import Options


class Found(list):
    """Findings that can be asked for by the name of their check, or by check and route."""

    def __getitem__(self, key):
        if isinstance(key, str):
            return next(each for each in self if each.check == key)
        return next(each for each in self if (each.check, each.route) == key)

    def of(self, route):
        """The checks of one route."""
        return [each.check for each in self if each.route == route]

    @property
    def troubled(self):
        """The checks that are not ok."""
        return {each.check: str(each.verdict) for each in self if each.verdict != "ok"}

    @property
    def troubled_on_routes(self):
        """The same by check and route."""
        return {
            (each.check, each.route): str(each.verdict) for each in self if each.verdict != "ok"
        }


@asynccontextmanager
async def simulator(**settings):
    """A simulator in this process that must not be asked for an image."""
    app = server.build_app(Options(**settings), SystemClock())
    async with server.serving(app) as url:
        yield url
        assert app[server.SERVICE].ledger.lines() == []


async def examined(job, **settings):
    """What is found of a job against a simulator."""
    async with simulator(**settings) as url:
        return Found(await examine(job.model_copy(update={"endpoint": url})))
