"""The only room that knows AWS: session, client, error table, account and routes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from batchgen.bedrock.account_errors import AccountError, AccountErrorReason
from batchgen.bedrock.endpoint import open_endpoint, url_of
from batchgen.bedrock.error_table import CLOCK_ADVICE, LIFE_CYCLE_ADVICE, REGION_ADVICE, advice
from batchgen.bedrock.routes import Answer, Endpoint, Open, OpenRoute, Service

if TYPE_CHECKING:
    from batchgen.bedrock.account import Access, Account, Credentials, Identity, open_account
    from batchgen.bedrock.connect import connection_of
    from batchgen.bedrock.routes import Answer

__all__ = [
    "CLOCK_ADVICE",
    "LIFE_CYCLE_ADVICE",
    "REGION_ADVICE",
    "Access",
    "Account",
    "AccountError",
    "AccountErrorReason",
    "Answer",
    "Credentials",
    "Endpoint",
    "Identity",
    "Open",
    "OpenRoute",
    "Service",
    "advice",
    "connection_of",
    "open_account",
    "open_endpoint",
    "url_of",
]

_NEED_SDK = {
    "Access": "batchgen.bedrock.account",
    "Account": "batchgen.bedrock.account",
    "Credentials": "batchgen.bedrock.account",
    "Identity": "batchgen.bedrock.account",
    "open_account": "batchgen.bedrock.account",
    "connection_of": "batchgen.bedrock.connect",
}
"""Name -> module that imports the AWS SDK, which takes a third of a second: only users pay."""


def __getattr__(name: str) -> Any:
    home = _NEED_SDK.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
