"""Open a client of Bedrock Runtime and make one call; errors leave here as ours.

One call is one POST: the SDK's own retries are off, for an InvokeModel that is repeated unseen may
be paid for twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import botocore.exceptions

from batchgen.bedrock.connection import Connection, is_http
from batchgen.bedrock.routes import Answer
from batchgen.bedrock.sdk_errors import only_tls, translate
from batchgen.bedrock.session import (
    FIXED_SOURCES,
    credential_source,
    quiet_sdk,
    sdk_config,
    sdk_session,
    service_unusable,
)
from batchgen.bedrock.wire import ANSWER_BODY, PortProbe, unpacked, watch_request
from batchgen.errors import AnswerLost, AttemptError, BatchgenFault, Permanent, UnusableReply
from batchgen.text import LONGEST_CODE, shortened

CALL_TIMEOUT = 330.0
"""Seconds around a whole call, for an answer that trickles in without ever pausing long enough."""
BODY_LIMIT = ANSWER_BODY
"""Bytes of a response body (InvokeModel's shape Body in botocore's service model)."""
CHUNK = 1 << 20


class Bedrock:
    """A client that can be renewed when its credentials were refused."""

    def __init__(self, connection: Connection, stack: AsyncExitStack) -> None:
        self._connection = connection
        self._stack = stack
        self._client: Any = None
        self._port = PortProbe(connection.url)
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
            session = sdk_session(connection)
            source = await credential_source(session, connection)
            client = session.client(
                "bedrock-runtime",
                endpoint_url=connection.url,
                verify=False if is_http(connection.url) else None,  # no certificate is looked at
                config=sdk_config(connection),
            )
            self._client = await self._stack.enter_async_context(client)
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
        started = time.monotonic()
        with watch_request() as request:
            try:
                async with asyncio.timeout(CALL_TIMEOUT):
                    content, request_id = await self._post(model_id, body)
            except AttemptError:
                raise
            except Exception as error:
                ours = translate(error, sent=request.may_have_left)
                if ours is None and request.may_have_left:
                    raise  # not foreseen: a fault of ours, and not for a retry to cover up
                raise await self._explained(ours or _fault(error)) from error
        self._answered = True
        latency = round((time.monotonic() - started) * 1000)
        return Answer(body=content, request_id=request_id, latency_ms=latency)

    async def _post(self, model_id: str, body: bytes) -> tuple[bytes, str | None]:
        reply = await self._client.invoke_model(
            modelId=model_id,
            body=body,
            contentType="application/json",
            accept="application/json",
        )
        request_id = reply["ResponseMetadata"].get("RequestId")
        if request_id is not None:
            request_id = shortened(request_id, LONGEST_CODE)
        coding = reply["ResponseMetadata"].get("HTTPHeaders", {}).get("content-encoding", "")
        return unpacked(await _read(reply["body"], request_id), coding, BODY_LIMIT), request_id

    async def _explained(self, error: AttemptError) -> AttemptError:
        """The error, or what it comes from: a port that speaks TLS and is called without it.

        Such a port closes the connection or answers something else than Bedrock would.
        """
        odd = isinstance(error, AnswerLost | Permanent) and "Timeout" not in error.code
        if self._answered or not odd or (url := await self._port.tls_port()) is None:
            return error
        return only_tls(url)


def _fault(error: Exception) -> BatchgenFault:
    """A fault of ours before anything was sent: recorded with its task, and not billed."""
    return BatchgenFault(f"{type(error).__name__}: {error}", code="Internal")


@asynccontextmanager
async def connect(connection: Connection) -> AsyncIterator[Bedrock]:
    """One client for a whole run.

    Raises:
        ServiceUnusable: as `Bedrock.renew`.
    """
    quiet_sdk()
    async with AsyncExitStack() as stack:
        bedrock = Bedrock(connection, stack)
        await bedrock.renew()
        yield bedrock


async def _read(stream: Any, request_id: str | None) -> bytes:
    """The whole body, bounded: what the service cannot have sent is not worth the memory."""
    chunks: list[bytes] = []
    size = 0
    async with stream:
        while chunk := await stream.read(CHUNK):
            size += len(chunk)
            chunks.append(chunk)
            if size > BODY_LIMIT:
                text = f"the reply is larger than {BODY_LIMIT} bytes, the most that Bedrock sends"
                raise UnusableReply(text, body=b"".join(chunks), request_id=request_id)
    return b"".join(chunks)
