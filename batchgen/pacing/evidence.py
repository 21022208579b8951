"""What refusals say: about a level of the rate, or about nothing that we do.

Three figures answer "is this 429 about our rate?". A `Refusal` holds what the last minute held: a
minute meter refuses at its quota and never before. A `Doubt` adds up refusals that come close
together: strays seldom do. A `Share` is the part of the calls that is refused: it falls when the
rate was the reason and is cut, and stays when it was not.
"""

from __future__ import annotations

from dataclasses import dataclass

ALLOWANCE = 0.02
"""What each call takes away of a doubt: one stray in fifty calls never adds up to anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a 429 says, apart from that it came."""

    passed: int
    """Calls that were admitted since the refusal before it."""
    in_window: int
    """Calls of the minute before it that were admitted, at least 1: what a minute meter counted."""
    rate: float
    """Calls a minute admitted since the refusal before it."""
    measured: float | None
    """Calls a minute admitted since the first of a series of refusals; None if too few to tell."""


class Doubt:
    """How much refusals speak against a level: each adds one, each call takes a little away."""

    def __init__(self) -> None:
        self.score = 0.0
        self.noise = 0.0
        """Share of calls refused for reasons that are not ours, once that is known."""

    def call(self, allowance: float = ALLOWANCE) -> None:
        """A call starts; of known noise twice its share is forgiven."""
        self.score = max(0.0, self.score - allowance - 2 * self.noise)

    def refused(self) -> None:
        """A call was refused."""
        self.score += 1

    def clear(self) -> None:
        """Another level, another question."""
        self.score = 0.0


class Share:
    """Share of calls that were refused, the older the less it counts."""

    def __init__(self, memory: float) -> None:
        """`memory`: calls after which one counts for about a third."""
        self.calls = 0.0
        self._refused = 0.0
        self._keep = 1 - 1 / memory

    def call(self) -> None:
        """A call starts."""
        self.calls = self.calls * self._keep + 1
        self._refused *= self._keep

    def refused(self) -> None:
        """A call was refused."""
        self._refused += 1

    @property
    def value(self) -> float:
        """0 to 1."""
        return self._refused / self.calls if self.calls else 0.0
