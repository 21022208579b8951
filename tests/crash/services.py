"""Services that keep their books outside of the process that calls them, so that a kill is seen."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from batchgen import errors
from batchgen.bedrock.error_table import reply_error
from batchgen.bedrock.routes import Answer, Endpoint, OpenRoute, Service


class Wire:
    """Calls a simulator over plain HTTP: the SDK's client takes longer to make than a whole run."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port

    async def invoke(self, model_id: str, body: bytes) -> Answer:
        """One POST on a connection of its own."""
        started = time.monotonic()
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            head = [
                f"POST /model/{model_id}/invoke HTTP/1.1",
                f"Host: {self._host}:{self._port}",
                (
                    "Authorization: AWS4-HMAC-SHA256 Credential=AKID/20261121/us-west-2/bedrock/"
                    "aws4_request, SignedHeaders=host, Signature=0"
                ),
                "Connection: close",
                f"Content-Length: {len(body)}",
            ]
            writer.write("\r\n".join([*head, "", ""]).encode() + body)
            raw = await reader.read()
        except OSError as error:
            raise errors.AnswerLost(str(error), code=type(error).__name__) from error
        finally:
            writer.close()
        return _answer(raw, started)


def _answer(raw: bytes, started: float) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if not first or len(body) != int(headers["content-length"]):
        raise errors.AnswerLost("the connection was closed in the middle", code="Cut")
    request_id = headers.get("x-amzn-requestid")
    status = int(first.split()[1])
    if status != 200:
        code = headers.get("x-amzn-errortype", str(status)).partition(":")[0]
        raise reply_error(status, code, body.decode("utf-8", "replace"), request_id)
    return Answer(
        body=body, request_id=request_id, latency_ms=round((time.monotonic() - started) * 1000)
    )


@cache
def picture(text: str) -> bytes:
    """A small PNG, another one for each text."""
    digest = hashlib.sha256(text.encode()).digest()
    file = io.BytesIO()
    Image.frombytes("RGB", (4, 2), (digest * 2)[:24]).save(file, "PNG")
    return file.getvalue()


class Till:
    """A service in this process that enters each charge in a file before it answers.

    `script` says what becomes of the calls in their order: a name of `OUTCOMES`; after its end
    every call succeeds. A call that hangs is charged and never answered.
    """

    def __init__(self, books: Path, script: list[str]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._books = os.open(books, flags, 0o644)
        self._script = iter(script)

    async def invoke(self, model_id: str, body: bytes) -> Answer:
        """One call."""
        await asyncio.sleep(1)
        request = json.loads(body)
        outcome = next(self._script, "good")
        charged, end = OUTCOMES[outcome]
        image = picture(f"{request['prompt']} {request['seed']}")
        line = {
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "model": model_id,
            "outcome": outcome,
            "charged": charged,
            "image_sha256": hashlib.sha256(image).hexdigest() if outcome == "good" else None,
        }
        os.write(self._books, json.dumps(line).encode() + b"\n")
        await asyncio.sleep(1)
        return end(image, request["seed"])


def _good(image: bytes, seed: int) -> Answer:
    return _reply({"seeds": [seed], "finish_reasons": [None], "images": [_text(image)]})


def _filtered(_: bytes, seed: int) -> Answer:
    return _reply({"finish_reasons": ["Filter reason: prompt"]})


def _withheld(image: bytes, seed: int) -> Answer:
    reason = "Filter reason: output image"
    return _reply({"seeds": [seed], "finish_reasons": [reason], "images": [_text(image)]})


def _unusable(image: bytes, seed: int) -> Answer:
    return _reply({"seeds": [seed], "finish_reasons": [None], "images": [_text(image[:-9])]})


def _reply(body: dict[str, Any]) -> Answer:
    return Answer(body=json.dumps(body).encode(), request_id="r-1", latency_ms=2000)


def _text(image: bytes) -> str:
    return base64.b64encode(image).decode()


def _fails(error: type[errors.AttemptError]) -> Callable[[bytes, int], Answer]:
    def end(_: bytes, seed: int) -> Answer:
        raise error(f"scripted: {error.__name__}", code=error.__name__)

    return end


OUTCOMES: dict[str, tuple[bool, Callable[[bytes, int], Answer]]] = {
    "good": (True, _good),
    "throttled": (False, _fails(errors.Throttled)),
    "unavailable": (False, _fails(errors.Unavailable)),
    "unsent": (False, _fails(errors.NeverSent)),
    "lost": (True, _fails(errors.AnswerLost)),
    "fault": (True, _fails(errors.ServiceFault)),
    "unusable": (True, _unusable),
    "filtered": (False, _filtered),
    "withheld": (True, _withheld),
    "rejected": (False, _fails(errors.Rejected)),
}
"""Name -> whether it is charged, and how it ends. What may be charged is, as a pessimist would."""


def opening(service: Service) -> Callable[..., Any]:
    """An `Order.open_service` that gives this service."""

    @asynccontextmanager
    async def opened(*_: Any) -> AsyncIterator[Endpoint]:
        yield Endpoint(routes=(OpenRoute(service=service, renew=_no_renewal),))

    return opened


async def _no_renewal() -> bool:
    return False
