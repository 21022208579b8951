"""What a run may spend: its budgets, less what earlier runs of the job spent."""

from __future__ import annotations

from decimal import Decimal

from batchgen.job import Job
from batchgen.output import History
from batchgen.plan import PlanSummary
from batchgen.policies import Budget
from batchgen.record import is_simulated
from batchgen.runner.pending import Pending

ZERO = Decimal(0)


def left_of_budget(job: Job, history: History) -> Decimal | None:
    """USD that a run may spend, by all its budgets; None without one."""
    limits, spent = job.limits, history.accounts[is_simulated(job.endpoint)]
    of_all = None if limits.budget_usd is None else max(ZERO, limits.budget_usd - spent)
    return min((each for each in (of_all, limits.run_budget_usd) if each is not None), default=None)


def open_account(budget: Budget, spent: Decimal, pending: Pending, outline: PlanSummary) -> None:
    """Tell a budget what was spent before, and what the whole job still costs."""
    budget.open(spent, pending.cost(outline) + pending.cost_elsewhere(outline))


def shortage(job: Job, history: History, pending: Pending, outline: PlanSummary) -> str | None:
    """Why a run would not make a single image for its budget; None if it would, or need not."""
    budget = Budget(job.limits.budget_usd, run_limit=job.limits.run_budget_usd)
    open_account(budget, history.accounts[is_simulated(job.endpoint)], pending, outline)
    if job.limits.whole_chains and pending.fates is not None:
        chain = pending.fates.cheapest()
        short = None if chain is None else budget.shortage(chain)
        return None if short is None else f"for a whole chain, {short}"
    counts = pending.to_make.models()
    prices = [
        (each.price_usd or ZERO) / each.tasks
        for each in outline.models
        if counts.get(each.model_id)
    ]
    return budget.shortage(min(prices)) if prices else None
