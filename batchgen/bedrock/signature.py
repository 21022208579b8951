"""Signature version 4 of requests that differ in nothing but their time and their body.

botocore works each one out from nothing, with its URL taken apart four times and its headers twice,
which is a tenth of what a call costs. Here it does so once a day for a model; hashes are the rest.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from botocore import auth
from multidict import CIMultiDict

ALGORITHM = "AWS4-HMAC-SHA256"
DAY = len("20261121")
"""Characters of a time that say its day, which is what a key of a signature is made for."""
STAND_IN = "T......Z"
"""Behind its day, in the place of the time at which a request is signed."""


@dataclass(slots=True)
class Unsigned:
    """A POST, with what the SDK's signers and its HTTP session look at.

    Its own requests copy their headers and their body several times before they can be sent.
    """

    url: str
    headers: CIMultiDict[str]
    body: bytes
    context: dict[str, Any]
    """The signer writes the time there."""
    method: str = "POST"
    params: tuple[()] = ()


class Signature:
    """What signs the requests to one URL, with one set of credentials, on one day."""

    def __init__(self, signer: Any, request: Unsigned, at: str) -> None:
        """Let botocore say what of such a request is signed.

        Args:
            signer: botocore's `SigV4Auth`, with credentials.
            request: one without a body; it is altered.
            at: a time of the day, as `now` says it.
        """
        self._credentials, self._day = signer.credentials, at[:DAY]
        at = request.context["timestamp"] = self._day + STAND_IN
        signer._modify_request_before_signing(request)  # noqa: SLF001  # no other way to it
        signed, _, payload = signer.canonical_request(request).rpartition("\n")
        self._before, self._after = signed.split(at)
        self._payload = None if payload == auth.EMPTY_SHA256_HASH else payload
        """What is signed in the place of the body's hash; None for that."""
        self._headers = request.headers
        self._scope = signer.credential_scope(request)
        names = signer.signed_headers(signer.headers_to_sign(request))
        credential = signer.scope(request)
        self._start = f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature="
        key = f"AWS4{signer.credentials.secret_key}".encode()
        for part in self._scope.split("/"):
            key = hmac.digest(key, part.encode(), sha256)
        self._code = hmac.new(key, digestmod=sha256)
        """Copied for each call: `hmac.digest` lets the interpreter go, and threads take it."""

    def holds(self, credentials: Any, at: str) -> bool:
        """Whether it signs as these credentials do at this time."""
        return bool(credentials == self._credentials) and at.startswith(self._day)

    def headers(self, body: bytes, at: str) -> CIMultiDict[str]:
        """The headers of a request with this body that is sent at this time."""
        payload = self._payload or sha256(body).hexdigest()
        request = sha256(f"{self._before}{at}{self._after}\n{payload}".encode()).hexdigest()
        code = self._code.copy()
        code.update(f"{ALGORITHM}\n{at}\n{self._scope}\n{request}".encode())
        headers = self._headers.copy()
        headers["X-Amz-Date"] = at
        headers["Authorization"] = self._start + code.hexdigest()
        return headers


def now() -> str:
    """The time as a request says it."""
    return str(auth.get_current_datetime().strftime(auth.SIGV4_TIMESTAMP))
