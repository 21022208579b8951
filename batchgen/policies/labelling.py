"""What the file of each image of a run says of itself, as its job orders."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version

from batchgen.attempt import Attempt
from batchgen.bedrock import Answer
from batchgen.job import Complaints, Job
from batchgen.models import FAMILIES, Artifact
from batchgen.output import (
    Asked,
    CredentialsUnusable,
    Inspected,
    Label,
    Provenance,
    Signer,
    SourceType,
    hash_pixels,
    labelled,
    open_signer,
    read_embedded,
    read_structure,
)
from batchgen.record import is_simulated, utc_now
from batchgen.task import Task
from batchgen.text import escaped, shortened

log = logging.getLogger(__name__)

MOST_TOLD = 10
"""Reasons that one run tells of."""
TOLD_APART = ("prompt", "negative_prompt", "seed")
"""Keys of a request that a provenance names by themselves."""
FOREIGN = (
    "it came with Content Credentials of its own, which any change breaks. Others like it are not "
    "told of."
)


@dataclass(frozen=True, slots=True)
class Written:
    """An image as its file is to hold it."""

    image: Artifact
    inspected: Inspected
    problem: str | None = None
    """Why it is stored as it came."""


class Labelling:
    """Writes labels into the images of one run."""

    def __init__(self, job: Job, run_id: str, notify: Callable[[str], None]) -> None:
        """For a job.

        Args:
            job: with the metadata that it orders.
            run_id: of the run.
            notify: told, once for each reason, of an image that took no label.
        """
        self._job = job
        self._level = job.metadata.level
        self._is_simulated = is_simulated(job.endpoint)
        self._run_id = run_id
        self._notify = notify
        self._told: set[str] = set()
        self._signer: Signer | None = None

    def prepare(self) -> None:
        """Prove, before anything is paid for, that certificate and key can sign; blocks.

        Raises:
            JobError: they cannot.
        """
        files = self._job.metadata.content_credentials
        if files is None:
            return
        folder = self._job.folder
        try:
            self._signer = open_signer(folder / files.certificate, folder / files.key)
        except CredentialsUnusable as error:
            complaints = Complaints()
            complaints.add(("metadata", "content_credentials"), escaped(str(error)))
            raise complaints.error(self._job) from error

    def write(
        self, attempt: Attempt, answer: Answer, image: Artifact, inspected: Inspected
    ) -> Written:
        """Write what the job orders; several threads may do so at once.

        An image that takes no label was paid for all the same, and stays as it came. Takes some
        60 ms for 1.5 MB, most of it for the hash of the pixels.
        """
        if self._level == "none":
            return Written(image, inspected)
        try:
            found = read_embedded(io.BytesIO(image.data))
            if found is not None and found.has_credentials:
                return Written(image, inspected, FOREIGN)
            label = self._label(attempt, answer, image, inspected)
            data = labelled(image.data, inspected, label)
            if self._signer is not None:
                data = self._signer.signed(data, inspected.format, label)
            read_structure(data)
            pixels = hash_pixels(image.data) if inspected.is_decoded else None
        except Exception as error:  # a fault of ours must not lose what was paid for
            log.debug("no label", exc_info=error)
            return Written(image, inspected, f"{error}. Others like it are not told of.")
        now = replace(
            inspected,
            sha256=hashlib.sha256(data).hexdigest(),
            received_sha256=inspected.sha256,
            pixels_sha256=pixels,
        )
        return Written(replace(image, data=data), now)

    def tell(self, label: str, problem: str) -> None:
        """Say once for each reason that an image stays as it came."""
        if problem not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(problem)
            self._notify(
                f"An image of {escaped(label)} is stored as it came, without the metadata that the "
                f"job orders: {escaped(shortened(problem))}"
            )

    def _label(
        self, attempt: Attempt, answer: Answer, image: Artifact, inspected: Inspected
    ) -> Label:
        call = attempt.call
        is_given = bool(FAMILIES[call.family].IMAGE_PARAMETERS & call.request.keys())
        is_full = self._level == "full"
        told = self._provenance(attempt, answer, image) if is_full else None
        return Label(
            creator_tool=_creator_tool(),
            created_at=utc_now(),
            source_type=SourceType.EDITED if is_given else SourceType.GENERATED,
            received_sha256=inspected.sha256,
            model=call.model_id,
            seed=call.seed,
            provenance=None if told is None else told.model_dump(mode="json"),
        )

    def _provenance(self, attempt: Attempt, answer: Answer, image: Artifact) -> Provenance:
        task, call, sent = attempt.task, attempt.call, attempt.state.sent
        prompt, negative_prompt = texts_of(call)
        request = dict(call.request)
        return Provenance(
            prompt=prompt,
            negative_prompt=negative_prompt,
            model=call.model_id,
            seed=call.seed,
            parameters={key: each for key, each in request.items() if key not in TOLD_APART},
            task_id=task.id,
            label=task.label,
            item_id=task.item_id,
            vars=dict(task.vars),
            run_id=self._run_id,
            attempt=attempt.number,
            region=None if sent is None else sent.target.region,
            simulated=self._is_simulated,
            started_at=None if sent is None else sent.at,
            request_id=answer.request_id,
            latency_ms=answer.latency_ms,
            finish_reason=image.finish_reason,
            request=request,
            asked=_asked(attempt),
        )


def texts_of(call: Task) -> tuple[str | None, str | None]:
    """Prompt and negative prompt of what is sent; several texts of one kind are joined."""
    texts = FAMILIES[call.family].parts(call.request).texts
    wanted = [text for text, weight in texts if weight > 0]
    unwanted = [text for text, weight in texts if weight < 0]
    return "; ".join(wanted) or None, "; ".join(unwanted) or None


def _asked(attempt: Attempt) -> Asked | None:
    """What the task asks for, where something else was sent."""
    task = attempt.task
    if attempt.substitute is None:
        return None
    return Asked(
        reason=attempt.substitute.reason,
        model=task.model_id,
        seed=task.seed,
        request=dict(task.request),
    )


@cache
def _creator_tool() -> str:
    return f"batchgen {version('batchgen')}"
