"""An answer is judged by its status, whatever its body; and what it says is of a bounded length."""

import asyncio
import gzip
import json
import zlib
from functools import partial

import pytest
import pytest_asyncio
from loopback import cuts, response, sends, serving, stalls

from batchgen.bedrock import client, wire
from batchgen.bedrock.account import open_account
from batchgen.bedrock.account_errors import AccountError, AccountErrorReason
from batchgen.bedrock.client import connect
from batchgen.bedrock.connection import Connection
from batchgen.errors import (
    AnswerLost,
    ModelDenied,
    Permanent,
    ServiceFault,
    Throttled,
    Unavailable,
)
from batchgen.text import LONGEST_SAID

MODEL = "stability.stable-image-core-v1:1"
CORE = MODEL
JSON = {"Content-Type": "application/json"}
STATUSES = {
    301: ModelDenied,
    400: Permanent,
    403: ModelDenied,
    404: ModelDenied,
    429: Throttled,
    500: ServiceFault,
    502: ServiceFault,
    503: Unavailable,
    504: ServiceFault,
}
GOOD = b'{"message": "Too many requests"}'
BODIES = {
    "empty": (b"", {}),
    "no UTF-8": (b"\xff\xfe\x00\x81 gr\xfc\xdf", {}),
    "UTF-16": ('{"message": "x"}'.encode("utf-16"), JSON),
    "no JSON": (b"slow down!", JSON),
    "half of a JSON": (b'{"message": "Too ma', JSON),
    "a list": (b'["a", {"message": "b"}]', JSON),
    "a number": (b"42", JSON),
    "a text": (b'"Too many"', JSON),
    "null": (b"null", JSON),
    "a message that is a list": (b'{"message": ["a", 1], "__type": {"a": 1}}', JSON),
    "a code that is a number": (b'{"code": 7, "message": 8}', JSON),
    "a code that is a list": (b'{"code": ["a"], "__type": ["b"], "Message": null}', JSON),
    "an error in an error": (b'{"Error": {"Error": {"Code": [1]}}, "ResponseMetadata": "x"}', JSON),
    "deep": (b"[" * 30_000, JSON),
    "a long number": (b'{"message": ' + b"9" * 30_000 + b"}", JSON),
    "a lone surrogate": (b'{"message": "\\ud800"}', JSON),
    "NUL": (b"\x00" * 1_000, JSON),
    "HTML": (b"<!doctype html><p>Bad gateway", {"Content-Type": "text/html"}),
    "XML": (b"<?xml version='1.0'?><Error><Code>A</Code></Error>", {"Content-Type": "text/xml"}),
    "gzip": (gzip.compress(GOOD), {**JSON, "Content-Encoding": "gzip"}),
    "gzip that is not said": (gzip.compress(GOOD), JSON),
    "half of a gzip": (gzip.compress(GOOD * 99)[:40], {**JSON, "Content-Encoding": "gzip"}),
    "gzip that is none": (GOOD, {**JSON, "Content-Encoding": "gzip"}),
    "deflate": (zlib.compress(GOOD), {**JSON, "Content-Encoding": "deflate"}),
    "an unknown coding": (b"\x1b\x00\x00", {**JSON, "Content-Encoding": "br"}),
    "a bomb": (gzip.compress(b"x" * 50_000_000), {**JSON, "Content-Encoding": "gzip"}),
    "a header that is no UTF-8": (GOOD, {"x-amzn-note": "gr\xfc\xdf"}),
}


def raw(status, body, headers):
    """A response whose headers may hold any byte."""
    lines = {"Content-Length": str(len(body)), "x-amzn-RequestId": "r-1", **headers}
    head = f"HTTP/1.1 {status} Reason\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
    return head.encode("latin-1") + b"\r\n" + body


one_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_line():
    """A server and a client that the tests share, for opening a client takes long."""
    async with serving() as server, connect(to(server)) as opened:
        yield server, partial(opened.invoke, MODEL, b"{}")


def to(server):
    return Connection(region="us-west-2", url=server.url, calls_in_flight=4)


async def failure(call):
    with pytest.raises(tuple(STATUSES.values())) as caught:
        await call()
    return caught.value


@one_loop
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", BODIES)
async def test_the_status_counts_whatever_the_body(open_line, status, body):
    """No body makes a fault of batchgen of an error reply, or changes what it means."""
    server, call = open_line
    server.posts.clear()
    server.respond = sends(raw(status, *BODIES[body]))

    found = await failure(call)

    assert type(found) is STATUSES[status]
    assert len(found.message) <= LONGEST_SAID
    assert found.code == str(status)
    assert found.request_id == "r-1"
    assert len(server.posts) == 1


