"""Answers that do not arrive: what exactly reaches the client, and what the ledger says."""

import pytest
from clocks import ManualClock
from wire import CORE, PROMPT, until, wired

from batchgen.simulator.faults.directives import read


async def met(action, clock=None, **more):
    """What is heard of one call that meets an action, and its ledger entry."""
    async with wired(clock=clock, picture="plain") as wire:
        wire.service.script.add(read([{"action": action, **more}]))
        heard = await wire.post(PROMPT)
        return heard, wire.service.ledger.lines()[0]


@pytest.mark.parametrize("sent", [0, 1, 500, 3000])
async def test_a_body_is_cut_at_the_byte(sent):
    """Headers promise more than comes before the connection is closed."""
    heard, entry = await met("cut-body", bytes=sent)

    assert heard.status == 200
    assert len(heard.body) == sent < int(heard.headers["content-length"])
    assert (entry["charged_usd"], entry["delivered"]) == ("0.04", False)


async def test_a_connection_is_closed_before_the_headers():
    """Nothing at all comes, and it was charged."""
    heard, entry = await met("close-before-headers")

    assert (heard.raw, heard.reset) == (b"", False)
    assert (entry["status"], entry["charged_usd"], entry["delivered"]) == (200, "0.04", False)


async def test_a_connection_is_reset_after_the_request():
    """The client sees a reset, not an end."""
    heard, entry = await met("reset")

    assert heard.reset
    assert (entry["charged_usd"], entry["delivered"]) == ("0.04", False)


async def test_what_was_dropped_need_not_be_charged():
    """If the directive says so."""
    _, entry = await met("reset", charged=False)

    assert entry["charged_usd"] == "0"


async def test_a_body_stalls_until_the_client_gives_up():
    """The first bytes come, then nothing, on an open connection."""
    async with wired(picture="plain") as wire:
        wire.service.script.add(read([{"action": "stall-body", "bytes": 100}]))
        reader, writer = await wire.send(PROMPT)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(100)
        entry = wire.service.ledger.lines()[0]
        assert (entry["charged_usd"], entry["delivered"]) == ("0.04", None)

        writer.close()
        await ledger_knows(wire)
        assert wire.service.ledger.lines()[0]["delivered"] is False


async def test_no_answer_comes_until_the_client_gives_up():
    """The generation was charged all the same."""
    async with wired(picture="plain") as wire:
        wire.service.script.add(read([{"action": "no-answer"}]))
        reader, writer = await wire.send(PROMPT)
        await in_ledger(wire)
        writer.write_eof()
        await ledger_knows(wire)

        assert await reader.read() == b""
        assert wire.service.ledger.lines()[0]["charged_usd"] == "0.04"
        writer.close()


async def test_a_late_answer_comes_whole_when_its_time_has_come():
    """Charged long before."""
    clock = ManualClock()
    async with wired(clock=clock, picture="plain") as wire:
        wire.service.script.add(read([{"action": "late", "seconds": 100}]))
        reader, writer = await wire.send(PROMPT)
        await clock.sleeping(1)
        entry = wire.service.ledger.lines()[0]
        clock.advance(100)

        assert b"200 OK" in await reader.readline()
        assert (entry["charged_usd"], entry["delivered"]) == ("0.04", None)
        writer.close()


async def test_a_client_that_goes_away_pays_all_the_same():
    """The service finishes what it began: nothing hides the charge."""
    clock = ManualClock()
    async with wired(clock=clock, latency="10", picture="plain") as wire:
        _, writer = await wire.send(PROMPT)
        await clock.sleeping(1)
        writer.transport.abort()
        await until(lambda: wire.service.ledger._early)
        clock.advance(10)
        await ledger_knows(wire)

        entry = wire.service.ledger.lines()[0]
        assert (entry["outcome"], entry["charged_usd"]) == ("generated", "0.04")
        assert entry["delivered"] is False


async def test_what_is_in_flight_when_the_simulator_ends_is_charged():
    """For the real service would have gone on."""
    clock = ManualClock()
    async with wired(clock=clock, latency="10", picture="plain") as wire:
        _, writer = await wire.send(PROMPT)
        await clock.sleeping(1)
        ledger = wire.service.ledger
    writer.close()

    (entry,) = ledger.lines()
    assert (entry["outcome"], entry["status"], entry["model"]) == ("abandoned", 0, CORE)
    assert (entry["charged_usd"], entry["delivered"]) == ("0.04", False)


async def test_waiting_connections_do_not_hold_up_the_end():
    """A stalled answer ends with the server."""
    async with wired(picture="plain") as wire:
        wire.service.script.add(read([{"action": "no-answer"}]))
        reader, writer = await wire.send(PROMPT)
        await in_ledger(wire)

    assert await reader.read() == b""
    writer.close()


async def in_ledger(wire):
    """Return when the call is entered."""
    await until(wire.service.ledger.lines)


async def ledger_knows(wire):
    """Return when it is known how the delivery ended."""
    await in_ledger(wire)
    await until(lambda: wire.service.ledger.lines()[0]["delivered"] is not None)
