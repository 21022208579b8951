"""`batchgen plan`: what a run would make, what it costs and when it ends; nothing is called."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchgen.commands import options
from batchgen.commands.prices import usual_file
from batchgen.commands.run import choosing, job_and_selection
from batchgen.commands.streams import note, result
from batchgen.text import escaped, quoted, usd

if TYPE_CHECKING:
    from batchgen.commands.changes import Changed
    from batchgen.commands.ends import Ends
    from batchgen.commands.preview import Preview
    from batchgen.task import Task

FIRST = 3
"""Tasks that are shown in full."""
MOST_CHANGED = 20
"""Changed tasks that are shown; `--json` has up to `MOST_COMPARED`."""
MOST_COMPARED = 1_000
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
    from batchgen.commands.preview import preview
    from batchgen.plan import JobPlan
    from batchgen.runner import deadline_of

    chosen, selection = job_and_selection(job, given)
    seen = preview(JobPlan(chosen), selection)
    view = _View(seen=seen, price_file=given["prices"] or usual_file())
    if tasks:
        for fields in view.every_task():
            result(json.dumps(fields))
        return 0
    deadline = deadline_of(chosen.limits.until, given["max_duration"], datetime.now(UTC))
    ends = seen.ends(deadline)
    if as_json:
        result(json.dumps(view.to_json(ends, explain=explain)))
        return 0
    for text in (*seen.outline.warnings, *seen.pending.notices()):
        note(escaped(text))
    for line in view.lines(ends, explain=explain):
        result(line)
    return 0


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
        "price_usd": _number(task.price_usd),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """One plan, as a person or a program reads it."""

    seen: Preview
    price_file: Path | None
    """Of the user."""

    def _all_tasks(self) -> Iterable[Task]:
        """All tasks of the job, anew."""
        seen = self.seen
        return seen.plan.expand(random_seed_key=seen.random_seed_key, reseeds=seen.history.reseeds)

    def every_task(self) -> Iterator[dict[str, Any]]:
        """Every task of the job, as a program reads it."""
        for number, task in enumerate(self._all_tasks()):
            to_make = self.seen.pending.to_make.has(task.model_id, number)
            yield {**_fields(task), "to_make": to_make}

    def to_json(self, ends: Ends, *, explain: bool) -> dict[str, Any]:
        """One object."""
        outline, pending = self.seen.outline, self.seen.pending
        fields: dict[str, Any] = {
            "job": self.seen.job.name,
            "tasks": outline.tasks,
            "made": pending.earlier.succeeded,
            "filtered": pending.earlier.filtered,
            "to_make": len(pending.to_make),
            "cost_usd": _number(self._cost()),
            "simulated": self.seen.is_simulated,
            "price_file": None if self.price_file is None else str(self.price_file),
            "models": [
                {
                    "model_id": name,
                    "tasks": tasks,
                    "made": made,
                    "to_make": to_make,
                    "cost_usd": _number(price),
                }
                for name, tasks, made, to_make, price in self._by_model()
            ],
            "steps": [
                {
                    "step": step,
                    "model_id": name,
                    "tasks": tasks,
                    "made": pending.steps_made[step, name],
                    "to_make": pending.steps[step, name],
                }
                for (step, name), tasks in outline.models_of_steps.items()
            ],
            "derivatives": self._derivatives(),
            "stages": dict(outline.stages),
            "budget": self._budget(),
            **ends.to_json(),
            "first_tasks": [_fields(task) for task in self._first()],
            "longest_prompts": [
                {"characters": length, "label": label, "prompt": prompt}
                for length, label, prompt in outline.longest
            ],
            "warnings": [*outline.warnings, *pending.notices()],
        }
        if explain:
            fields["changed"] = [
                {
                    "label": each.task.label,
                    "id": each.task.id,
                    "older_id": each.older.task_id,
                    "fields": each.fields,
                }
                for each in islice(self._changed(), MOST_COMPARED)
            ]
        return fields

    def lines(self, ends: Ends, *, explain: bool) -> Iterator[str]:
        """A page for the terminal."""
        outline, pending = self.seen.outline, self.seen.pending
        if explain:
            yield "How the tasks come about, with the count after each stage:"
            for stage, count in outline.stages.items():
                yield f"  {stage:10} {count:>12,}"
        kind = " (simulated)" if self.seen.is_simulated else ""
        made = pending.earlier.done
        yield (
            f"{self.seen.job.name}: {_tasks(outline.tasks)}, {made:,} made already, "
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
        each = ", ".join(_of_each(**one) for one in derived["of_each"] if one["count"])
        if each:
            files = derived["files"]
            yield f"Derived files: {each}, {files:,} to make on this machine; they cost nothing."
        yield from self._money()
        yield f"Time: {ends.sentence()}."
        yield from self._samples()
        if explain:
            yield from self._explained()
        yield "Nothing was called or written."

    def _money(self) -> Iterator[str]:
        budget = self._budget()
        if budget is None:
            yield "Budget: none."
            return
        to_make = len(self.seen.pending.to_make)
        count = budget["covers"]
        covers = (
            "all of it" if count == to_make else f"about {count:,} tasks" if count else "no task"
        )
        left = usd(Decimal(str(budget["left_usd"])))
        why = "." if budget["shortage"] is None else f": {budget['shortage']}"
        yield f"Budget: {left} left, which covers {covers}{why}"

    def _derivatives(self) -> dict[str, Any]:
        """What is made of the images to make, without a call, by step.

        A job without steps counts as one step, whose name is None.
        """
        from batchgen.job import Steps

        of_each = {step: len(wanted) for step, wanted in Steps(self.seen.job).derived.items()}
        to_make: Counter[str | None] = Counter({None: len(self.seen.pending.to_make)})
        for (step, _), count in self.seen.pending.steps.items():
            to_make[step] += count
        return {
            "of_each": [{"step": step, "count": count} for step, count in of_each.items()],
            "files": sum(count * to_make[step] for step, count in of_each.items()),
            "cost_usd": 0.0,
        }

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
        if self.seen.outline.longest:
            yield "Longest prompts:"
        for length, label, prompt in self.seen.outline.longest:
            yield f"  {length:,} characters: {escaped(label)}: {quoted(prompt, LONGEST_SHOWN)}"

    def _changed(self) -> Iterator[Changed]:
        from batchgen.commands.changes import changed_tasks

        return changed_tasks(self.seen, self._all_tasks())

    def _explained(self) -> Iterator[str]:
        changed = list(islice(self._changed(), MOST_CHANGED + 1))
        if not changed:
            yield "No task is to be made again because something of it changed."
            return
        yield "To be made again, for these changed since an older record of the same item:"
        for each in changed[:MOST_CHANGED]:
            yield f"  {escaped(each.task.label)}: {', '.join(map(escaped, each.fields))}"
            for name, (old, new) in each.fields.items():
                yield f"    {escaped(name)}: {_shown(old)} -> {_shown(new)}"
        if len(changed) > MOST_CHANGED:
            yield "  ... and more; --json has them."

    def _by_model(self) -> Iterator[tuple[str, int, int, int, Decimal | None]]:
        """Model, its tasks, how many are made, how many are to be made, and what these cost."""
        to_make, made = self.seen.pending.to_make.models(), self.seen.pending.succeeded.models()
        for each in self.seen.outline.models:
            count = to_make.get(each.model_id, 0)
            yield (
                each.model_id,
                each.tasks,
                made.get(each.model_id, 0),
                count,
                self.seen.pending.price_of(each),
            )

    def _cost(self) -> Decimal | None:
        prices = [price for *_, price in self._by_model()]
        known = [price for price in prices if price is not None]
        return sum(known, Decimal(0)) if len(known) == len(prices) else None

    def _budget(self) -> dict[str, Any] | None:
        """What may be spent, and how many of the tasks to make that covers."""
        seen, cost, left = self.seen, self._cost(), self.seen.budget_left_usd
        if left is None or cost is None:
            return None
        limits, to_make, short = seen.job.limits, len(seen.pending.to_make), seen.shortage
        covers = to_make if left >= cost else math.floor(left * to_make / cost)
        return {
            "budget_usd": _number(limits.budget_usd),
            "run_budget_usd": _number(limits.run_budget_usd),
            "spent_usd": float(seen.history.accounts[seen.is_simulated]),
            "left_usd": float(left),
            "covers": covers if short is None else 0,
            "shortage": short,
        }

    def _first(self) -> Iterator[Task]:
        """The first tasks to make, of each model in turn."""
        tasks = (
            task
            for model_id in self.seen.pending.to_make.models()
            for task in islice(self.seen.pending.to_make.tasks(model_id), FIRST)
        )
        return islice(tasks, FIRST)


def _number(amount: Decimal | None) -> float | None:
    """An amount of money as JSON has it."""
    return None if amount is None else float(amount)


def _of_each(step: str | None, count: int) -> str:
    return f"{count} of each image{'' if step is None else f' of {step}'}"


def _tasks(count: int) -> str:
    return f"{count:,} task{'' if count == 1 else 's'}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else quoted(value, LONGEST_SHOWN)
