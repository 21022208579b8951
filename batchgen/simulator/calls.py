"""One call of InvokeModel, from what arrived to what the ledger will say of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .catalog import Model
    from .credentials import Caller


@dataclass(kw_only=True)
class Call:
    """What is known of a call; filled in while the service finds it out."""

    sequence: int
    """Counts from 1."""
    model_id: str
    """As it was asked for, decoded."""
    headers: Mapping[str, str]
    """Their names compare without regard to case."""
    body: bytes
    started: float
    """By the monotonic clock."""
    elapsed: float
    """Seconds since the simulator's start."""
    time: float
    """Seconds since the epoch."""
    request_id: str
    caller: Caller | None = None
    model: Model | None = None
    attempt: int = 0
    """How many times this body was sent to this model, this time included."""
    seed: int | None = None
    faults: tuple[str, ...] = ()
    """Names of the actions that act on it."""
    charged: Decimal = Decimal(0)
    """USD; set as soon as the service has done what it charges for."""
    pending: Decimal | None = None
    """USD that the generation under way will cost; None while there is none."""

    @cached_property
    def sha256(self) -> str:
        """Of the body."""
        return hashlib.sha256(self.body).hexdigest()

    @cached_property
    def text(self) -> str:
        """The body for searching: as it came, and with its escapes undone."""
        raw = self.body.decode("utf-8", "replace")
        try:
            plain = json.dumps(json.loads(raw), ensure_ascii=False)
        except (ValueError, RecursionError):
            plain = ""
        return f"{raw}\n{plain}"
