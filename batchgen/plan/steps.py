"""Chains of steps: whose image each planned step takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchgen.job import Complaints, Expansion, Job, Reference, Row, references
from batchgen.models import FAMILIES, InputImage, Model
from batchgen.plan.item import Parent, PlannedItem
from batchgen.text import quoted

Plan = Callable[[Row], PlannedItem | None]


class StepParents:
    """Finds the planned step whose image another one takes, for one walk through a job."""

    def __init__(self, job: Job, found: Complaints, variants: Callable[[Row], int]) -> None:
        """Nothing is looked at yet.

        Args:
            job: with or without steps.
            found: takes what is wrong.
            variants: how many tasks a row makes.
        """
        self._job = job
        self._found = found
        self._variants = variants
        self._chain: Sequence[Row] = ()
        self._planned: dict[str, PlannedItem | None] = {}
        """Step -> what it makes, of the present chain."""
        self._anchors: dict[str, list[tuple[Row, int]]] | None = None
        """Item -> the first row of each of its chains, and its running index."""
        self._of_anchors: dict[tuple[str, str], PlannedItem | None] = {}

    def parents(self, row: Row, plan: Plan, model: Model) -> dict[str, Parent] | None:
        """Image parameter -> whose image it takes; None if one of them cannot be made.

        Args:
            row: of a step.
            plan: plans a row.
            model: of the row: only its image parameters name steps.
        """
        if row.step is None:
            return {}
        found: dict[str, Parent] = {}
        for name, taken in references(row.step).items():
            if name not in FAMILIES[model.family].IMAGE_PARAMETERS:
                continue
            parent = (
                self._of_item(row, taken, plan)
                if taken.item is None
                else self._of_anchor(row, name, taken, plan)
            )
            if parent is None:
                return None
            found[name] = parent
            self._judge_size(row, name, taken, parent, model)
        return found

    def _judge_size(
        self, row: Row, name: str, taken: Reference, parent: Parent, model: Model
    ) -> None:
        """Complain of an image that is certain to be none that the model takes."""
        size, parameter = size_of(parent.planned), model.parameters.get(name)
        if size is None or parameter is None:
            return
        made = InputImage(taken.text, "", size=size, file_format="png", file_bytes=1)
        for problem in parameter.check((name,), made):
            self._found.add((*row.step_at, "parameters", name), problem.text)

    def note(self, row: Row, planned: PlannedItem | None) -> None:
        """Keep what a row makes, for those of its chain that take its image."""
        self._begin(row)
        self._planned[row.step_id or ""] = planned

    def _begin(self, row: Row) -> None:
        if row.chain is not self._chain:
            self._chain, self._planned = row.chain, {}

    def _of_item(self, row: Row, taken: Reference, plan: Plan) -> Parent | None:
        self._begin(row)
        place = _place(row.chain, taken.step)
        own = row.chain.index(row)
        if place is None or place >= own:  # unknown, or a circle: the job's complaint
            return None
        if taken.step not in self._planned:
            self._planned[taken.step] = plan(row.chain[place])
        planned = self._planned[taken.step]
        if planned is None:
            return None
        start = (place - own) * self._variants(row)
        return Parent(planned=planned, start=start, is_anchor=False)

    def _of_anchor(self, row: Row, name: str, taken: Reference, plan: Plan) -> Parent | None:
        rows = self._find_anchors().get(taken.item or "", [])
        place = _place(row.chain, taken.step)
        if place is None or place >= row.chain.index(row):
            return None
        if len(rows) != 1:
            many = f"names {len(rows)} combinations of the matrix: exclude all but one of them"
            text = many if rows else self._why_none(taken.item)
            at = (*row.step_at, "parameters", name)
            self._found.add(at, f"{quoted(taken.text)} {text}")
            return None
        first, start = rows[0]
        key = (taken.item or "", taken.step)
        if key not in self._of_anchors:
            self._of_anchors[key] = plan(first.chain[place])
        planned = self._of_anchors[key]
        if planned is None:
            return None
        start += place * self._variants(first)
        return Parent(planned=planned, start=start, is_anchor=True)

    def _why_none(self, item: str | None) -> str:
        job = self._job
        if any(each.id == item for each in job.items):
            return "names an item that exclude or sample leaves out"
        is_cut = bool(job.exclude) or job.sample is not None
        return "names no item of the job" + (" that exclude and sample leave" if is_cut else "")

    def _find_anchors(self) -> dict[str, list[tuple[Row, int]]]:
        """The rows of the anchors, which stand before all others."""
        if self._anchors is None:
            self._anchors, number = {}, 0
            rows = Expansion(self._job, Complaints())
            wanted = rows.steps.anchors
            for row in rows:
                if row.item.id not in wanted:
                    break
                if row is row.chain[0]:
                    self._anchors.setdefault(row.item.id, []).append((row, number))
                number += self._variants(row)
        return self._anchors


def size_of(planned: PlannedItem) -> tuple[int, int] | None:
    """Width and height, in pixels, of what a step makes; None where its request does not tell."""
    scale = planned.model.scale
    if scale is None and "width" not in planned.model.parameters:
        return None
    request = planned.request(1)
    if scale is None:
        parts = planned.family.parts(request)
        return parts.shape if parts.is_exact_size else None
    parent, image = planned.parents.get("image"), request.get("image")
    size = image.size if isinstance(image, InputImage) else parent and size_of(parent.planned)
    return (size[0] * scale, size[1] * scale) if size else None


def _place(chain: Sequence[Row], step: str) -> int | None:
    """Where a step stands in a chain."""
    places = (place for place, row in enumerate(chain) if row.step and row.step.id == step)
    return next(places, None)
