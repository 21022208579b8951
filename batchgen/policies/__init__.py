"""Everything around one call, in one order."""

from __future__ import annotations

from batchgen.policies.attempt_log import ROOM_FOR_LINES, ROOM_FOR_ONE, DiskReserve
from batchgen.policies.budget import Budget, may_be_billed
from batchgen.policies.chain import availability_of, policies
from batchgen.policies.model_health import ModelHealth
from batchgen.policies.quotas import RouteQuotas, documented, open_quotas, require_quotas
from batchgen.policies.retry import NOT_BILLED, Retry, retryable
from batchgen.policies.route import RunContext
from batchgen.policies.stop import Stop, StopCause, StopReason

__all__ = [
    "NOT_BILLED",
    "ROOM_FOR_LINES",
    "ROOM_FOR_ONE",
    "Budget",
    "DiskReserve",
    "ModelHealth",
    "Retry",
    "RouteQuotas",
    "RunContext",
    "Stop",
    "StopCause",
    "StopReason",
    "availability_of",
    "documented",
    "may_be_billed",
    "open_quotas",
    "policies",
    "require_quotas",
    "retryable",
]
