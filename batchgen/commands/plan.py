"""`batchgen plan`: what a run would make, what it costs and when it ends; nothing is called."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchgen.commands import options
from batchgen.commands.prices import usual_file
from batchgen.commands.run import choosing, ordered
from batchgen.commands.streams import note, result
from batchgen.text import escaped, quoted, usd

if TYPE_CHECKING:
    from batchgen.commands.ends import Ends
    from batchgen.job import Job
    from batchgen.output import History
    from batchgen.plan import PlanSummary
    from batchgen.record import Record
    from batchgen.runner import Pending, Selection
    from batchgen.task import Task

FIRST = 3
"""Tasks that are shown in full."""
MOST_CHANGED = 20
"""Changed tasks that are shown; `--json` has up to `MOST_COMPARED`."""
MOST_COMPARED = 1_000
MOST_REMEMBERED = 100_000
"""Older records that changed tasks are compared with."""
LONGEST_SHOWN = 200
"""Characters of a value that changed."""


@click.command(name="plan")
@options.job_argument
@choosing
@click.option("--tasks", is_flag=True, help="Print every task instead, one JSON object a line.")
@click.option("--explain", is_flag=True, help="Say how the tasks come about, and what changed.")
@options.json_option
def command(job: Path, *, tasks: bool, explain: bool, as_json: bool, **given: Any) -> int:
    """Say what a run would make, for how much, and when it would end.

    All tasks are checked; nothing is called or written. It takes the options of `run` that choose
    tasks or change the job.
    """
    from batchgen import plan
    from batchgen.commands.ends import ends_of
    from batchgen.runner import deadline_of, read_output, reseed, select

    chosen, selection = ordered(job, given)
    whole = plan.JobPlan(chosen)
    outline = whole.check()
    history = read_output(chosen, fresh=selection.fresh)
    reseed(history, selection, "plan")
    key = history.random_seed_key or "plan"
    pending = select(whole, history, selection, key, outline=outline)
    walk = partial(whole.expand, random_seed_key=key, reseeds=history.reseeds)
    if tasks:
        for fields in _every_task(walk(), pending):
            result(json.dumps(fields))
        return 0
    deadline = deadline_of(chosen.limits.until, given["max_duration"], datetime.now(UTC))
    view = _View(
        job=chosen,
        selection=selection,
        outline=outline,
        history=history,
        pending=pending,
        walk=walk,
        ends=ends_of(chosen, outline, pending, history, deadline),
        price_file=given["prices"] or usual_file(),
    )
    if as_json:
        result(json.dumps(view.to_json(explain=explain)))
        return 0
    for text in (*outline.warnings, *pending.notices()):
        note(escaped(text))
    for line in view.lines(explain=explain):
        result(line)
    return 0


def _every_task(tasks: Iterable[Task], pending: Pending) -> Iterator[dict[str, Any]]:
    """Every task that was asked for, as a program reads it."""
    for number, task in enumerate(tasks):
        to_make = pending.to_make.has(task.model_id, number)
        yield {**_fields(task), "to_make": to_make}


def _fields(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "label": task.label,
        "item_id": task.item_id,
        "variant": task.variant,
        **({} if task.step is None else {"step": task.step}),
        "vars": dict(task.vars),
        "model_id": task.model_id,
        "seed": task.seed,
        "request": dict(task.request),
        "path": f"{task.file_stem}.{task.image_format}",
        "price_usd": None if task.price_usd is None else float(task.price_usd),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """One plan, as a person or a program reads it."""

    job: Job
    selection: Selection
    outline: PlanSummary
    history: History
    pending: Pending
    walk: Callable[[], Iterable[Task]]
    """All tasks of the job, anew."""
    ends: Ends
    price_file: Path | None
    """Of the user."""

    def _is_simulated(self) -> bool:
        from batchgen.record import is_simulated

        return is_simulated(self.job.endpoint)

    def to_json(self, *, explain: bool) -> dict[str, Any]:
        """One object."""
        cost = self._cost()
        fields: dict[str, Any] = {
            "job": self.job.name,
            "tasks": self.outline.tasks,
            "made": self.pending.earlier.succeeded,
            "filtered": self.pending.earlier.filtered,
            "to_make": len(self.pending.to_make),
            "cost_usd": None if cost is None else float(cost),
            "simulated": self._is_simulated(),
            "price_file": None if self.price_file is None else str(self.price_file),
            "models": [
                {
                    "model_id": name,
                    "tasks": tasks,
                    "made": made,
                    "to_make": to_make,
                    "cost_usd": None if price is None else float(price),
                }
                for name, tasks, made, to_make, price in self._by_model()
            ],
            "steps": [
                {
                    "step": step,
                    "model_id": name,
                    "tasks": tasks,
                    "made": self.pending.steps_made[step, name],
                    "to_make": self.pending.steps[step, name],
                }
                for (step, name), tasks in self.outline.models_of_steps.items()
            ],
            "derivatives": self._derivatives_to_json(),
            "stages": dict(self.outline.stages),
            "budget": self._budget(),
            **self.ends.to_json(),
            "first_tasks": [_fields(task) for task in self._first()],
            "longest_prompts": [
                {"characters": length, "label": label, "prompt": prompt}
                for length, label, prompt in self.outline.longest
            ],
            "warnings": [*self.outline.warnings, *self.pending.notices()],
        }
        if explain:
            fields["changed"] = [
                {"label": task.label, "id": task.id, "older_id": older.task_id, "fields": changed}
                for task, older, changed in islice(self._changed(), MOST_COMPARED)
            ]
        return fields

    def lines(self, *, explain: bool) -> Iterator[str]:
        """A page for the terminal."""
        outline, pending = self.outline, self.pending
        if explain:
            yield "How the tasks come about, with the count after each stage:"
            for stage, count in outline.stages.items():
                yield f"  {stage:10} {count:>12,}"
        kind = " (simulated)" if self._is_simulated() else ""
        made = pending.earlier.done
        yield (
            f"{self.job.name}: {_tasks(outline.tasks)}, {made:,} made already, "
            f"{len(pending.to_make):,} to make for {usd(self._cost())}{kind}."
        )
        for name, tasks, done, to_make, price in self._by_model():
            told = f"{_tasks(tasks)}, {done:,} made, {to_make:,} to make, {usd(price)}"
            yield f"  {escaped(name)}: {told}"
        for (step, name), tasks in outline.models_of_steps.items():
            made, to_make = pending.steps_made[step, name], pending.steps[step, name]
            told = f"{_tasks(tasks)}, {made:,} made, {to_make:,} to make"
            yield f"  step {escaped(step)}: {told}, by {escaped(name)}"
        if self.price_file is not None:
            yield f"Prices: {escaped(str(self.price_file))}, over the list."
        derived = self._derivatives()
        if any(derived["of_each"].values()):
            each = ", ".join(
                f"{count} of each image{'' if step is None else f' of {step}'}"
                for step, count in derived["of_each"].items()
                if count
            )
            files = derived["files"]
            yield f"Derived files: {each}, {files:,} to make on this machine; they cost nothing."
        yield from self._money()
        yield f"Time: {self.ends.sentence()}."
        yield from self._samples()
        if explain:
            yield from self._explained()
        yield "Nothing was called or written."

    def _money(self) -> Iterator[str]:
        budget = self._budget()
        if budget is None:
            yield "Budget: none."
            return
        to_make = len(self.pending.to_make)
        count = budget["covers"]
        covers = (
            "all of it" if count == to_make else f"about {count:,} tasks" if count else "no task"
        )
        left = usd(Decimal(str(budget["left_usd"])))
        why = "." if budget["shortage"] is None else f": {budget['shortage']}"
        yield f"Budget: {left} left, which covers {covers}{why}"

    def _derivatives(self) -> dict[str, Any]:
        """What is made of the images to make, without a call; `of_each` by step."""
        from batchgen.job import Steps

        of_each = {step: len(wanted) for step, wanted in Steps(self.job).derived.items()}
        to_make: Counter[str | None] = Counter({None: len(self.pending.to_make)})
        for (step, _), count in self.pending.steps.items():
            to_make[step] += count
        files = sum(count * to_make[step] for step, count in of_each.items())
        return {"of_each": of_each, "files": files, "cost_usd": 0.0}

    def _derivatives_to_json(self) -> dict[str, Any]:
        """As `_derivatives`; of a job without steps, `of_each` is one number."""
        derived = self._derivatives()
        return {**derived, "of_each": derived["of_each"].get(None, derived["of_each"])}

    def _samples(self) -> Iterator[str]:
        first = list(self._first())
        if first:
            yield "First tasks:"
        for task in first:
            yield (
                f"  {escaped(task.label)} -> {escaped(task.file_stem)}.{task.image_format}, "
                f"{escaped(task.model_id)}, {usd(task.price_usd)}"
            )
            yield f"    {json.dumps(dict(task.request), sort_keys=True)}"
        if self.outline.longest:
            yield "Longest prompts:"
        for length, label, prompt in self.outline.longest:
            yield f"  {length:,} characters: {escaped(label)}: {quoted(prompt, LONGEST_SHOWN)}"

    def _explained(self) -> Iterator[str]:
        changed = list(islice(self._changed(), MOST_CHANGED + 1))
        if not changed:
            yield "No task is to be made again because something of it changed."
            return
        yield "To be made again, for these changed since an older record of the same item:"
        for task, _, fields in changed[:MOST_CHANGED]:
            yield f"  {escaped(task.label)}: {', '.join(map(escaped, fields))}"
            for name, (old, new) in fields.items():
                yield f"    {escaped(name)}: {_shown(old)} -> {_shown(new)}"
        if len(changed) > MOST_CHANGED:
            yield "  ... and more; --json has them."

    def _by_model(self) -> Iterator[tuple[str, int, int, int, Decimal | None]]:
        """Model, its tasks, how many are made, how many are to be made, and what these cost."""
        to_make, made = self.pending.to_make.models(), self.pending.succeeded.models()
        for each in self.outline.models:
            count = to_make.get(each.model_id, 0)
            yield (
                each.model_id,
                each.tasks,
                made.get(each.model_id, 0),
                count,
                self.pending.price_of(each),
            )

    def _cost(self) -> Decimal | None:
        prices = [price for *_, price in self._by_model()]
        known = [price for price in prices if price is not None]
        return sum(known, Decimal(0)) if len(known) == len(prices) else None

    def _budget(self) -> dict[str, Any] | None:
        """What may be spent, and how many of the tasks to make that covers."""
        from batchgen.runner import left_of_budget, shortage

        limits, cost, left = self.job.limits, self._cost(), left_of_budget(self.job, self.history)
        if left is None or cost is None:
            return None
        to_make = len(self.pending.to_make)
        short = shortage(self.job, self.history, self.pending, self.outline)
        covers = to_make if left >= cost else math.floor(left * to_make / cost)
        return {
            "budget_usd": None if limits.budget_usd is None else float(limits.budget_usd),
            "run_budget_usd": None
            if limits.run_budget_usd is None
            else float(limits.run_budget_usd),
            "spent_usd": float(self.history.accounts[self._is_simulated()]),
            "left_usd": float(left),
            "covers": covers if short is None else 0,
            "shortage": short,
        }

    def _first(self) -> Iterator[Task]:
        """The first tasks to make, of each model in turn."""
        tasks = (
            task
            for model_id in self.pending.to_make.models()
            for task in islice(self.pending.to_make.tasks(model_id), FIRST)
        )
        return islice(tasks, FIRST)

    def _changed(self) -> Iterator[tuple[Task, Record, dict[str, tuple[Any, Any]]]]:
        """Tasks to make whose item has an older record, and what differs: field -> old and new."""
        if not len(self.history):
            return
        by_label: dict[str, Record] = {}
        by_item: defaultdict[str, list[Record]] = defaultdict(list)
        for record in islice(self.history.last_records(), MOST_REMEMBERED):
            by_label[record.label] = record
        # What the job still makes is no older form of another combination of its item.
        kept = {task.label for task in self.walk() if task.label in by_label}
        for label, record in by_label.items():
            if label not in kept:
                by_item[record.item_id].append(record)
        for model_id in self.pending.to_make.models():
            for task in self.pending.to_make.tasks(model_id):
                end = "" if task.step is None else f"/{task.step}"
                alike = (each for each in by_item[task.item_id] if each.label.endswith(end))
                older = by_label.get(task.label) or next(alike, None)
                if older is not None and older.task_id != task.id:
                    yield task, older, _differences(older, task)


def _differences(older: Record, task: Task) -> dict[str, tuple[Any, Any]]:
    before = {"model": older.model_id, **_asked(older.request)}
    now = {"model": task.model_id, **_asked(task.request)}
    names = sorted(before.keys() | now.keys())
    return {
        name: (before.get(name), now.get(name))
        for name in names
        if before.get(name) != now.get(name)
    }


def _asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request in which the image of another task is that task, as before it was made."""
    return {
        name: {"task": value["task"]} if isinstance(value, dict) and "task" in value else value
        for name, value in request.items()
    }


def _tasks(count: int) -> str:
    return f"{count:,} task{'' if count == 1 else 's'}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else quoted(value, LONGEST_SHOWN)
