"""A job's tasks: prepared, checked and expanded; pure."""

from __future__ import annotations

from batchgen.plan.check import ModelSummary, PlanSummary, check
from batchgen.plan.estimate import Estimate, estimate
from batchgen.plan.expand import count, expand, matches, task_ids
from batchgen.plan.job_plan import JobPlan, Plan
from batchgen.plan.model_lookup import JobModels
from batchgen.plan.rates import calls_a_minute, calls_a_minute_of_all_routes
from batchgen.plan.substitutes import Substitutes

__all__ = [
    "Estimate",
    "JobModels",
    "JobPlan",
    "ModelSummary",
    "Plan",
    "PlanSummary",
    "Substitutes",
    "calls_a_minute",
    "calls_a_minute_of_all_routes",
    "check",
    "count",
    "estimate",
    "expand",
    "matches",
    "task_ids",
]
