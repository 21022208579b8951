"""Replies that arrive together take a bounded number of bytes; who would exceed it is not read."""

import asyncio
import json
import socket

import pytest
from fakes import until
from hypothesis import given
from hypothesis import strategies as st
from loopback import response, sends, serving

import batchgen
from batchgen.bedrock import client as client_module
from batchgen.bedrock import reply_memory
from batchgen.bedrock.client import BODY_LIMIT, connect
from batchgen.bedrock.connection import Connection
from batchgen.bedrock.reply_memory import COPIES, MOST, SMALL, ReplyMemory, default_memory
from batchgen.errors import AnswerLost, UnusableReply
from batchgen.simulator.launch import running

MODEL = "stability.stable-image-core-v1:1"
MB = 1_000_000


class TestShares:
    @given(
        steps=st.lists(
            st.tuples(
                st.sampled_from(("take", "release", "cancel")),
                st.integers(0, 12),
                st.integers(0, 40 * SMALL),
            )
        )
    )
    def test_never_more_than_there_is_and_all_get_it(self, steps):
        """No more than all of the memory is taken, or what one alone takes, whoever comes or goes.

        Those who wait get it in their order, and nobody waits for ever.
        """
        most, order, done = 20 * SMALL, [], []

        async def reply(memory, number, size):
            share = await memory.take(size)
            if size > SMALL:
                order.append(number)
            done.append(share)

        async def scenario():
            memory, tasks = ReplyMemory(most), []
            for what, which, size in steps:
                if what == "take":
                    tasks.append(asyncio.create_task(reply(memory, len(tasks), size)))
                elif what == "release" and done:
                    done.pop(which % len(done)).release()
                elif what == "cancel" and tasks:
                    tasks[which % len(tasks)].cancel()
                await asyncio.sleep(0)
                assert memory.held <= most or sum(share.size > 0 for share in done) == 1
            while any(not task.done() for task in tasks) or done:
                await asyncio.sleep(0)
                for share in done:
                    share.release()
                    share.release()
                done.clear()
            assert memory.held == 0
            assert memory.is_free(2 * most)

        asyncio.run(asyncio.wait_for(scenario(), 10))
        assert order == sorted(order)

    async def test_a_small_one_passes_those_that_wait(self):
        """What a connection holds anyway need not wait for memory."""
        memory = ReplyMemory(1)
        await memory.take(MB)
        waiting = asyncio.create_task(memory.take(MB))
        await asyncio.sleep(0)
        assert memory.is_free(SMALL)
        assert not memory.is_free(SMALL + 1)
        await memory.take(SMALL)
        waiting.cancel()

    async def test_a_reply_that_was_smaller_than_it_might_have_been(self):
        """What it does not need goes to the next at once."""
        memory = ReplyMemory(COPIES * 3 * MB)
        first = await memory.take(3 * MB)
        second = asyncio.create_task(memory.take(2 * MB))
        await asyncio.sleep(0)
        assert not second.done()
        first.correct(MB)
        await second
        assert memory.held == COPIES * 3 * MB


class TestOfTheMachine:
    @pytest.fixture
    def machine(self, tmp_path, monkeypatch):
        """Control groups as files say; gives a function that writes one of them."""
        monkeypatch.setattr(reply_memory, "CGROUPS", tmp_path)
        monkeypatch.setattr(reply_memory, "OWN_CGROUPS", tmp_path / "own")
        monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4 * 2**20}.get)

        def write(name, text):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

        return write

    @pytest.mark.parametrize(
        ("own", "files", "most"),
        [
            (None, {}, MOST),
            ("0::/\n", {"memory.max": "max\n"}, MOST),
            ("0::/a/b\n", {"a/b/memory.max": f"{512 * 2**20}\n"}, 64 * 2**20),
            (
                "0::/a/b\n",
                {"a/memory.max": f"{512 * 2**20}\n", "a/b/memory.max": "max"},
                64 * 2**20,
            ),
            ("0::/gone\n", {"memory.max": f"{512 * 2**20}"}, 64 * 2**20),
            (
                "9:cpu:/x\n4:memory:/job\n0::/\n",
                {"memory/job/memory.limit_in_bytes": f"{2**30}\n"},
                128 * 2**20,
            ),
            ("4:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, MOST),
        ],
        ids=[
            "no Linux",
            "unlimited",
            "version 2",
            "a group around",
            "container",
            "version 1",
            "v1",
        ],
    )
    def test_it_is_a_part_of_what_there_is(self, machine, own, files, most):
        """256 MB, or an eighth of the machine's memory or its container's, if that is less."""
        if own is not None:
            machine("own", own)
        for name, text in files.items():
            machine(name, text)
        assert default_memory() == most

    def test_a_small_machine_without_containers(self, machine, monkeypatch):
        """One of 1 GB gives 128 MB."""
        machine("own", "")
        monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**18}.get)
        assert default_memory() == 128 * 2**20


