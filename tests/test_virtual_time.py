"""The clock that the pacing tests stand on."""

import asyncio
import time

from virtual_time import run, virtual_time


@virtual_time
async def test_sleeping_moves_the_clock_and_takes_no_time():
    """A day of sleep passes on the loop's clock while next to nothing passes on the wall's."""
    begin = time.monotonic()
    await asyncio.sleep(86_400)
    assert asyncio.get_running_loop().time() == 86_400
    assert time.monotonic() - begin < 5


@virtual_time
async def test_timers_fire_in_their_order():
    """Who sleeps less wakes up first, at the instant asked for."""
    loop = asyncio.get_running_loop()
    woken = []

    async def sleep(seconds):
        await asyncio.sleep(seconds)
        woken.append((seconds, loop.time()))

    await asyncio.gather(*(sleep(seconds) for seconds in (30, 10, 20)))
    assert woken == [(10, 10), (20, 20), (30, 30)]


@virtual_time
async def test_time_stands_still_while_a_thread_works():
    """A timer does not overtake work that an executor does."""
    loop = asyncio.get_running_loop()
    timer = asyncio.create_task(asyncio.sleep(3600))
    await asyncio.sleep(0)
    assert await asyncio.to_thread(sum, range(1000)) == 499_500
    assert loop.time() == 0
    timer.cancel()


def test_a_value_and_an_error_come_out():
    """`run` gives back what the coroutine gives back."""

    async def answer():
        await asyncio.sleep(60)
        return 42

    assert run(answer()) == 42
