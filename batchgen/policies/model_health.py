"""Which models of a job can be used: equal denials, or a long time of refusals, lose one."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection

from batchgen.errors import (
    AttemptError,
    Misconfigured,
    ModelDenied,
    NoRoute,
    QuotaExhausted,
    Throttled,
)
from batchgen.policies.circuit_breaker import CircuitBreaker
from batchgen.policies.stop import Stop, StopCause
from batchgen.task import Task
from batchgen.text import duration, sentences

TRY_AGAIN = 600.0
"""Seconds after which one task asks again for a model that was refused for too long."""


class ModelHealth:
    """What refusals and successes say of each model; a denied one is not called again."""

    def __init__(
        self,
        models: Collection[str],
        stop: Stop,
        notify: Callable[[str], None],
        *,
        patience: float = 1_800.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch models, each of which may be called at first.

        Args:
            models: ids of all models of the job, fallback models included.
            stop: asked to end the run when every model is denied.
            notify: told when a model is lost, and when it is back.
            patience: seconds of nothing but refusals after which a model is lost to tasks that may
                take another one.
            clock: seconds.
        """
        self._models = frozenset(models)
        self._stop = stop
        self._notify = notify
        self._denials = DenialCounter()
        self._breakers: dict[str, CircuitBreaker] = defaultdict(
            lambda: CircuitBreaker((TRY_AGAIN,), quiet=patience, clock=clock)
        )
        """Model id -> its breaker; open while the model is lost."""
        self._reasons: dict[str, str] = {}
        """Model id -> why it was lost last."""
        self.on_loss: dict[str, set[Callable[[], None]]] = defaultdict(set)
        """Model id -> what is called each time that the model is lost or denied."""

    def refuses(self, task: Task) -> bool:
        """Whether no model that may make this task is called any more: it stays open."""
        denied = self._denials.denied
        return task.model_id in denied and all(model_id in denied for model_id in task.fallback)

    def is_denied_for_good(self, task: Task) -> bool:
        """Whether `refuses`, and no used-up quota is the reason: waiting does not help."""
        models = (task.model_id, *task.fallback)
        denied = [self._denials.denied.get(model_id) for model_id in models]
        return not any(each is None or isinstance(each, QuotaExhausted) for each in denied)

    def is_denied(self, model_id: str) -> bool:
        """Whether the model is not called again in this run."""
        return model_id in self._denials.denied

    def reason(self, model_id: str) -> str:
        """Why a model was lost or denied, as in `record.Served`; it may be back by now."""
        return "denied" if self.is_denied(model_id) else self._reasons[model_id]

    def lost(self, model_id: str) -> str | None:
        """Why a model is not to be asked for now, as in `record.Served`; None if it is."""
        if self.is_denied(model_id):
            return "denied"
        breaker = self._breakers[model_id]
        if not breaker.is_open():
            return None
        if breaker.pause > 0:
            return self._reasons[model_id]
        breaker.postpone()  # this task is the probe
        return None

    def served(self, model_id: str) -> None:
        """A call of the model was not refused, whatever came of it: the patience begins anew."""
        self._breakers[model_id].answer()

    def worked(self, model_id: str) -> None:
        """The model answered with an image or a filter."""
        self._denials.worked(model_id)
        if self._breakers[model_id].close():
            self._notify(f"{model_id} is back: its tasks go to it again.")

    def refused(self, model_id: str, error: AttemptError) -> bool:
        """Take note of a refusal that was not billed; True if the model is lost for now."""
        breaker = self._breakers[model_id]
        if not breaker.refuse():
            return breaker.is_open()
        self._reasons[model_id] = why(error)
        self._notify(
            f"{model_id} has refused every call for {duration(breaker.quiet_s)} "
            f"({error.code}): its tasks go to their fallback models; it is asked again every "
            f"{duration(TRY_AGAIN)}."
        )
        self._lose(model_id)
        return True

    def denied(self, model_id: str, error: ModelDenied) -> None:
        """Take note of a denial; enough of them end the model's calls, and the last one's the run.

        A model that no route is left for is denied at once.
        """
        if isinstance(error, NoRoute):
            ends = model_id not in self._denials.denied
            self._denials.denied.setdefault(model_id, error)
        else:
            ends = self._denials.note(model_id, error)
        if not ends:
            return
        said = sentences(error.message, error.advice)
        if self._models <= self._denials.denied.keys():
            if all(isinstance(each, QuotaExhausted) for each in self._denials.denied.values()):
                what = f"The quota of {model_id} is used up"
                self._stop.apply(StopCause.THROTTLED_OUT, what=what, said=said)
            else:
                self._stop.apply(StopCause.DENIED, model_id=model_id, said=said)
        else:
            text = f"{model_id} cannot be used: {said}"
            self._notify(f"{text} Its other tasks stay open, or go to their fallback models.")
        self._lose(model_id)

    def _lose(self, model_id: str) -> None:
        """Tell every task that waits for the model."""
        for tell in tuple(self.on_loss[model_id]):
            tell()


def why(error: AttemptError) -> str:
    """Why a model is left for another one, as in `record.Served`."""
    if isinstance(error, ModelDenied):
        return "denied"
    return "throttled" if isinstance(error, Throttled) else "unavailable"


DENIALS = 3
"""Equal denials of a model that never worked after which it is not called again.

A wrong model id must not fail 10,000 tasks one by one.
"""


DENIALS_IN_A_ROW = 20
"""The same of a model that worked: a rule that somebody is changing may deny a few calls."""


class DenialCounter:
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
        first = 1 if isinstance(error, Misconfigured) else DENIALS
        most = DENIALS_IN_A_ROW if model_id in self._worked else first
        if seen[key] < most or model_id in self.denied:
            return False
        self.denied[model_id] = error
        return True
