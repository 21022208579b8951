"""What past runs came to: their figures night by night, and the tasks without an image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from batchgen.commands.show_image import Made, label_of
from batchgen.commands.streams import result
from batchgen.errors import ManifestError
from batchgen.output import History, load_history, read_manifest
from batchgen.record import Record, RunLine, Status
from batchgen.report import Night, RunFigures, Tally, nights_of, read_runs
from batchgen.text import duration, escaped, of_unknown_price, shortened, usd

KINDS_SHOWN = 10
"""Different errors, and finish reasons, that are named; the others are counted."""


def show_nights(manifest: Path, *, last_run: bool, as_json: bool) -> None:
    """Print what the runs of an output came to, night by night.

    Raises:
        ManifestError: it cannot be read, or holds no run.
    """
    history = load_history(manifest)
    runs = read_runs(read_manifest(manifest))
    if not runs:
        raise ManifestError(
            f"{manifest} holds no line of a run: it is empty, damaged, or no manifest"
        )
    nights = list(nights_of(runs[-1:] if last_run else runs))
    if as_json:
        fields = {
            "manifest": str(manifest),
            "job": history.job_name,
            "tasks": _task_counts(history),
            "damaged_lines": history.unreadable,
            "nights": [_night_fields(night) for night in nights],
        }
        result(json.dumps(fields))
        return
    if not last_run:
        result(_opening(manifest, history))
    for night in nights:
        for line in _night_lines(night):
            result(line)


def _task_counts(history: History) -> dict[str, int]:
    return {str(status): number for status, number in history.counts().items()}


def _opening(manifest: Path, history: History) -> str:
    counts = ", ".join(f"{number} {status}" for status, number in _task_counts(history).items())
    damaged = f"; damaged lines: {history.unreadable}" if history.unreadable else ""
    name = history.job_name
    job = "unknown job" if name is None else f"job {escaped(shortened(name, 100))}"
    return f"{escaped(str(manifest))}: {job}, tasks: {counts}{damaged}."


def _night_lines(night: Night) -> Iterator[str]:
    runs = f"{len(night.runs)} runs" if len(night.runs) > 1 else _ended(night.runs[0])
    yield f"Night of {night.night}: {_counts(night.tally)}, cost {_cost(night.tally)}; {runs}."
    if len(night.runs) > 1:
        for run in night.runs:
            begun = f"{run.started_at.astimezone():%H:%M}"
            yield f"  {begun}: {_counts(run.tally)}, cost {_cost(run.tally)}; {_ended(run)}."
    yield from _details(night.tally)


def _ended(run: RunFigures) -> str:
    name = f"run {escaped(shortened(run.run_id, 60))}"
    if run.exit_code is None or run.finished_at is None:
        return f"{name}, without an end"
    took = duration((run.finished_at - run.started_at).total_seconds())
    return f"{name}, {took}, exit code {run.exit_code}"


def _counts(tally: Tally) -> str:
    made, filtered = tally.counts[Status.SUCCEEDED], tally.counts[Status.FILTERED]
    return f"{made} made, {filtered} filtered, {tally.counts[Status.FAILED]} failed"


def _cost(tally: Tally) -> str:
    total = tally.billed_usd + tally.maybe_billed_usd
    parts = usd(tally.billed_usd)
    if tally.maybe_billed_usd:
        parts += f" and maybe {usd(tally.maybe_billed_usd)}"
    if tally.unpriced:
        parts += f", {of_unknown_price(tally.unpriced)}"
    if not tally.simulated_usd:
        return parts
    if tally.simulated_usd == total:
        return f"{parts} (simulated)"
    return f"{parts} (of it simulated: {usd(tally.simulated_usd)})"


def _details(tally: Tally) -> Iterator[str]:
    if tally.seeds:
        more = tally.counts.total() - len(tally.seeds)
        seeds = ", ".join(map(str, tally.seeds))
        yield f"  seeds: {seeds}{f' and {more} more' if more > 0 else ''}"
    if tally.finish_reasons:
        yield f"  finish reasons: {_kinds(tally.finish_reasons)}"
    if tally.errors:
        yield f"  errors: {_kinds(tally.errors)}"
    slow = sorted(tally.slowest, reverse=True)
    if slow:
        listed = (
            f"{escaped(shortened(each.label, 60))} {each.latency_ms / 1000:.1f} s" for each in slow
        )
        yield f"  slowest: {', '.join(listed)}"


def _kinds(counter: Mapping[str, int]) -> str:
    ranked = sorted(counter.items(), key=lambda kind: (-kind[1], kind[0]))
    shown = ", ".join(f"{escaped(name)} {number}" for name, number in ranked[:KINDS_SHOWN])
    rest = sum(number for _, number in ranked[KINDS_SHOWN:])
    return f"{shown}, others {rest}" if rest else shown


def _night_fields(night: Night) -> dict[str, Any]:
    fields = {"night": night.night.isoformat(), **_tally_fields(night.tally)}
    fields["runs"] = [_run_fields(run) for run in night.runs]
    return fields


def _run_fields(run: RunFigures) -> dict[str, Any]:
    finished = None if run.finished_at is None else run.finished_at.isoformat()
    return {
        "run_id": run.run_id,
        "started_at": run.started_at.isoformat(),
        "finished_at": finished,
        "exit_code": run.exit_code,
        "endpoint": run.endpoint,
        **_tally_fields(run.tally),
    }


def _tally_fields(tally: Tally) -> dict[str, Any]:
    total = tally.billed_usd + tally.maybe_billed_usd
    return {
        **{str(status): tally.counts[status] for status in Status},
        "billed_usd": float(tally.billed_usd),
        "maybe_billed_usd": float(tally.maybe_billed_usd),
        "simulated": bool(tally.simulated_usd) and tally.simulated_usd == total,
        "simulated_usd": float(tally.simulated_usd),
        "unpriced": tally.unpriced,
        "seeds": tally.seeds,
        "finish_reasons": dict(tally.finish_reasons),
        "errors": dict(tally.errors),
        "slowest": [
            {"label": each.label, "latency_ms": each.latency_ms}
            for each in sorted(tally.slowest, reverse=True)
        ],
    }


def list_tasks(manifest: Path, wanted: list[Status], *, last_run: bool, as_json: bool) -> None:
    """Print the tasks whose last record has one of these statuses."""
    run_id = None
    if last_run:
        started = (line.run_id for line in read_manifest(manifest) if isinstance(line, RunLine))
        run_id = next(iter([*started][-1:]), None)
    found = (
        record
        for record in load_history(manifest).last_records()
        if record.status in wanted and (run_id is None or record.run_id == run_id)
    )
    if as_json:
        tasks = [_task_fields(record) for record in found]
        result(json.dumps({"manifest": str(manifest), "run_id": run_id, "tasks": tasks}))
        return
    is_any = False
    for record in found:
        result(_task_line(record))
        is_any = True
    if not is_any:
        result(f"None{' in the last run' if last_run else ''}.")


def _task_fields(record: Record) -> dict[str, Any]:
    made = Made(record)
    return {
        "label": record.label,
        "task_id": record.task_id,
        "run_id": record.run_id,
        "status": str(record.status),
        "seed": made.seed,
        "model_id": made.model_id,
        "prompt": made.prompt,
        "finish_reasons": list(record.finish_reasons),
        "error": None if record.error is None else record.error.model_dump(mode="json"),
    }


def _task_line(record: Record) -> str:
    error = record.error
    said = "no reason given" if error is None else f"{error.code}: {error.message}"
    reasons = ", ".join(reason for reason in record.finish_reasons if reason is not None)
    if reasons and reasons not in said:
        said = f"{said} ({reasons})"
    at = f"{record.finished_at.astimezone():%Y-%m-%d %H:%M}"
    head = f"{label_of(record)}: {record.status} {at}, seed {Made(record).seed}"
    return f"{head}: {escaped(shortened(said, 300))}"
