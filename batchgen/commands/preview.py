"""What a run would make, and when it would end, if it began now; nothing is called or written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from batchgen.commands.ends import Ends
from batchgen.job import Job
from batchgen.output import History
from batchgen.plan import Plan, PlanSummary
from batchgen.record import is_simulated
from batchgen.runner import (
    Deadline,
    Pending,
    Selection,
    forecast,
    left_of_budget,
    read_output,
    reseed,
    select,
    shortage,
)

STAND_IN = "plan"
"""In the place of the key that a run draws for its random seeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One plan, and what earlier runs left of it."""

    plan: Plan
    outline: PlanSummary
    history: History
    pending: Pending
    random_seed_key: str
    """Of `seed: random`: the output's own, else `STAND_IN`."""

    @property
    def job(self) -> Job:
        """The job that is planned."""
        return self.plan.job

    @property
    def is_simulated(self) -> bool:
        """Whether nobody pays for it."""
        return is_simulated(self.job.endpoint)

    @property
    def budget_left_usd(self) -> Decimal | None:
        """What a run may spend; None: no limit."""
        return left_of_budget(self.job, self.history)

    @property
    def shortage(self) -> str | None:
        """Why the budget has no room for a single task; None if it has."""
        return shortage(self.job, self.history, self.pending, self.outline)

    def ends(self, deadline: Deadline | None) -> Ends:
        """When a run would end, if it began now; takes up to a second."""
        now = datetime.now(UTC).astimezone()
        left_s = None if deadline is None else deadline.at - now.timestamp()
        told = forecast(self.job, self.outline, self.pending, self.history, deadline_s=left_s)
        return Ends(forecast=told, now=now, deadline=deadline, tasks=len(self.pending.to_make))


def preview(plan: Plan, selection: Selection) -> Preview:
    """Check a plan, and read what there is of it in its output.

    Raises:
        JobError: with every complaint about the job.
        ManifestError: the output's manifest cannot be used.
    """
    outline = plan.check()
    history = read_output(plan.job, fresh=selection.fresh)
    reseed(history, selection, STAND_IN)
    key = history.random_seed_key or STAND_IN
    return Preview(
        plan=plan,
        outline=outline,
        history=history,
        pending=select(plan, history, selection, key, outline=outline),
        random_seed_key=key,
    )
