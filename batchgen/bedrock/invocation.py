"""One InvokeModel by the client of the SDK: prepared once a model, signed and sent for each call.

The SDK would prepare each call anew: its checks, endpoint rules, user agent, events and parsers
take 0.8 ms of CPU, two thirds of a call, and come to the same each time.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiobotocore.response import StreamingBody
from botocore.auth import SigV4Auth
from botocore.exceptions import ClientError
from multidict import CIMultiDict

from batchgen.bedrock.error_replies import ParserFactory
from batchgen.bedrock.sdk_errors import OPERATION
from batchgen.bedrock.signature import Signature, Unsigned, now
from batchgen.bedrock.wire import ERROR_STATUS

JSON = "application/json"
V4 = "v4"
REQUEST_IDS = ("x-amzn-requestid", "x-amz-request-id")
_random = random.Random()  # noqa: S311  # no secret: an id in logs, for which the system's take longer


@dataclass(frozen=True, slots=True)
class Reply:
    """The head of an HTTP 200, and a body that was not read."""

    headers: Mapping[str, str]
    """By their names in lower case."""
    stream: StreamingBody

    @property
    def request_id(self) -> str | None:
        """What the service calls the call."""
        return next((self.headers[each] for each in REQUEST_IDS if each in self.headers), None)


@dataclass(slots=True)
class _Prepared:
    """What the SDK sends to a model, but for the body and the signature."""

    url: str
    headers: CIMultiDict[str]
    context: dict[str, Any]
    signer: Any
    version: str = ""
    """Of the signature, in the SDK's words."""
    signature: Signature | None = None
    """The last one of version 4."""

    async def signed(self, body: bytes) -> CIMultiDict[str]:
        """The headers of a request with this body, by the credentials that hold now."""
        if self.version == V4:
            signing = self.context.get("signing", {})
            signer = await self.signer.get_auth(
                signing.get("signing_name", self.signer.signing_name),
                signing.get("region", self.signer.region_name),
                V4,
            )
            if type(signer) is SigV4Auth and signer.credentials is not None:
                return self._signed_by(signer, body)
        request = self._unsigned(body)
        await self.signer.sign(OPERATION, request)
        return request.headers

    def _signed_by(self, signer: SigV4Auth, body: bytes) -> CIMultiDict[str]:
        at = now()
        if self.signature is None or not self.signature.holds(signer.credentials, at):
            self.signature = Signature(signer, self._unsigned(b""), at)
        return self.signature.headers(body, at)

    def _unsigned(self, body: bytes) -> Unsigned:
        return Unsigned(self.url, self.headers.copy(), body, {**self.context})


class Invocation:
    """What calls the models by a client of Bedrock Runtime.

    Its address, credentials and signature, its connections and their failures are the client's.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._prepared: dict[str, _Prepared] = {}
        self._parser = ParserFactory().create_parser(client.meta.service_model.resolved_protocol)
        # After all that would add to the request.
        client.meta.events.register_last("before-call", _instead_of_the_call)

    async def send(self, model_id: str, body: bytes) -> Reply:
        """One POST.

        Raises:
            ClientError: the reply is an error's.
            Exception: whatever the SDK raises of credentials and connections.
        """
        prepared = self._prepared.get(model_id)
        if prepared is None:
            prepared = self._prepared[model_id] = await self._prepare(model_id)
        headers = await prepared.signed(body)
        headers["amz-sdk-invocation-id"] = str(uuid.UUID(int=_random.getrandbits(128), version=4))
        headers["amz-sdk-request"] = "attempt=1"
        headers["Content-Length"] = str(len(body))
        session = self._client._endpoint.http_session  # noqa: SLF001  # botocore hides it
        response = await session.post(Unsigned(prepared.url, headers, body, prepared.context))
        said = {name.decode().lower(): value.decode() for name, value in response.raw_headers}
        if response.status >= ERROR_STATUS:
            raise ClientError(await self._error(response, said), OPERATION)
        return Reply(said, StreamingBody(response, said.get("content-length")))

    async def _prepare(self, model_id: str) -> _Prepared:
        """What the SDK is about to send, at the point where it asks whether to."""
        called = await self._client.invoke_model(
            modelId=model_id, body=b"", contentType=JSON, accept=JSON
        )
        prepared: _Prepared = called["prepared"]
        prepared.version = await prepared.signer._choose_signer(  # noqa: SLF001  # botocore hides it
            OPERATION, "standard", prepared.context
        )
        return prepared

    async def _error(self, response: aiohttp.ClientResponse, headers: Mapping[str, str]) -> Any:
        read = {"status_code": response.status, "headers": headers, "body": await response.read()}
        return await self._parser.parse(read, None)


class _Answered:
    """What the SDK takes for the reply to a call that it has not sent."""

    status_code = 200


def _instead_of_the_call(
    params: Mapping[str, Any], request_signer: Any, **_: object
) -> tuple[type[_Answered], dict[str, _Prepared]]:
    """Answers the SDK's event `before-call`: nothing is sent, and the caller gets the request."""
    headers = CIMultiDict(params["headers"])
    prepared = _Prepared(params["url"], headers, params["context"], request_signer)
    return _Answered, {"prepared": prepared}