HEADS = {
    "a NUL": b"X-A: a\0b\r\n",
    "a NUL in the error's name": b"x-amzn-ErrorType: Throttling\0Exception\r\n",
    "no header": b"what is this\r\n",
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n",
    "a length that is none": b"Content-Length: many\r\n",
    "a coding that is none": b"Transfer-Encoding: chunked, gibberish\r\nContent-Length: 2\r\n",
    "a line that is too long": b"X: " + b"a" * 200_000 + b"\r\n",
    "too many": b"".join(b"X-%d: a\r\n" % number for number in range(20_000)),
}
"""What no client can read, below a status that everyone can."""


@one_loop
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("head", HEADS)
async def test_the_status_counts_whatever_stands_below_it(open_line, status, head):
    """A head that cannot be read has said its status: a rejection is free, whoever garbled it."""
    server, call = open_line
    server.posts.clear()
    server.respond = cuts(b"HTTP/1.1 %d R\r\n" % status + HEADS[head] + b"\r\n{}")

    found = await failure(call)

    assert (type(found), found.code) == (STATUSES[status], str(status))
    assert len(server.posts) == 1


@one_loop
@pytest.mark.parametrize("begun", [b"HTTP/1.1 503 Service Unav", b"HTTP/1.0 503\r\nX-A: "])
async def test_a_head_that_is_cut_behind_its_status(open_line, begun):
    """The service has said that it made nothing."""
    server, call = open_line
    server.respond = cuts(begun)
    assert type(await failure(call)) is Unavailable


@one_loop
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\n\r\n{}",
        b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 503 R\r\nX-A: a\0b\r\n\r\n",
        b"HTTP/1.1 50",
        b"HTTP/1.1 5033\r\n\r\n",
        b"SSH-2.0 503 \r\n\r\n",
    ],
)
async def test_no_status_of_an_error(open_line, answer):
    """Whoever has not said that nothing was made may have made an image."""
    server, call = open_line
    server.respond = cuts(answer)
    with pytest.raises(AnswerLost):
        await call()


@one_loop
async def test_the_next_answer_on_a_connection_has_a_status_of_its_own(open_line):
    """What one answer said is not held against the next one."""
    server, call = open_line
    server.respond = sends(raw(429, b"{}", JSON))
    assert type(await failure(call)) is Throttled
    server.respond = cuts(b"HTTP/1.1 2")
    with pytest.raises(AnswerLost):
        await call()


@one_loop
async def test_a_compressed_message_is_read(open_line):
    """Where a proxy packs a message all the same, it is unpacked."""
    server, call = open_line
    for body in ("gzip", "deflate", "gzip that is not said"):
        server.respond = sends(raw(429, *BODIES[body]))
        assert (await failure(call)).message == "Too many requests"


@one_loop
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("name", ["AccessDeniedException", "ValidationException", "Anything"])
async def test_no_body_makes_a_rejection_for_now_final(open_line, status, name):
    """A name in the body of a 429 or 503 changes nothing; one in Bedrock's header is the service's.

    Only a name that says the same counts: it tells the quota from a lack of capacity.
    """
    server, call = open_line
    server.respond = sends(response(status, json.dumps({"__type": name}).encode(), JSON))
    assert type(await failure(call)) is STATUSES[status]
    server.respond = sends(response(status, b'{"__type": "ThrottlingException"}', JSON))
    assert type(await failure(call)) is Throttled


@one_loop
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_endless_error_page_is_not_read(open_line, status):
    """What is read of an error is bounded, and the connection is given up."""
    server, call = open_line
    left = []

    async def respond(writer):
        writer.write(f"HTTP/1.1 {status} R\r\nContent-Length: 1500000000\r\n\r\n".encode())
        try:
            for _ in range(1_500):
                writer.write(b"x" * 1_000_000)
                await writer.drain()
                left.append(1_000_000)
        finally:
            writer.close()

    server.respond = respond
    found = await failure(call)

    assert type(found) is STATUSES[status]
    assert len(found.message) <= LONGEST_SAID
    assert sum(left) < 50_000_000


@one_loop
@pytest.mark.parametrize("how", [cuts, stalls])
async def test_an_error_body_that_does_not_come_is_not_needed(open_line, monkeypatch, how):
    """The head has said it: nothing was made, and the call is free."""
    monkeypatch.setattr(wire, "ERROR_PATIENCE", 0.2)
    server, call = open_line
    server.respond = how(b"HTTP/1.1 429 R\r\nContent-Length: 500\r\n\r\n{")
    assert type(await failure(call)) is Throttled


