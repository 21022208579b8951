"""The figures of a run as text: the line of progress and the lines that close it."""

from __future__ import annotations

from collections.abc import Iterator

from batchgen.commands.failures import Failures
from batchgen.runner import Summary
from batchgen.text import duration, escaped, usd

A_MINUTE = 60.0


def figures(summary: Summary) -> list[str]:
    """The figures of a run as short texts, the most important first."""
    parts = [f"{summary.images_per_minute:.1f} images/min", *_pace(summary)]
    if summary.throttled:
        parts.append(f"{summary.throttled} throttled")
    if summary.failed:
        parts.append(f"{summary.failed} failed")
    if summary.filtered:
        parts.append(f"{summary.filtered} filtered")
    parts.append(usd(summary.billed_usd))
    if summary.time_left_s is not None and summary.left:
        parts.append(f"{duration(summary.time_left_s)} left")
    return parts


def _pace(summary: Summary) -> Iterator[str]:
    """The calls of the last minute and those that the quotas allow, once there is a minute."""
    states = [state for state in summary.pace.values() if state.started]
    allowed = [state.allowed_per_minute for state in states]
    if not states or summary.elapsed_s < A_MINUTE:
        return
    reached = sum(state.used_per_minute for state in states)
    if None in allowed:
        yield f"{reached:.0f} calls/min, looking for the quota"
        return
    most = sum(rate for rate in allowed if rate is not None)
    yield f"{reached:.0f} of {most:.0f} calls/min ({min(reached / most, 1):.0%})"


def status_line(summary: Summary) -> str:
    """All figures in one line."""
    return f"{summary.done}/{summary.total}  " + ", ".join(figures(summary))


def report(summary: Summary, failures: Failures, manifest: str) -> list[str]:
    """The lines that close a run."""
    lines = [*failures.repeated(), _counts(summary)]
    if summary.adopted:
        adopted = counted(summary.adopted, "image")
        lines.append(f"{adopted} of a run that was killed, found whole, went on record.")
    if summary.substituted:
        substituted = counted(summary.substituted, "image")
        lines.append(
            f"{substituted} made with another model, seed or prompt, as the job allows; `served` "
            "in the manifest tells which."
        )
    if summary.routes:
        lines.append(_routes(summary))
    lines += [_money(summary), f"Images and manifest: {manifest}"]
    if summary.stopping is not None and summary.left:
        lines.append(escaped(summary.stopping.text))
    if summary.left:
        lines.append("The same command again goes on where this run stopped.")
    return lines


def counted(number: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _counts(summary: Summary) -> str:
    earlier = summary.earlier_succeeded + summary.earlier_filtered
    return (
        f"{counted(summary.succeeded, 'image')} made, {summary.filtered} filtered, "
        f"{summary.failed} failed, {summary.left} left open, {earlier} done earlier, "
        f"in {duration(summary.elapsed_s)} ({summary.average_per_minute:.1f} images/min, "
        f"{summary.throttled} throttled)."
    )


def _routes(summary: Summary) -> str:
    """What each route did."""
    parts = []
    for name, pace in summary.routes.items():
        calls = sum(state.started for state in pace.values())
        throttled = sum(state.throttled for state in pace.values())
        parts.append(f"{escaped(name)} {counted(calls, 'call')} ({throttled} throttled)")
    return f"Routes: {', '.join(parts)}."


def _money(summary: Summary) -> str:
    parts = [f"billed {usd(summary.billed_usd)}"]
    if summary.maybe_billed_usd:
        parts.append(f"maybe billed as well {usd(summary.maybe_billed_usd)}")
    if summary.saved_usd:
        parts.append(f"saved by reuse {usd(summary.saved_usd)}")
    if summary.budget_left_usd is not None:
        parts.append(f"left of the budget {usd(summary.budget_left_usd)}")
    return "Cost: " + ", ".join(parts) + "."
