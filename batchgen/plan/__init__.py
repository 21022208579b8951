"""A job's tasks: prepared, checked and expanded; pure."""

from __future__ import annotations

from batchgen.plan.check import ModelSummary, PlanSummary, check
from batchgen.plan.estimate import Estimate, estimate
from batchgen.plan.expand import count, expand, matches, task_ids
from batchgen.plan.model_lookup import JobModels
from batchgen.plan.rates import calls_a_minute, calls_a_minute_of_all_routes
from batchgen.plan.substitutes import Substitutes

__all__ = [
    "Estimate",
    "JobModels",
    "ModelSummary",
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
