"""`batchgen reproduce`: make the images of a manifest again, and say how near they came."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import nsmallest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchgen.commands import options
from batchgen.commands.file_bar import file_bar
from batchgen.commands.run import bounded, bounding, running
from batchgen.commands.streams import note, result
from batchgen.errors import ExitCode, StorageError
from batchgen.text import counted, escaped, system_reason

if TYPE_CHECKING:
    from batchgen.output import Originals
    from batchgen.plan import Choice, Replay
    from batchgen.report import Judged, Verdict
    from batchgen.runner import Deadline, Summary

STATUSES = ("succeeded", "filtered", "failed")
LISTED = 20
"""Images that are not what was asked for and that the end names; `--json` names all."""
SHOWN = 200
"""Images that the page shows."""


@click.command(name="reproduce")
@click.argument("manifest", type=options.EXISTING_PATH)
@click.option("--only", multiple=True, help="Only items (or labels) like this: 'mug-*'.")
@click.option(
    "--status",
    multiple=True,
    type=click.Choice(STATUSES, case_sensitive=False),
    help="Only records with this status; by default those that succeeded.",
)
@click.option("--run", "run_id", help="Only the records of this run.")
@click.option("--limit", type=options.COUNT, help="Only the first this many.")
@click.option("--output", type=options.FOLDER, help="Folder of the new images and manifest.")
@click.option(
    "--endpoint",
    type=options.ENDPOINT,
    help="Which service to call; else the one that the records name.",
)
@click.option("--model", type=options.MODEL, help="The same prompts and seeds on this model.")
@click.option(
    "--at-least",
    type=options.VERDICT,
    default="similar",
    show_default=True,
    help="End with exit code 5 if an image is worse than this.",
)
@bounding
@running
def command(manifest: Path, **given: Any) -> int:
    """Make the images of a manifest again from their records, and compare.

    Without the job file: each with its exact request and seed, into an output of their own. The
    same command again goes on where it was cut off.
    """
    from batchgen.output import read_originals
    from batchgen.plan import replay_of
    from batchgen.runner import Selection, deadline_of

    choice = _choice(given)
    originals = read_originals(manifest, choice.run_id)
    _notify(_notices(originals))
    replay = replay_of(originals, choice, lambda job: bounded(job, given))
    _notify(_warnings(replay))
    until = replay.job.limits.until
    deadline = deadline_of(until, given["max_duration"], datetime.now(UTC))
    if given["dry_run"]:
        from batchgen.commands.dry_run import dry_run

        more = {"not_reproducible": dict(replay.reasons), "output": replay.job.output}
        for reason, count in replay.reasons.most_common(LISTED):
            note(f"{count} not reproducible: {escaped(reason)}")
        as_json = given["as_json"]
        return dry_run(replay, Selection(), as_json=as_json, deadline=deadline, more=more)
    summary = _run(replay, originals, given, deadline) if replay.check().tasks else None
    from batchgen.report import Verdict

    tally = _compare(replay, originals, Verdict(given["at_least"]))
    code = _exit_code(summary, tally)
    if given["as_json"]:
        result(json.dumps(_object(tally, replay, summary, code)))
    else:
        for line in _report(tally):
            result(line)
    return code


def _choice(given: dict[str, Any]) -> Choice:
    from batchgen.plan import Choice
    from batchgen.record import Status

    return Choice(
        only=given["only"],
        statuses=tuple(map(Status, given["status"])) or (Status.SUCCEEDED,),
        run_id=given["run_id"],
        limit=given["limit"],
        model=given["model"],
        endpoint=given["endpoint"],
        output=given["output"],
    )


def _run(
    replay: Replay, originals: Originals, given: dict[str, Any], deadline: Deadline | None
) -> Summary:
    from batchgen.commands.foreground import ForegroundRun
    from batchgen.runner import RunOptions

    run_options = RunOptions(
        job=replay.job,
        plan=replay,
        reproduces=originals.manifest,
        deadline=deadline,
        wait_lock=given["wait_lock"] or 0.0,
    )
    return ForegroundRun(run_options, quiet=given["quiet"]).run()


def _notify(texts: Iterable[str]) -> None:
    for text in texts:
        note(escaped(text))


def _notices(originals: Originals) -> Iterator[str]:
    """What a person should know of the manifest."""
    if originals.unreadable:
        yield (
            f"Lines of {originals.manifest} that cannot be read: {originals.unreadable}; "
            "they are ignored."
        )
    if originals.made_room:
        yield (
            f"Left out because another image has their name now: {originals.made_room}. With "
            "--run, the images of that run are made all the same."
        )


def _warnings(replay: Replay) -> Iterator[str]:
    """What a person should know of the endpoint: other services make other pictures."""
    from batchgen.record import is_simulated

    simulated = is_simulated(replay.job.endpoint)
    others = sum(
        count for name, count in replay.chosen.endpoints.items() if is_simulated(name) != simulated
    )
    if others and simulated:
        yield f"{others} originals are pictures of the service: the simulator makes other ones."
    elif others:
        yield f"{others} originals are pictures of the simulator: the service makes other ones."


@dataclass(slots=True)
class Tally:
    """The verdicts of one command."""

    at_least: Verdict
    judged: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    open: int = 0
    """Originals that were not made again yet."""
    worse: int = 0
    """Those worse than was asked for."""
    listed: list[str] = field(default_factory=list)
    """Sentences about the first of them."""
    page: Path | None = None

    def add(self, judged: Judged) -> None:
        """One more original."""
        self.judged.append(judged.to_json())
        if judged.verdict is None:
            self.open += 1
            return
        self.counts[judged.verdict] += 1
        if judged.verdict.is_worse_than(self.at_least):
            self.worse += 1
            if len(self.listed) < LISTED:
                reason = f" ({judged.reason})" if judged.reason else ""
                self.listed.append(escaped(f"{judged.original.label}: {judged.verdict}{reason}"))


def _compare(replay: Replay, originals: Originals, at_least: Verdict) -> Tally:
    from batchgen.report import Verdict, judge, write_page

    output = Path(replay.job.output)
    tally = Tally(at_least)
    differing: list[Judged] = []
    total = 0
    with file_bar("Compared") as progress:
        for judged in judge(replay.planned, originals.folder, output, replay.job.endpoint):
            tally.add(judged)
            progress(len(tally.judged), len(replay.chosen))
            if judged.verdict in (Verdict.SIMILAR, Verdict.DIFFERENT):
                total += 1
                differing.append(judged)
                if len(differing) > 2 * SHOWN:
                    differing = nsmallest(SHOWN, differing, key=_by_distance)
    if differing:
        shown = nsmallest(SHOWN, differing, key=_by_distance)
        try:
            tally.page = write_page(shown, originals.folder, output, total=total)
        except OSError as error:
            reason = system_reason(error)
            raise StorageError(f"The page of differences was not written: {reason}.") from error
    return tally


def _by_distance(judged: Judged) -> float:
    """Those that nothing could be measured of first, then the farthest."""
    return -1000.0 if judged.distance is None else -judged.distance


def _exit_code(summary: Summary | None, tally: Tally) -> int:
    """As the run ended, if it was stopped; else what the verdicts say.

    Where a model is denied and nothing is left to be made, that is in the verdicts.
    """
    run = ExitCode.DONE if summary is None else summary.exit_code
    is_judged = run in (ExitCode.DONE, ExitCode.INCOMPLETE)
    if not is_judged and (tally.open or run is not ExitCode.SERVICE):
        return run
    return ExitCode.DIFFERENT if tally.worse else ExitCode.DONE


def _object(tally: Tally, replay: Replay, summary: Summary | None, code: int) -> dict[str, Any]:
    from batchgen.report import THRESHOLD

    return {
        "exit_code": int(code),
        "originals": len(tally.judged),
        "verdicts": {verdict: tally.counts[verdict] for verdict in options.VERDICTS},
        "open": tally.open,
        "at_least": str(tally.at_least),
        "worse": tally.worse,
        "threshold": THRESHOLD,
        "output": replay.job.output,
        "page": None if tally.page is None else str(tally.page),
        "images": tally.judged,
        "run": None if summary is None else summary.to_json(),
    }


def _report(tally: Tally) -> Iterator[str]:
    yield from tally.listed
    if tally.worse > len(tally.listed):
        yield f"… and {tally.worse - len(tally.listed)} more; --json names all of them."
    if tally.page is not None:
        yield f"Side by side: {escaped(str(tally.page.absolute()))}"
    counts = ", ".join(f"{tally.counts[verdict]} {verdict}" for verdict in options.VERDICTS)
    left = f", {tally.open} not made yet" if tally.open else ""
    yield f"{counted(len(tally.judged), 'image')}: {counts}{left}."
    if tally.worse:
        yield f"Worse than {tally.at_least}: {tally.worse}."
