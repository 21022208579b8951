"""A job's tasks: prepared, checked and expanded; pure."""

from __future__ import annotations

from batchgen.plan.check import ModelSummary, PlanSummary, check
from batchgen.plan.choice import Choice
from batchgen.plan.estimate import Estimate, estimate
from batchgen.plan.expand import count, expand, matches, task_ids
from batchgen.plan.job_plan import JobPlan, Plan
from batchgen.plan.model_lookup import JobModels
from batchgen.plan.rates import calls_a_minute
from batchgen.plan.replay import Planned, Replay, replay_of
from batchgen.plan.substitutes import Substitutes

__all__ = [
    "Choice",
    "Estimate",
    "JobModels",
    "JobPlan",
    "ModelSummary",
    "Plan",
    "PlanSummary",
    "Planned",
    "Replay",
    "Substitutes",
    "calls_a_minute",
    "check",
    "count",
    "estimate",
    "expand",
    "matches",
    "replay_of",
    "task_ids",
]
