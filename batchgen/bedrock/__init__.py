"""The only room that knows AWS: session, client, error table, account and routes.

Importing it does not import the AWS SDK, which takes a third of a second: `open_endpoint` and
`open_accounts` do when they connect.
"""

from __future__ import annotations

from batchgen.bedrock.account import Access, Account, Identity
from batchgen.bedrock.account_errors import AccountError, AccountErrorReason
from batchgen.bedrock.connection import Connection, Credentials
from batchgen.bedrock.endpoint import begin_import, open_accounts, open_endpoint
from batchgen.bedrock.error_table import CLOCK_ADVICE, LIFE_CYCLE_ADVICE, REGION_ADVICE, advice
from batchgen.bedrock.routes import Answer, Endpoint, Open, OpenRoute, Service, shared_quotas

__all__ = [
    "CLOCK_ADVICE",
    "LIFE_CYCLE_ADVICE",
    "REGION_ADVICE",
    "Access",
    "Account",
    "AccountError",
    "AccountErrorReason",
    "Answer",
    "Connection",
    "Credentials",
    "Endpoint",
    "Identity",
    "Open",
    "OpenRoute",
    "Service",
    "advice",
    "begin_import",
    "open_accounts",
    "open_endpoint",
    "shared_quotas",
]