def of_bytes(size, sent):
    """Answers with so many bytes and notes how many of them the kernel took off us."""

    async def respond(writer):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        number = len(sent)
        sent.append(0)
        writer.write(response(200, b"x" * size))
        while not writer.is_closing() and sent[number] < size:
            sent[number] = size - writer.transport.get_write_buffer_size()
            await asyncio.sleep(0)

    return respond


@pytest.fixture
async def server():
    async with serving() as loopback:
        yield loopback


def to(server):
    return Connection(region="us-west-2", url=server.url, calls_in_flight=12)


class TestBackpressure:
    async def test_who_would_exceed_it_is_not_read(self, server):
        """Of ten replies at once two fit; the others stay with the service until one is done with.

        All of them arrive whole, and their connections go on as any other.
        """
        size, sent = 8 * MB, []
        server.respond = of_bytes(size, sent)
        memory = ReplyMemory(2 * COPIES * size)
        answers = []
        async with connect(to(server), memory) as client:

            async def call():
                answers.append(await client.invoke(MODEL, b"{}"))

            calls = [asyncio.create_task(call()) for _ in range(10)]
            for number in range(10):
                await until(lambda number=number: len(answers) > number)
                assert memory.held <= 2 * COPIES * size
                assert len(answers) <= number + 2
                assert sum(each == size for each in sent) <= number + 2
                assert len(answers[number].body) == size
                answers[number].release()
            await asyncio.gather(*calls)
            assert memory.held == 0
            server.respond = sends(response(200, b"{}"))
            assert (await client.invoke(MODEL, b"{}")).body == b"{}"

    async def test_a_reply_that_waits_is_not_given_up(self, server, monkeypatch):
        """It is paid for: neither the read timeout nor that of the call runs while we do not read.

        Nor is our waiting counted as the service's latency.
        """
        server.respond = sends(response(200, b"x" * MB))
        memory = ReplyMemory(1)
        async with connect(to(server), memory) as client:
            first = await client.invoke(MODEL, b"{}")
            second = asyncio.create_task(client.invoke(MODEL, b"{}"))
            await until(lambda: not memory.is_free(SMALL + 1) and memory._waiting)
            loop = asyncio.get_running_loop()
            real = loop.time
            monkeypatch.setattr(loop, "time", lambda: real() + 100_000)
            for _ in range(20):
                await asyncio.sleep(0)
            first.release()
            answer = await second
            assert len(answer.body) == MB
            assert 0 <= answer.latency_ms < 60_000
            answer.release()

    async def test_after_it_waited_the_time_of_a_call_runs_on(self, server, monkeypatch):
        """Then an answer that does not go on is lost, as any other."""

        async def half(writer):
            writer.write(response(200, b"x" * MB)[: MB // 2])
            await asyncio.Event().wait()

        memory = ReplyMemory(1)
        async with connect(to(server), memory) as client:
            server.respond = sends(response(200, b"x" * MB))
            first = await client.invoke(MODEL, b"{}")
            server.respond = half
            monkeypatch.setattr(client_module, "CALL_TIMEOUT", 0.2)
            second = asyncio.create_task(client.invoke(MODEL, b"{}"))
            await until(lambda: memory._waiting or second.done())
            first.release()
            with pytest.raises(AnswerLost):
                await second
        assert memory.held == 0

    @pytest.mark.parametrize("when", ["waiting", "reading"])
    async def test_a_call_that_is_cancelled_gives_back_what_it_took(self, server, when):
        """Whether it waited for memory or had it."""

        async def half(writer):
            writer.write(response(200, b"x" * MB)[: MB // 2])
            await asyncio.Event().wait()

        server.respond = half
        memory = ReplyMemory(1)
        async with connect(to(server), memory) as client:
            blocking = await memory.take(MB) if when == "waiting" else None
            call = asyncio.create_task(client.invoke(MODEL, b"{}"))
            await until(lambda: memory._waiting if blocking else memory.held)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            if blocking:
                blocking.release()
            assert memory.held == 0
            assert memory.is_free(MB)

    async def test_replies_of_unknown_size_do_not_wait_for_each_other(self, server):
        """Each takes the most that it may need before it is read; half of one blocks nobody."""
        go_on = asyncio.Event()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        half = b"%x\r\n%s\r\n" % (MB, b"x" * MB)

        async def halves(writer):
            writer.write(head + half)
            await go_on.wait()
            writer.write(half + b"0\r\n\r\n")

        server.respond = halves
        memory = ReplyMemory(COPIES * BODY_LIMIT + MB)
        async with connect(to(server), memory) as client:
            calls = [asyncio.create_task(client.invoke(MODEL, b"{}")) for _ in range(4)]
            await until(lambda: len(memory._waiting) == 3)
            assert memory.held == COPIES * BODY_LIMIT
            go_on.set()
            for call in asyncio.as_completed(calls):
                answer = await call
                assert len(answer.body) == 2 * MB
                answer.release()
        assert memory.held == 0

    async def test_a_reply_that_is_too_large_takes_memory_as_long_as_it_is_kept(
        self, server, monkeypatch
    ):
        """Its bytes wait to be stored too."""
        monkeypatch.setattr(client_module, "BODY_LIMIT", MB)
        server.respond = sends(response(200, b"x" * 3 * MB))
        memory = ReplyMemory()
        async with connect(to(server), memory) as client:
            with pytest.raises(UnusableReply) as caught:
                await client.invoke(MODEL, b"{}")
            assert len(caught.value.body) > MB
            assert memory.held == COPIES * MB
            caught.value.release()
        assert memory.held == 0


class TestRun:
    async def test_a_run_gives_back_what_its_replies_took(self, tmp_path, monkeypatch):
        """Stored, filtered, unusable or cut: with room for one reply at a time all tasks end."""
        monkeypatch.setattr(reply_memory, "MOST", 1)
        monkeypatch.setattr(reply_memory, "SMALL", 0)
        damages = ("cut-json", "broken-base64", "empty-images", "not-an-image", "torn-image")
        faults = [{"action": each, "when": {"call": n}} for n, each in enumerate(damages, 1)]
        (tmp_path / "faults.json").write_text(json.dumps(faults))
        async with running(f"--faults={tmp_path / 'faults.json'}", "--latency=0") as simulator:
            job = batchgen.Job(
                name="shop",
                endpoint=simulator.url,
                model=MODEL,
                output=str(tmp_path / "out"),
                items=[batchgen.Item(id=f"mug{n}", prompt=f"mug {n}") for n in range(7)],
                limits={"concurrency": 8, "requests_per_minute": 60_000},
                retry={"ambiguous": "fail"},
            )
            async with asyncio.timeout(60):
                summary = await batchgen.run(job)
        assert (summary.succeeded, summary.failed) == (2, len(damages))

    async def test_a_reply_that_is_too_large_does_not_wait_for_itself(self, tmp_path, monkeypatch):
        """Its task is tried again while the error of the first attempt is still known."""
        monkeypatch.setattr(reply_memory, "MOST", 1)
        monkeypatch.setattr(client_module, "BODY_LIMIT", SMALL + 1)
        async with running("--latency=0", "--picture=plain", "--picture-bytes=90000") as simulator:
            job = batchgen.Job(
                name="shop",
                endpoint=simulator.url,
                model=MODEL,
                output=str(tmp_path / "out"),
                items=[batchgen.Item(id=f"mug{n}", prompt=f"mug {n}") for n in range(3)],
                limits={"requests_per_minute": 60_000},
            )
            async with asyncio.timeout(60):
                summary = await batchgen.run(job)
        assert (summary.failed, summary.retried) == (3, 3)
