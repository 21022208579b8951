"""At the deadline nothing is in flight: what is paid for has arrived, and nothing new is sent."""

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from datetime import time as time_of_day
from types import SimpleNamespace

import pytest
from bench import PRICE, bench, in_time_of_sockets

from batchgen.runner.deadline import Deadline, deadline_of, next_time
from batchgen.simulator.options import span


async def run_until(it, seconds, job, **order):
    """A run with a deadline so many seconds from now; and the calls in flight when it came."""
    loop = asyncio.get_running_loop()
    at = loop.time() + seconds
    seen = []
    loop.call_at(at, lambda: seen.append(it.service.stats.snapshot()["in_flight"]))
    deadline = {"deadline": Deadline(at=at, text="06:00"), "now": loop.time, **order}
    ran = await it.run(job, order=deadline)
    ended = loop.time() - at
    await asyncio.sleep(max(0, -ended) + 1)
    return ran, seen[0], ended


@pytest.mark.parametrize("seconds", [35, 45, 60, 240])
@pytest.mark.parametrize("concurrency", [1, 12])
@in_time_of_sockets
async def test_nothing_is_in_flight_at_the_deadline(tmp_path, seconds, concurrency):
    """With calls of 3 to 30 seconds the last one ends before it, and time is not thrown away."""
    async with bench(tmp_path, latency=span("3-30"), seed=seconds) as it:
        job = it.job(400, limits={"concurrency": concurrency})

        ran, in_flight, ended = await run_until(it, seconds, job)

        assert ran.exit_code == 3
        assert (in_flight, ended <= 0) == (0, True)
        assert it.charged() == PRICE * len(ran.records()) > 0
        assert ended > -45, "the run ended long before it had to"
        ran.check_images()


@in_time_of_sockets
async def test_a_deadline_too_near_for_any_call(tmp_path):
    """Nothing is sent, nothing is paid, and the next night goes on."""
    async with bench(tmp_path, latency=span("3-30")) as it:
        ran, in_flight, _ = await run_until(it, 20, it.job(5))

        assert (ran.exit_code, in_flight, it.calls()) == (3, 0, [])


@in_time_of_sockets
async def test_a_service_that_cannot_be_opened_by_then(tmp_path):
    """Whoever assumes a role waits for STS no longer than the run may last; nothing is written."""

    @asynccontextmanager
    async def never(job, calls):
        await asyncio.sleep(3600)
        yield

    async with bench(tmp_path) as it:
        ran, _, ended = await run_until(it, 20, it.job(5), open_service=never)

        assert (ran.exit_code, ran.summary.left, it.calls()) == (3, 5, [])
        assert ended <= 0.5
        assert "06:00" in ran.summary.stopping.text
        assert not ran.folder.exists()


@in_time_of_sockets
async def test_a_service_that_is_away_at_the_deadline(tmp_path):
    """Waiting for a retry ends with the deadline, not after it."""
    async with bench(tmp_path) as it:
        it.script({"action": "throttle"})

        ran, in_flight, ended = await run_until(it, 120, it.job(5))

        assert (ran.exit_code, in_flight) == (3, 0)
        assert ended <= 0
        assert it.charged() == 0


@pytest.mark.parametrize("jump", [1800, -1800])
@in_time_of_sockets
async def test_a_clock_that_is_set_while_the_run_goes(tmp_path, jump):
    """The deadline is an instant of the wall clock: whoever sets that moves the end of the run."""
    async with bench(tmp_path, latency=span("2")) as it:
        loop = asyncio.get_running_loop()
        wall = SimpleNamespace(ahead=0.0)
        loop.call_at(100, lambda: setattr(wall, "ahead", jump))
        order = {
            "deadline": Deadline(at=3600, text="02:00"),
            "now": lambda: loop.time() + wall.ahead,
        }

        ran = await it.run(it.job(200, limits={"requests_per_minute": 1}), order=order)

        assert ran.exit_code == 3
        assert 3500 - jump < loop.time() <= 3600 - jump


ZONES = [
    ("America/New_York", "2026-03-08T04:00:00Z", "2026-03-08T10:00:00Z"),  # clocks go forward
    ("America/New_York", "2026-11-01T03:00:00Z", "2026-11-01T11:00:00Z"),  # and back
    ("Europe/Berlin", "2026-03-28T21:00:00Z", "2026-03-29T04:00:00Z"),
    ("Europe/Berlin", "2026-10-24T20:00:00Z", "2026-10-25T05:00:00Z"),
    ("Europe/Berlin", "2026-06-30T20:00:00Z", "2026-07-01T04:00:00Z"),
]


@pytest.fixture
def zone(monkeypatch):
    """Sets the machine's time zone."""

    def put(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield put
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("name", "start", "end"), ZONES)
def test_six_in_the_morning_on_any_night(zone, name, start, end):
    """It is 06:00 on the clock on the wall, also where the night has 23 or 25 hours."""
    zone(name)
    instant = next_time(time_of_day(6, 0), datetime.fromisoformat(start))

    assert instant == datetime.fromisoformat(end)


def test_the_earlier_of_two_deadlines_counts(zone):
    """`until` and a longest duration may both be given."""
    zone("UTC")
    now = datetime(2026, 11, 21, 22, 0, tzinfo=UTC)

    assert deadline_of(time_of_day(6, 0), 3600, now).at == now.timestamp() + 3600
    assert deadline_of(time_of_day(6, 0), 36_000, now).at == now.timestamp() + 8 * 3600
    assert deadline_of(None, None, now) is None
