"""Everything around one call, in one order."""

from __future__ import annotations

from batchgen.policies.attempt_log import ROOM_FOR_LINES, ROOM_FOR_ONE, DiskReserve
from batchgen.policies.budget import Budget, may_be_billed
from batchgen.policies.chain import RunContext, build_chain, health_of
from batchgen.policies.credential_refresh import describe
from batchgen.policies.labelling import Labelling
from batchgen.policies.model_health import ModelHealth
from batchgen.policies.quotas import RouteQuotas, documented, open_quotas, require_quotas
from batchgen.policies.retry import NOT_BILLED, Retry, retryable
from batchgen.policies.stop import Stop, StopCause, StopReason

__all__ = [
    "NOT_BILLED",
    "ROOM_FOR_LINES",
    "ROOM_FOR_ONE",
    "Budget",
    "DiskReserve",
    "Labelling",
    "ModelHealth",
    "Retry",
    "RouteQuotas",
    "RunContext",
    "Stop",
    "StopCause",
    "StopReason",
    "build_chain",
    "describe",
    "documented",
    "health_of",
    "may_be_billed",
    "open_quotas",
    "require_quotas",
    "retryable",
]
