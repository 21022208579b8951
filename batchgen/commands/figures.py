"""The figures of a run as text: the line of progress and the lines that close it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from batchgen.commands.failures import Failures
from batchgen.job import Job
from batchgen.output import MANIFEST_NAME
from batchgen.pacing import PaceState
from batchgen.runner import Deadline, Summary
from batchgen.text import counted, duration, escaped, of_unknown_price, usd

A_MINUTE = 60.0
HELD = 0.9
"""Of the quota; a pace below it is explained."""
LONG = 5.0
"""Seconds to the next call that are worth a word."""
SLOW = 10.0
"""Calls a minute below which tenths count."""


def opening_line(job: Job, deadline: Deadline | None, summary: Summary) -> str:
    """The first line of a run: what it is, where everything lies, and what bounds it."""
    file = job.source.file if job.source else None
    parts = [
        f"job {job.name} from {Path(file).absolute()}" if file else f"job {job.name}",
        f"output {Path(job.output).absolute()}",
        f"endpoint {job.endpoint}",
        counted(summary.total, "task"),
    ]
    if job.limits.budget_usd is not None:
        parts.append(f"budget {usd(job.limits.budget_usd)} until the job is finished")
    if job.limits.run_budget_usd is not None:
        parts.append(f"budget of this run {usd(job.limits.run_budget_usd)}")
    if deadline is not None:
        parts.append(f"until {until_text(deadline, datetime.now(UTC))}")
    return f"Run {summary.run_id}: {', '.join(parts)}."


def until_text(deadline: Deadline, now: datetime) -> str:
    """When a run must have ended: `06:00 tomorrow, for 06:00 has passed today`."""
    end = datetime.fromtimestamp(deadline.at, UTC).astimezone()
    days = (end.date() - now.astimezone().date()).days
    if days == 0:
        return f"{end:%H:%M}"
    if days > 1:
        return f"{end:%Y-%m-%d %H:%M}"
    passed = f", for {deadline.text} has passed today" if deadline.text == f"{end:%H:%M}" else ""
    return f"{end:%H:%M} tomorrow{passed}"


def figures(summary: Summary) -> list[str]:
    """The figures of a run as short texts, the most important first."""
    parts = [f"{summary.images_per_minute:.1f} images/min", *_pace(summary), *_held(summary)]
    if summary.throttled:
        parts.append(f"{summary.throttled} throttled")
    if summary.failed:
        parts.append(f"{summary.failed} failed")
    if summary.filtered:
        parts.append(f"{summary.filtered} filtered")
    if summary.skipped:
        parts.append(f"{summary.skipped} skipped")
    parts.append(usd(summary.billed_usd) + (" simulated" if summary.is_simulated else ""))
    if summary.unpriced:
        parts.append(of_unknown_price(summary.unpriced))
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


def _held(summary: Summary) -> Iterator[str]:
    """Why the calls are slower than what the job asks, and until when."""
    for model_id, state in summary.pace.items():
        allowed, quota = state.allowed_per_minute, state.quota_per_minute
        held = allowed is not None and quota is not None and allowed < HELD * quota
        if state.reason is None or not (held or state.next_start_s >= LONG):
            continue
        text = model_id
        if allowed is not None and quota is not None and held:
            told = f"although the job says {_rate(quota)}"
            text = f"{model_id} throttled at {_rate(allowed)} a minute {told}"
        text = f"{text}: {state.reason}"
        if state.next_start_s < math.inf:
            text = f"{text}; next call in {duration(state.next_start_s)}"
        yield text


def _rate(per_minute: float) -> str:
    return f"{per_minute:.0f}" if per_minute >= SLOW else f"{per_minute:.1f}"


def pace_text(state: PaceState) -> str:
    """How one model's calls are paced, for the log."""
    allowed = state.allowed_per_minute
    rate = "no known limit" if allowed is None else f"at most {allowed:.0f} calls/min"
    return f"{state.phase}, {rate}, at most {state.concurrency} in flight"


def status_line(summary: Summary) -> str:
    """All figures in one line."""
    return f"{summary.done}/{summary.total}  " + ", ".join(figures(summary))


def report(summary: Summary, failures: Failures) -> list[str]:
    """The lines that close a run."""
    manifest = Path(summary.output).absolute() / MANIFEST_NAME
    lines = [*failures.listed(summary.run_id, manifest), _counts(summary)]
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
    lines += [_money(summary), f"Images and manifest: {escaped(summary.output)}"]
    if summary.stopping is not None and summary.exit_code not in (0, 1):
        lines.append(escaped(summary.stopping.text))
    if summary.next_step is not None:
        lines.append(summary.next_step)
    return lines


def _counts(summary: Summary) -> str:
    earlier = summary.earlier_succeeded + summary.earlier_filtered + summary.earlier_skipped
    skipped = f"{summary.skipped} skipped, " if summary.skipped else ""
    return (
        f"{counted(summary.succeeded, 'image')} made, {summary.filtered} filtered, "
        f"{summary.failed} failed, {skipped}{summary.left} left open, {earlier} done earlier, "
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
    if summary.unpriced:
        parts.append(of_unknown_price(summary.unpriced))
    if summary.maybe_billed_usd:
        parts.append(f"maybe billed as well {usd(summary.maybe_billed_usd)}")
    if summary.saved_usd:
        parts.append(f"saved by reuse {usd(summary.saved_usd)}")
    if summary.budget_left_usd is not None:
        parts.append(f"left of the budget {usd(summary.budget_left_usd)}")
    text = f"Cost: {', '.join(parts)}."
    return f"{text} This money is simulated." if summary.is_simulated else text
