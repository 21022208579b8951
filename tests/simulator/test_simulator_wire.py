"""The bytes of InvokeModel on the wire."""

import json
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import pytest
from clocks import ManualClock
from wire import CORE, PROMPT, authorization, wired

ARN = "arn:aws:bedrock:us-west-2:111122223333:application-inference-profile/"


@pytest.mark.parametrize(
    "path", [CORE, quote(CORE, safe=""), quote(CORE, safe="").replace("A", "a")]
)
async def test_the_colon_of_a_model_id_may_be_raw_or_encoded(path):
    """SDKs encode it, curl and requests do not."""
    async with wired() as wire:
        heard = await wire.post(PROMPT, f"/model/{path}/invoke")

    assert heard.status == 200


async def test_a_path_is_decoded_after_routing():
    """An encoded slash belongs to the identifier; a raw one makes another path."""
    known = f"{ARN}{CORE}"
    async with wired() as wire:
        encoded = await wire.post(PROMPT, f"/model/{quote(known, safe='')}/invoke")
        raw = await wire.post(PROMPT, f"/model/{known}/invoke")

    assert (encoded.status, raw.status) == (200, 404)
    assert raw.headers["x-amzn-errortype"].startswith("UnknownOperationException:")


async def test_an_answer_has_the_headers_of_the_service():
    """Request id, date, exact length, latency in milliseconds; nothing of the server's software."""
    async with wired() as wire:
        heard = await wire.post(PROMPT)

    assert heard.headers["content-type"] == "application/json"
    assert len(heard.headers["x-amzn-requestid"]) == 36
    assert heard.headers["x-amzn-bedrock-invocation-latency"].isdecimal()
    assert int(heard.headers["content-length"]) == len(heard.body)
    assert parsedate_to_datetime(heard.headers["date"])
    assert "server" not in heard.headers
    assert set(heard.json) == {"seeds", "finish_reasons", "images"}


async def test_an_error_has_its_type_in_a_header_and_a_compact_message_as_body():
    """Exactly as it was observed: no `__type`, no blank, no Retry-After."""
    async with wired(meter="fixed", requests_per_minute="0") as wire:
        heard = await wire.post(PROMPT)

    message = (
        "Too many requests, please wait before trying again. "
        "You have sent too many requests.  Wait before trying again."
    )
    assert heard.status == 429
    assert heard.body == json.dumps({"message": message}, separators=(",", ":")).encode()
    assert heard.headers["x-amzn-errortype"] == (
        "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/"
    )
    assert "retry-after" not in heard.headers


@pytest.mark.parametrize("header", ["Content-Type", "Accept"])
async def test_content_type_and_accept_may_be_missing_or_anything(header):
    """The SDK sends neither unless it is given."""
    async with wired() as wire:
        with_it = await wire.post(PROMPT, headers={header: "text/plain"})
        without = await wire.post(PROMPT)

    assert (with_it.status, without.status) == (200, 200)


@pytest.mark.parametrize(
    ("value", "key_id"),
    [
        (authorization("AKIDEXAMPLE"), "AKIDEXAMPLE"),
        ("Bearer abc", "bearer-ba7816bf"),
        ("Bearer \xff\xfe", "bearer-ac1f0e8c"),
        ("anything at all", "bearer-25f4ec36"),
    ],
)
async def test_any_authorization_is_taken_on_trust(value, key_id):
    """The simulator knows nobody's secret."""
    async with wired() as wire:
        heard = await wire.post(PROMPT, headers={"Authorization": value})

        assert heard.status == 200
        assert wire.service.ledger.lines()[0]["key_id"] == key_id


async def test_a_call_without_authorization_is_refused():
    """With the service's 403."""
    async with wired() as wire:
        heard = await wire.post(PROMPT, headers={"Authorization": None})

    assert (heard.status, heard.message) == (403, "Missing Authentication Token")
    assert heard.headers["x-amzn-errortype"].startswith("MissingAuthenticationTokenException:")


@pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 400)])
async def test_a_body_may_have_25_million_bytes(extra, status):
    """One more is a validation error, and the ledger has the call."""
    frame = b'{"prompt":"a"%s}'
    body = frame % (b" " * (25_000_000 - len(frame) + 2 + extra))
    async with wired() as wire:
        heard = await wire.post(body)
        entries = wire.service.ledger.lines()

    assert heard.status == status
    assert [entry["status"] for entry in entries] == [status]


@pytest.mark.parametrize(
    "path", ["/", "/model/x", "/model/x/converse", "/models", "/model//invoke"]
)
async def test_other_paths_are_unknown_operations(path):
    """A client that misspells a path must see it."""
    async with wired() as wire:
        assert (await wire.post(PROMPT, path)).status == 404


async def test_a_thousand_calls_are_in_flight_at_once():
    """Each holds its connection until its latency has passed, and all are answered."""
    clock, calls = ManualClock(), 1000
    async with wired(clock=clock, latency="3", picture="plain", picture_bytes="20000") as wire:
        open_ = [await wire.send({"prompt": f"p{number}"}) for number in range(calls)]
        await clock.sleeping(calls)
        clock.advance(3)
        heads = [await reader.readline() for reader, _ in open_]
        for _, writer in open_:
            writer.close()

        assert set(heads) == {b"HTTP/1.1 200 OK\r\n"}
        assert wire.service.stats.snapshot()["most_in_flight"] == calls


async def test_connections_are_kept_open_between_calls():
    """A pool of connections is what makes many calls cheap."""
    async with wired() as wire:
        reader, writer = await wire.send(PROMPT, headers={"Connection": "keep-alive"})
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)

        assert b"connection: close" not in head.lower()
        assert not reader.at_eof()
        writer.close()
