"""A run inside somebody's program leaves the event loop as it was."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from bench import bench, in_time_of_sockets


@in_time_of_sockets
async def test_the_default_executor_stays_the_callers(tmp_path):
    """It is the one that it was, still open, and no thread of the run is left."""
    async with bench(tmp_path) as it:
        executor = ThreadPoolExecutor(2, thread_name_prefix="callers")
        asyncio.get_running_loop().set_default_executor(executor)

        ran = await it.run(3)

        assert ran.exit_code == 0
        assert (await asyncio.to_thread(threading.current_thread)).name.startswith("callers")
        assert [each for each in threading.enumerate() if "batchgen" in each.name] == []
