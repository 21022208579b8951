"""Models that a service refuses: some equal denials in a row end a model's calls."""

from __future__ import annotations

from collections import Counter, defaultdict

from batchgen.errors import ModelDenied

DENIALS = 3
"""Equal denials of a model that never worked after which it is not called again.

A wrong model id must not fail 10,000 tasks one by one.
"""
DENIALS_IN_A_ROW = 20
"""The same of a model that worked: a rule that somebody is changing may deny a few calls."""


class Denials:
    """Counts denials by model."""

    def __init__(self) -> None:
        self._worked: set[str] = set()
        self._seen: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
        self.denied: dict[str, ModelDenied] = {}
        """Model id -> its last denial, for models that are not called again."""

    def worked(self, model_id: str) -> None:
        """The model answered with an image or a filter: it can be used."""
        self._worked.add(model_id)
        self._seen.pop(model_id, None)

    def seen(self, model_id: str) -> int:
        """Denials of the model since it worked."""
        return sum(self._seen[model_id].values()) if model_id in self._seen else 0

    def note(self, model_id: str, error: ModelDenied) -> bool:
        """Count a denial; True when it ends the model's calls."""
        seen, key = self._seen[model_id], (error.code, error.message)
        seen[key] += 1
        most = DENIALS_IN_A_ROW if model_id in self._worked else DENIALS
        if seen[key] < most or model_id in self.denied:
            return False
        self.denied[model_id] = error
        return True
