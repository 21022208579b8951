"""Open a client of Bedrock Runtime and make one call; errors leave here as ours.

One call is one POST: the SDK's own retries are off, for an InvokeModel that is repeated unseen may
be paid for twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import botocore.exceptions

from batchgen.bedrock.connection import Connection, is_http
from batchgen.bedrock.invocation import Invocation
from batchgen.bedrock.reply_memory import SMALL, ReplyMemory, Share
from batchgen.bedrock.routes import Answer
from batchgen.bedrock.sdk_errors import only_tls, translate
from batchgen.bedrock.session import (
    FIXED_SOURCES,
    credential_source,
    quiet_sdk,
    read_data,
    sdk_config,
    sdk_session,
    service_unusable,
)
from batchgen.bedrock.turnstile import Turnstile
from batchgen.bedrock.wire import ANSWER_BODY, PortProbe, Request, unpacked, unread
from batchgen.errors import AnswerLost, AttemptError, BatchgenFault, Permanent, UnusableReply
from batchgen.output import in_thread
from batchgen.text import LONGEST_CODE, shortened

CALL_TIMEOUT = 330.0
"""Seconds around a whole call, for an answer that trickles in without ever pausing long enough."""
BODY_LIMIT = ANSWER_BODY
"""Bytes of a response body (InvokeModel's shape Body in botocore's service model)."""
CHUNK = 1 << 18
"""Bytes that are taken of a reply at a time: what one read of its socket brings. A reply that waits
to be read on is sent no more when it is two of them ahead."""
A_TURN = 8
"""Calls that are sent, and replies that are read on, in one turn of the loop. To sign and send one
takes a millisecond, and each look at a socket may wait longer than that for the threads."""
SERVICE = "bedrock-runtime"


class Bedrock:
    """A client that can be renewed when its credentials were refused."""

    def __init__(self, connection: Connection, memory: ReplyMemory, stack: AsyncExitStack) -> None:
        self._connection = connection
        self._memory = memory
        self._stack = stack
        self._client: Any = None
        self._port = PortProbe(connection.url)
        self._sending = Turnstile(A_TURN)
        self._reading = Turnstile(A_TURN)
        self._answered = False
        """Whether a call ever brought a reply: then the port is as it should be."""

    async def renew(self) -> bool:
        """Open a client with credentials read anew; calls in flight end on the old one.

        Returns:
            Whether reading them once more later may bring others: not if they stand in this
            process's environment.

        Raises:
            ServiceUnusable: there are no credentials, the Region or the profile is unknown, the
                role cannot be assumed, or the CA bundle cannot be read.
        """
        connection = self._connection
        try:
            session = await in_thread(_session_with_data, connection)
            source = await credential_source(session, connection)
            client = session.client(
                SERVICE,
                endpoint_url=connection.url,
                verify=False if is_http(connection.url) else None,  # no certificate is looked at
                config=sdk_config(connection),
            )
            self._client = await self._stack.enter_async_context(client)
            self._invocation = Invocation(self._client)
        except (
            botocore.exceptions.BotoCoreError,
            botocore.exceptions.ClientError,  # a role that cannot be assumed
            AttemptError,  # nor could STS be asked
            OSError,  # a `credential_process` that is not there
            ValueError,  # a URL that is none
        ) as error:
            raise service_unusable(error, connection) from error
        return source not in FIXED_SOURCES

    async def invoke(self, model_id: str, body: bytes) -> Answer:
        """One InvokeModel, one POST.

        Raises:
            AttemptError: every way in which it can fail; see `batchgen.bedrock.error_table`.
        """
        await self._sending.enter()
        loop = asyncio.get_running_loop()
        started = loop.time()
        with Request() as request:
            try:
                async with asyncio.timeout(CALL_TIMEOUT) as timeout:
                    reply = await self._reply(model_id, body, _Wait(self._memory, timeout))
            except AttemptError:
                raise
            except Exception as error:
                ours = translate(error, sent=request.may_have_left)
                if ours is None and request.may_have_left:
                    raise  # not foreseen: a fault of ours, and not for a retry to cover up
                raise await self._explained(ours or _fault(error)) from error
        self._answered = True
        seconds = loop.time() - started - reply.waited
        return Answer(
            body=reply.body,
            request_id=reply.request_id,
            latency_ms=round(seconds * 1000),
            release=reply.share.release,
        )

    async def _reply(self, model_id: str, body: bytes, wait: _Wait) -> _Reply:
        reply = await self._invocation.send(model_id, body)
        headers, stream, request_id = reply.headers, reply.stream, reply.request_id
        if request_id is not None:
            request_id = shortened(request_id, LONGEST_CODE)
        with ExitStack() as held:
            async with stream:
                share = await wait.for_share(stream, _expected(headers))
                held.callback(share.release)
                try:
                    read = await _read(stream, request_id, self._reading)
                except UnusableReply as error:
                    # Its body waits to be stored as well: who stores it gives back its share.
                    error.release = held.pop_all().close
                    raise
            whole = unpacked(read, headers.get("content-encoding", ""), BODY_LIMIT)
            share.correct(len(whole))
            held.pop_all()
        return _Reply(whole, request_id, share, wait.seconds)

    async def _explained(self, error: AttemptError) -> AttemptError:
        """The error, or what it comes from: a port that speaks TLS and is called without it.

        Such a port closes the connection or answers something else than Bedrock would.
        """
        odd = isinstance(error, AnswerLost | Permanent) and "Timeout" not in error.code
        if self._answered or not odd or (url := await self._port.tls_port()) is None:
            return error
        return only_tls(url)


@dataclass(frozen=True, slots=True)
class _Reply:
    body: bytes
    request_id: str | None
    share: Share
    waited: float


class _Wait:
    """A call that was answered and waits until its reply may be read: that is not for ever lost."""

    def __init__(self, memory: ReplyMemory, timeout: asyncio.Timeout) -> None:
        self._memory = memory
        self._timeout = timeout
        self.seconds = 0.0
        """How long it waited."""

    async def for_share(self, response: Any, size: int) -> Share:
        """Memory for a reply of this size; its socket is not read and no time runs meanwhile."""
        if self._memory.is_free(size):
            return await self._memory.take(size)
        loop, end = asyncio.get_running_loop(), self._timeout.when()
        began = loop.time()
        self._timeout.reschedule(None)
        with unread(response):
            share = await self._memory.take(size)
        self.seconds = loop.time() - began
        self._timeout.reschedule(None if end is None else end + self.seconds)
        return share


def _expected(headers: Mapping[str, str]) -> int:
    """Bytes that a reply has at most, as far as its head says."""
    length = headers.get("content-length", "")
    if not length.isdecimal() or "content-encoding" in headers:
        return BODY_LIMIT
    return min(int(length), BODY_LIMIT)


def _session_with_data(connection: Connection) -> Any:
    session = sdk_session(connection)
    read_data(session, SERVICE)
    return session


def _fault(error: Exception) -> BatchgenFault:
    """A fault of ours before anything was sent: recorded with its task, and not billed."""
    return BatchgenFault(f"{type(error).__name__}: {error}", code="Internal")


@asynccontextmanager
async def connect(
    connection: Connection, memory: ReplyMemory | None = None
) -> AsyncIterator[Bedrock]:
    """One client for a whole run.

    Args:
        connection: where the calls go.
        memory: what their replies share with those of other routes; None if there are none.

    Raises:
        ServiceUnusable: as `Bedrock.renew`.
    """
    quiet_sdk()
    async with AsyncExitStack() as stack:
        bedrock = Bedrock(connection, memory or ReplyMemory(), stack)
        await bedrock.renew()
        yield bedrock


async def _read(stream: Any, request_id: str | None, reading: Turnstile) -> bytes:
    """The whole body, bounded: what the service cannot have sent is not worth the memory."""
    chunks: list[bytes] = []
    size = 0
    while chunk := await stream.read(CHUNK):
        size += len(chunk)
        if size > SMALL:  # little of it is no work, and came with its head
            await reading.enter()
        chunks.append(chunk)
        if size > BODY_LIMIT:
            text = f"the reply is larger than {BODY_LIMIT} bytes, the most that Bedrock sends"
            raise UnusableReply(text, body=await _joined(chunks), request_id=request_id)
    return await _joined(chunks)


async def _joined(chunks: list[bytes]) -> bytes:
    """One body of them, in a thread: to find room for megabytes takes the loop milliseconds."""
    return chunks[0] if len(chunks) == 1 else await in_thread(b"".join, chunks)
