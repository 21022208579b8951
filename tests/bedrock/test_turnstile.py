"""What a crowd of calls has to do at once is spread over turns of the loop."""

import asyncio
from collections import Counter
from contextlib import contextmanager

from fakes import until
from hypothesis import given
from hypothesis import strategies as st
from loopback import response, sends, serving

from batchgen.bedrock.client import A_TURN, connect
from batchgen.bedrock.connection import Connection
from batchgen.bedrock.turnstile import Turnstile

MODEL = "stability.stable-image-core-v1:1"


class Turns:
    """Counts the turns of the loop, and what was done in each."""

    def __init__(self):
        self.done = Counter()
        self._turn = 0

    def note(self):
        """Something was done in this turn."""
        self.done[self._turn] += 1

    @contextmanager
    def counted(self):
        def turn():
            nonlocal handle
            self._turn += 1
            handle = asyncio.get_running_loop().call_soon(turn)

        handle = asyncio.get_running_loop().call_soon(turn)
        try:
            yield
        finally:
            handle.cancel()


@given(
    a_turn=st.integers(1, 5),
    comers=st.lists(
        st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 9))), max_size=30
    ),
)
def test_so_many_pass_in_a_turn_and_all_in_their_order(a_turn, comers):
    """Whoever comes when, and whoever goes away while it waits."""

    async def scenario():
        turnstile, turns, passed, came = Turnstile(a_turn), Turns(), [], []

        async def comer(number):
            came.append(number)
            await turnstile.enter()
            turns.note()
            passed.append(number)

        async def leave(task, after):
            for _ in range(after):
                await asyncio.sleep(0)
            task.cancel()

        with turns.counted():
            tasks = []
            for number, (pause, patience) in enumerate(comers):
                for _ in range(pause):
                    await asyncio.sleep(0)
                tasks.append(asyncio.create_task(comer(number)))
                if patience is not None:
                    tasks.append(asyncio.create_task(leave(tasks[-1], patience)))
            async with asyncio.timeout(10):
                await asyncio.gather(*tasks, return_exceptions=True)
        assert max(turns.done.values(), default=0) <= 2 * a_turn
        assert passed == [number for number in came if number in passed]
        assert {number for number, (_, patience) in enumerate(comers) if patience is None} <= {
            *passed
        }

    asyncio.run(scenario())


def test_few_pass_at_once():
    """Where there is no crowd nobody waits for a turn."""

    async def scenario():
        turnstile = Turnstile(2)
        for _ in range(2):
            try:
                turnstile.enter().send(None)
            except StopIteration:
                continue
            raise AssertionError("it waited")

    asyncio.run(scenario())


async def test_a_crowd_of_calls_is_sent_and_read_a_few_in_a_turn(monkeypatch):
    """Forty calls begin in one turn of the loop and all of their replies are there together."""
    sent, read, crowd = Turns(), Turns(), 40
    together = asyncio.Event()

    async def when_all_are_there(writer):
        if len(server.posts) == crowd:
            together.set()
        await together.wait()
        await sends(response(200, b"x" * 300_000))(writer)

    async with serving() as server:
        server.respond = when_all_are_there
        there = Connection(region="us-west-2", url=server.url, calls_in_flight=crowd)
        async with connect(there) as client:
            send = client._invocation.send
            enter = client._reading.enter

            async def noted_send(*arguments):
                sent.note()
                return await send(*arguments)

            async def noted_enter():
                await enter()
                read.note()

            monkeypatch.setattr(client._invocation, "send", noted_send)
            monkeypatch.setattr(client._reading, "enter", noted_enter)
            with sent.counted(), read.counted():
                calls = [asyncio.create_task(client.invoke(MODEL, b"{}")) for _ in range(crowd)]
                await until(lambda: all(call.done() for call in calls))
            assert [len(call.result().body) for call in calls] == [300_000] * crowd
    assert sum(sent.done.values()) == crowd
    assert max(sent.done.values()) == A_TURN
    assert max(read.done.values()) <= 2 * A_TURN
