"""Everything around one call, in one order."""

from __future__ import annotations

from batchgen.policies.attempt_log import ROOM_FOR_LINES, ROOM_FOR_ONE, Room
from batchgen.policies.budget import Budget, may_be_billed
from batchgen.policies.chain import availability_of, policies
from batchgen.policies.model_health import Availability
from batchgen.policies.quotas import Quotas, documented, quotas_of, require_quotas
from batchgen.policies.retry import NOT_BILLED, Retry, retryable
from batchgen.policies.route import Means
from batchgen.policies.stop import Cause, Stop, Stopping

__all__ = [
    "NOT_BILLED",
    "ROOM_FOR_LINES",
    "ROOM_FOR_ONE",
    "Availability",
    "Budget",
    "Cause",
    "Means",
    "Quotas",
    "Retry",
    "Room",
    "Stop",
    "Stopping",
    "availability_of",
    "documented",
    "may_be_billed",
    "policies",
    "quotas_of",
    "require_quotas",
    "retryable",
]
