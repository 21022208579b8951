"""What each fault of the network and of the service costs, by the simulator's ledger."""

import pytest
from bench import PRICE, bench, in_time_of_sockets


@in_time_of_sockets
async def test_one_call_for_each_image(tmp_path):
    """On a good day each task is sent once and charged once."""
    async with bench(tmp_path) as it:
        ran = await it.run(3)

        assert ran.exit_code == 0
        assert it.posts() == [1, 1, 1]
        assert it.charged() == ran.summary.billed_usd == 3 * PRICE
        ran.check_images()
