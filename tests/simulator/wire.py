"""A client that speaks raw HTTP, for what no SDK would send or bear."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from batchgen.simulator.clock import SystemClock
from batchgen.simulator.options import Options
from batchgen.simulator.server import SERVICE, build_app, serving

CORE = "stability.stable-image-core-v1:1"
SDXL = "stability.stable-diffusion-xl-v1"
PROMPT = {"prompt": "a blue mug", "seed": 7}


def authorization(key="AKID", region="us-west-2", service="bedrock"):
    """A signature of anybody's; nobody checks it."""
    scope = f"Credential={key}/20261121/{region}/{service}/aws4_request"
    return f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"


@dataclass
class Heard:
    """What came over the connection until it ended, or an answer was complete."""

    raw: bytes
    reset: bool = False

    @property
    def head(self):
        return self.raw.partition(b"\r\n\r\n")[0].decode()

    @property
    def body(self):
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def status(self):
        return int(self.head.split()[1])

    @property
    def headers(self):
        lines = (line.partition(": ") for line in self.head.split("\r\n")[1:])
        return {name.lower(): value for name, _, value in lines}

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def message(self):
        return self.json["message"]


@dataclass
class Wire:
    """One simulator, in this process or another."""

    port: int
    service: object = None

    async def post(self, body, path=None, *, model=CORE, headers=None, method="POST"):
        """Send one request on a connection of its own and read until that is closed."""
        reader, writer = await self.send(body, path, model=model, headers=headers, method=method)
        try:
            return Heard(await reader.read())
        except ConnectionResetError:
            return Heard(b"", reset=True)
        finally:
            writer.close()

    async def send(self, body, path=None, *, model=CORE, headers=None, method="POST"):
        """Send one request; gives the open connection."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = {"Authorization": authorization(), "Connection": "close", **(headers or {})}
        lines = [f"{name}: {value}" for name, value in told.items() if value is not None]
        head = [f"{method} {path or f'/model/{model}/invoke'} HTTP/1.1", "Host: localhost"]
        head += [f"Content-Length: {len(data)}", *lines, "", ""]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write("\r\n".join(head).encode() + data)
        await writer.drain()
        return reader, writer


async def until(condition):
    """Let the loop turn until something is so; no time passes by the simulator's clock."""
    while not condition():  # noqa: ASYNC110 - it waits for the simulator's own state
        await asyncio.sleep(0)


@asynccontextmanager
async def wired(options=None, clock=None, **settings):
    """A simulator in this process: without latency and quota unless `settings` say so."""
    quiet = {"latency": "0", "meter": "none", **settings}
    app = build_app(options or made(**quiet), clock or SystemClock())
    async with serving(app) as url:
        yield Wire(port=int(url.rpartition(":")[2]), service=app[SERVICE])


def made(**settings):
    """Options from values written as on the command line."""
    fields = Options.__dataclass_fields__

    def value(name, given):
        convert = partial(fields[name].metadata["type"].convert, param=None, ctx=None)
        if isinstance(given, (list, tuple)):
            return tuple(convert(one) if isinstance(one, str) else one for one in given)
        return convert(given) if isinstance(given, str) else given

    return Options(**{name: value(name, given) for name, given in settings.items()})
