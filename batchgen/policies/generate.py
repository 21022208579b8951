"""One attempt of one task: build the body, call, read the reply, store the image."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pybase64

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.bedrock import Answer, Service
from batchgen.errors import Filtered, InputChanged, ServiceFault, UnusableReply
from batchgen.job import InputGone, InputImages
from batchgen.models import FAMILIES, Reply, ReplyError, speaks_of_output
from batchgen.output import COMPUTING, BrokenImage, Saving, Store, in_thread, inspect_image
from batchgen.policies.labelling import Labelling
from batchgen.task import Task, is_step_image


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a reply holds that is worth storing, on its way to the disk."""

    finish_reasons: tuple[str | None, ...]
    images: tuple[Saving, ...]
    problems: tuple[str, ...]
    """Why images are stored as they came."""


def generate_with(
    service: Service, store: Store, images: InputImages, labelling: Labelling
) -> Generate:
    """The innermost `Generate`: with these inputs, against this service, into this store."""
    made = InputImages(store.folder)

    async def generate(attempt: Attempt) -> Generation:
        task, call = attempt.task, attempt.call
        name = f"{task.id}-{attempt.number}"
        try:
            answer = await service.invoke(call.model_id, await _body(call, images, made))
        except UnusableReply as error:  # larger than a reply can be
            try:
                await store.keep_unusable(name, error.body)
            finally:
                error.release()
            raise
        try:
            return await keep(attempt, answer, name)
        finally:
            answer.release()

    async def keep(attempt: Attempt, answer: Answer, name: str) -> Generation:
        """The images of an answer, stored."""
        task = attempt.task
        try:
            kept = await in_thread(_keep, attempt, answer, labelling, store)
        except (Filtered, ServiceFault):
            raise
        except Exception:  # an unusable one, or a fault of ours: it was paid for in either case
            await store.keep_unusable(name, answer.body)
            raise
        for problem in kept.problems:
            labelling.tell(task.label, problem)
        return Generation(
            images=tuple([await store.finish(saving) for saving in kept.images]),
            finish_reasons=kept.finish_reasons,
            request_id=answer.request_id,
            latency_ms=answer.latency_ms,
        )

    return generate


async def _body(call: Task, images: InputImages, made: InputImages) -> bytes:
    """The body as it is sent: each image that the request names, in base64.

    Args:
        call: what is sent.
        images: the files that the job names.
        made: the images of the output, for those that are another task's.

    Raises:
        InputChanged: a file is gone, or is not the one that was planned.
    """
    named = FAMILIES[call.family].IMAGE_PARAMETERS & call.request.keys()
    if not named:
        return json.dumps(call.request).encode()
    try:
        return await in_thread(_with_images, call, sorted(named), images, made)
    except InputGone as error:
        raise InputChanged(str(error), code="InputChanged") from error


def _with_images(call: Task, names: list[str], images: InputImages, made: InputImages) -> bytes:
    """Reads, hashes and encodes some megabytes: milliseconds that belong into a thread."""
    sent = {}
    for name in names:
        image = call.request[name]
        data = (made if is_step_image(image) else images).read(image)
        sent[name] = pybase64.b64encode_as_string(data)
    return json.dumps({**call.request, **sent}).encode()


def _stem(task: Task, index: int) -> str:
    """The first image takes the task's name; one that nobody asked for gets a number."""
    return task.file_stem if index == 0 else f"{task.file_stem}~{index + 1}"


def _keep(attempt: Attempt, answer: Answer, labelling: Labelling, store: Store) -> _Kept:
    """Parse and check a reply, label its images and write them; blocks, for as long as the disk.

    All in one thread, for a change of threads costs more than most of these steps.

    Raises:
        Filtered: moderation refused it.
        ServiceFault: the service says that generation failed.
        UnusableReply: nothing in it can be kept.
    """
    with COMPUTING:
        reply = _good(attempt, answer)
        try:
            images = [(image, inspect_image(image.data)) for image in reply.images]
        except BrokenImage as error:
            raise _unusable(str(error), answer) from error
        written = [labelling.write(attempt, answer, *image) for image in images]
    task = attempt.task
    return _Kept(
        finish_reasons=reply.finish_reasons,
        images=tuple(
            store.begin(_stem(task, index), task.id, each.image, each.inspected)
            for index, each in enumerate(written)
        ),
        problems=tuple(each.problem for each in written if each.problem is not None),
    )


def _good(attempt: Attempt, answer: Answer) -> Reply:
    """The reply, if it has images; raises as `_keep` does."""
    try:
        reply = FAMILIES[attempt.call.family].parse(answer.body)
    except ReplyError as error:
        raise _unusable(str(error), answer) from error
    if reply.filtered:
        raise Filtered(
            _said(reply),
            code="Filtered",
            finish_reasons=reply.finish_reasons,
            image_came=reply.withheld > 0 or any(map(speaks_of_output, reply.finish_reasons)),
            request_id=answer.request_id,
        )
    if reply.inference_error:
        raise ServiceFault(_said(reply), code="InferenceError", request_id=answer.request_id)
    return reply


def _said(reply: Reply) -> str:
    return "; ".join(reason for reason in reply.finish_reasons if reason) or "no reason given"


def _unusable(text: str, answer: Answer) -> UnusableReply:
    return UnusableReply(text, body=answer.body, request_id=answer.request_id)
