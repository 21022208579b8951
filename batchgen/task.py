"""The value that travels from the plan to the call: one image to make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

ID_VERSION = "1"
"""Changes whenever `task_id` would give another id for the same request."""
DIGEST = 16
"""Bytes of a hash that an id shows as twice as many hexadecimal digits."""
_PREFIX = f"{ID_VERSION}-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One call to make. Equal requests to one model have equal ids, whatever else differs."""

    id: str
    """`task_id(model_id, request)`."""
    label: str
    """For people: `mug-blue/studio/1`."""
    item_id: str
    variant: int
    """1-based."""
    vars: Mapping[str, str]
    """The variables that the placeholders took, for the manifest."""
    model_id: str
    """As the job names it: a model id, an inference profile or an ARN. What the call is sent to."""
    family: str
    """The key of its module in `models.FAMILIES`."""
    request: Mapping[str, Any]
    """The exact body to send, seed included where the model takes one; an input image stands in it
    as `{"path": ..., "sha256": ...}` until the call, and one of another task as `{"task": ID}`, and
    these two once that task is made."""
    seed: int
    file_stem: str
    """Path of the image below the output, with `/` and without an extension: `images/mug-1`."""
    image_format: str
    """The format asked for: `png`, `jpeg` or `webp`."""
    price_usd: Decimal | None
    """Price of one call; None if unknown."""
    fallback: tuple[str, ...] = ()
    """Models that may make it in place of its own, in this order."""
    fallback_prompt: str | None = None
    """What to ask for when moderation refused the request."""
    step: str | None = None
    """Of the chain; None for a job without steps."""
    number: int = 0
    """Running index in the plan; for a job with steps alone."""
    chain: int = 0
    """Running index of the first task of its chain."""
    parents: Mapping[str, int] = field(default_factory=dict)
    """Image parameter -> running index of the task whose image it takes."""
    original: Mapping[str, str | None] | None = None
    """The fields of `record.Original`, for an image that is made again."""


def task_id(model_id: str, request: Mapping[str, Any]) -> str:
    """A stable id of this request to this model: a version, a dash and 32 hexadecimal digits.

    A pure function of its arguments: the order of keys, of items and of files does not change it.
    An input image counts by its `sha256` alone, wherever the file lies, and one of another task by
    the id of that task.
    """
    text = _canonical([model_id, _by_hash(request)])
    return expanded(hashlib.sha256(text.encode("ascii")).digest()[:DIGEST])


class SeededId:
    """`task_id` of requests that differ in their seed alone; `request` has a `seed` at its top."""

    __slots__ = ("_form", "_hash", "after", "before")

    def __init__(self, model_id: str, request: Mapping[str, Any]) -> None:
        self.before, self.after = _around_seed(model_id, request)
        """What stands before and after the seed in the canonical form."""
        self._hash = hashlib.sha256(self.before.encode())
        self._form = b"%d" + self.after.encode().replace(b"%", b"%%")

    def compact(self, seeds: Iterable[int]) -> Iterator[bytes]:
        """The compact id of the request with each of these seeds."""
        copy, form = self._hash.copy, self._form
        for seed in seeds:
            digest = copy()
            digest.update(form % seed)
            yield digest.digest()[:DIGEST]

    def of(self, seed: int) -> str:
        """The `task_id` of the request with this seed."""
        return expanded(next(self.compact((seed,))))


def _around_seed(model_id: str, request: Mapping[str, Any]) -> tuple[str, str]:
    request = _by_hash(request)
    text = _canonical([model_id, request])
    # Quotes inside a text are escaped, so only a key looks like this: ours, or one deeper down.
    before, _, after = text.partition(f'"seed":{request["seed"]}')
    if '"seed":' not in after:
        return f'{before}"seed":', after
    earlier = {key: value for key, value in request.items() if key < "seed"}
    later = {key: value for key, value in request.items() if key > "seed"}
    head = f'{_canonical([model_id, earlier])[:-2]}{"," if earlier else ""}"seed":'
    return head, f",{_canonical(later)[1:]}]" if later else "}]"


def _by_hash(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request with each input image as its hash; a file that moved is the same image."""
    images = [name for name, value in request.items() if is_input_image(value)]
    if not images:
        return request
    return {**request, **{name: _counted(request[name]) for name in images}}


def _counted(image: Mapping[str, Any]) -> Mapping[str, Any]:
    key = "task" if "task" in image else "sha256"
    return {key: image[key]}


IMAGE_KEYS = ({"path", "sha256"}, {"task", "path", "sha256"})


def is_input_image(value: Any) -> bool:
    """Whether a value of a request names an image by `path` and `sha256`, perhaps of a `task`."""
    return isinstance(value, dict) and value.keys() in IMAGE_KEYS


def is_step_image(value: Any) -> bool:
    """Whether a value of a request names the image of another task, made or not."""
    return isinstance(value, dict) and value.keys() in ({"task"}, IMAGE_KEYS[1])


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def compact(task_id: str) -> bytes:
    """A task id in fewer bytes, for a million of them: its 16 for one of the present version."""
    if len(task_id) == len(_PREFIX) + 2 * DIGEST and task_id.startswith(_PREFIX):
        try:
            return bytes.fromhex(task_id[len(_PREFIX) :])
        except ValueError:
            pass
    return task_id.encode(errors="replace")


def expanded(digest: bytes) -> str:
    """The task id whose compact form these 16 bytes are."""
    return f"{_PREFIX}{digest.hex()}"
