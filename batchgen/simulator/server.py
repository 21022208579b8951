"""The HTTP face of the simulator: which path means what, and a connection's part in a call."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aiohttp import web

from .admin import NoSuchEndpoint, administer
from .aws import router
from .clock import Clock, SystemClock
from .delivery import Sender
from .errors import Refused
from .faults.directives import DirectiveError, read
from .service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from .calls import Answer, Call
    from .options import Options

MOST_BODY_BYTES = 25_000_000
"""Of a request body (service model of Bedrock Runtime)."""
SERVICE = web.AppKey("service", Service)
BACKLOG = 4096
"""Connections that may come at once."""
_INVOKE = re.compile(r"/model/(?P<id>[^/]+)/invoke")
_TOO_LARGE = (
    "1 validation error detected: Value at 'body' failed to satisfy constraint: "
    f"Member must have length less than or equal to {MOST_BODY_BYTES}"
)


def build_app(options: Options, clock: Clock | None = None) -> web.Application:
    """The simulator as an application, to be served by `serving` or by a test server.

    Raises:
        DirectiveError: the file of fault directives cannot be used.
        OSError: it cannot be read, or the ledger cannot be written.
    """
    clock = clock or SystemClock()
    service = Service(options, clock)
    if options.faults:
        service.script.add(read(_json_of(options.faults)))
    app = web.Application(client_max_size=MOST_BODY_BYTES)
    app[SERVICE] = service
    server = HttpServer(service, clock)
    # One route for all: aiohttp would match against a path that it has decoded.
    app.router.add_route("*", "/{path:.*}", server.receive)
    app.on_response_prepare.append(_without_server)
    app.on_shutdown.append(server.stop)
    app.on_cleanup.append(server.close)
    return app


def _json_of(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DirectiveError(f"{path} holds no JSON: {error}") from error


@asynccontextmanager
async def serving(
    app: web.Application, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve an application in this process; gives its URL."""
    # Cancellation tells a call that its client went away; slow readers are not waited for.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=BACKLOG)
        await site.start()
        address = runner.addresses[0]
        name = f"[{address[0]}]" if ":" in address[0] else address[0]
        yield f"http://{name}:{address[1]}"
    finally:
        await runner.cleanup()


class HttpServer:
    """Receives requests; a call goes on to its end even if its client does not wait for it."""

    def __init__(self, service: Service, clock: Clock) -> None:
        self._service = service
        self._closing = asyncio.Event()
        self._sender = Sender(clock, self._closing)
        self._calls: set[asyncio.Task[Answer]] = set()

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        path = request.raw_path.partition("?")[0]
        invoke = _INVOKE.fullmatch(path)
        if invoke and request.method == "POST":
            return await self._invoke(request, unquote(invoke["id"]))
        body = await request.read()
        if path.startswith("/simulator/"):
            return self._administer(request, path.removeprefix("/simulator/"), body)
        answer = router.answer(self._service, path, request.headers, request.query, body)
        headers = {**answer.headers, "Date": self._sender.date(answer)}
        return web.Response(status=answer.status, body=b"".join(answer.parts), headers=headers)

    async def stop(self, app: web.Application) -> None:  # noqa: ARG002 - aiohttp's signature
        """End what is in flight, at once."""
        self._closing.set()
        self._service.abandon()
        for task in self._calls:
            task.cancel()

    async def close(self, app: web.Application) -> None:  # noqa: ARG002 - aiohttp's signature
        """Close threads and files."""
        self._service.close()

    async def _invoke(self, request: web.Request, model_id: str) -> web.StreamResponse:
        try:
            call = self._service.arrive(model_id, request.headers, await request.read())
        except web.HTTPRequestEntityTooLarge:
            call = self._service.arrive(model_id, request.headers, b"")
            refused = Refused("ValidationException", _TOO_LARGE)
            return await self._sender.deliver(request, self._service.refuse(call, refused))
        whole = False
        try:
            answer = await self._generated(call)
            response = await self._sender.deliver(request, answer)
            whole = True
        finally:
            self._service.ledger.deliver(call.request_id, whole=whole)
        return response

    async def _generated(self, call: Call) -> Answer:
        # A task of its own, for the service generates and charges whether or not the client waits.
        task = asyncio.create_task(self._service.answer(call))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return await asyncio.shield(task)

    def _administer(self, request: web.Request, path: str, body: bytes) -> web.Response:
        try:
            what = (request.method, path)
            return web.json_response(administer(self._service, what, request.query, body))
        except DirectiveError as error:
            return web.json_response({"message": str(error)}, status=400)
        except NoSuchEndpoint as error:
            return web.json_response({"message": f"no such endpoint: {error}"}, status=404)


async def _without_server(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001 - aiohttp's signature
    del response.headers["Server"]
