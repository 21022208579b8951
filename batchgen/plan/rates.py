"""Which calls a minute count for a model: one rule for a run, a dry run and `doctor`."""

from __future__ import annotations

from typing import Literal, TypeAlias

Given: TypeAlias = float | Literal["auto"] | None
"""What a route or the job says: a number, `auto`, or None for the documented quota."""


def calls_a_minute(
    given: Given,
    documented: float | None,
    *,
    found: float | None = None,
    stands_in: bool = False,
) -> float | None:
    """The rate at which a run starts to call a model on one route.

    A number of the route or the job counts, whatever the quota is: a run that is refused more often
    than that finds out by itself. What Service Quotas say counts with `auto`, and where it is
    nothing at all. A number means the models that the job asks for: one that only
    stands in is called at its documented rate if that is less.

    Args:
        given: `Route.rate`.
        documented: default quota of the model; None if unknown.
        found: what Service Quotas say; None where they were not asked, or say nothing.
        stands_in: no task of the job is the model's own.

    Returns:
        None where nobody knows: the run finds it. 0 where the account may not call the model.
    """
    if found is not None and (given == "auto" or found == 0):
        return found
    if not isinstance(given, int | float):
        return documented
    return given if documented is None or not stands_in else min(given, documented)