IMAGES = b'{"images": ["aGk="], "finish_reasons": [null]}'
REPLIES = {
    "gzip": (gzip.compress(IMAGES), {"Content-Encoding": "gzip"}),
    "gzip that is not said": (gzip.compress(IMAGES), {}),
    "deflate": (zlib.compress(IMAGES), {"Content-Encoding": "deflate"}),
    "gzip that is none": (IMAGES, {"Content-Encoding": "gzip"}),
    "a header that is no UTF-8": (IMAGES, {"x-amzn-note": "gr\xfc\xdf"}),
    "a long header": (IMAGES, {"x-amzn-note": "n" * 30_000}),
}


@one_loop
@pytest.mark.parametrize("name", REPLIES)
async def test_a_reply_that_came_in_another_dress_is_read(open_line, name):
    """A proxy may compress it or add odd headers: the images in it were paid for."""
    server, call = open_line
    server.posts.clear()
    server.respond = sends(raw(200, *REPLIES[name]))
    assert (await call()).body == IMAGES
    assert len(server.posts) == 1


@one_loop
async def test_a_reply_that_cannot_be_unpacked_stays_as_it_came(open_line, monkeypatch):
    """It is kept for a person; and no bomb fills the memory."""
    server, call = open_line
    server.respond = sends(raw(200, b"\x1b\x00\x00", {"Content-Encoding": "br"}))
    assert (await call()).body == b"\x1b\x00\x00"
    monkeypatch.setattr(client, "BODY_LIMIT", 1_000_000)
    server.respond = sends(raw(200, gzip.compress(b"x" * 50_000_000), {}))
    assert len((await call()).body) == 1_000_000


@one_loop
async def test_a_long_header_hides_no_status(open_line):
    """A 429 is free, whatever a proxy writes beside it."""
    server, call = open_line
    server.respond = sends(raw(429, b"", {"x-note": "n" * 30_000}))
    assert type(await failure(call)) is Throttled


@one_loop
async def test_what_the_service_says_is_cut(open_line):
    """Messages, names and request ids, each to a length that a record can bear."""
    server, call = open_line
    body = json.dumps({"message": "m" * 60_000}).encode()
    headers = {"x-amzn-ErrorType": "N" * 7_000, "x-amzn-RequestId": "r" * 7_000, **JSON}
    server.respond = sends(response(400, body, headers))
    found = await failure(call)
    assert (len(found.message), len(found.code), len(found.request_id)) == (2_000, 200, 200)
    assert found.message.endswith("m…")


class TestRetryAfter:
    @one_loop
    async def test_it_comes_from_the_wire(self, open_line):
        """The header of the answer, whatever its body."""
        server, call = open_line
        server.respond = sends(response(503, b"[]", {"Retry-After": "30"}))
        assert (await failure(call)).retry_after == 30.0
        server.respond = sends(response(503, b"[]"))
        assert (await failure(call)).retry_after is None


QUESTIONS = {
    "identity": lambda account: account.identity(),
    "life cycle": lambda account: account.life_cycle(CORE),
    "access": lambda account: account.access(CORE),
    "quotas": lambda account: account.quotas(),
    "reach": lambda account: account.reach(),
}
ANSWERS = {
    **{name: (200, *answer) for name, answer in BODIES.items() if name != "a bomb"},
    "HTML 502": (502, *BODIES["HTML"]),
    "JSON 400": (400, b'{"message": "no STS here"}', JSON),
    "a list 403": (403, *BODIES["a list"]),
    "another shape": (
        200,
        b'{"Quotas": "x", "modelDetails": [1], "authorizationStatus": {}, "Account": [1]}',
        JSON,
    ),
    "odd values": (
        200,
        b'{"Quotas": [{"Value": "many"}, {"Value": null}, 7], "modelDetails": {"a": 3}}',
        JSON,
    ),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_no_answer_to_a_question_is_a_fault(answer):
    """Whoever answers in the place of STS or Bedrock: there is an answer, or the reason why not."""
    async with serving() as server, open_account(to(server)) as account:
        server.respond = sends(raw(*ANSWERS[answer]))
        for question in QUESTIONS.values():
            (found,) = await asyncio.gather(question(account), return_exceptions=True)
            if isinstance(found, BaseException):
                assert isinstance(found, AccountError)
                assert found.reason is not AccountErrorReason.NO_CREDENTIALS
                assert 0 < len(str(found)) <= LONGEST_SAID


async def test_an_endless_answer_to_a_question_is_not_read(monkeypatch):
    """What comes for a question is bounded too."""
    monkeypatch.setattr(wire, "ANSWER_BODY", 1_000_000)

    async def respond(writer):
        writer.write(b"HTTP/1.1 200 R\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 100_000)
            await writer.drain()
            await asyncio.sleep(0)

    async with serving() as server, open_account(to(server)) as account:
        server.respond = respond
        with pytest.raises(AccountError) as caught:
            await account.identity()
    assert caught.value.reason is AccountErrorReason.UNREACHABLE
