"""When a call may start; knows no job and no AWS."""

from __future__ import annotations

from batchgen.pacing.pacer import Pace, Pacer, PaceState, paced
from batchgen.pacing.shared_limit import SharedLimit

__all__ = ["Pace", "PaceState", "Pacer", "SharedLimit", "paced"]
