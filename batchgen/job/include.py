"""Shared defaults: other YAML files below a job file, merged key by key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as File
from typing import Any

from batchgen.errors import Complaint, JobError
from batchgen.job import yaml_document
from batchgen.job.complaints import Complaints
from batchgen.job.yaml_document import Document
from batchgen.text import quoted

KEY = "include"
MOST_FILES = 50
"""Of one job."""


def with_includes(document: Document) -> Document:
    """The document with all that it includes below it.

    Mappings are merged key by key; of any other two values that of the including file counts, and
    of two included files the later one. A path counts from the file that it stands in.

    Raises:
        JobError: a file cannot be read, or includes itself.
    """
    if not isinstance(document.value, dict) or KEY not in document.value:
        return document
    reading = _Reading()
    value = reading.read(document, (_resolved(document),))
    if reading.wrong:
        # The files are read by whose values count: the last one of a list comes first.
        own, others = document.source.file, dict.fromkeys(reading.wrong[::-1])
        told = (replace(each, file=None if each.file == own else each.file) for each in others)
        raise document.source.error(Complaints((*document.complaints, *told)).listed())
    parts = reading.documents
    digest = hashlib.sha256("".join(each.source.sha256 for each in parts).encode("ascii"))
    included = tuple(each.source for each in parts[1:])
    return replace(
        document,
        value=value,
        source=replace(
            document.source,
            sha256=digest.hexdigest(),
            included=included,
            warnings=tuple(text for each in parts for text in each.source.warnings),
        ),
        complaints=(
            *document.complaints,
            *(
                replace(complaint, file=each.source.file)
                for each in parts[1:]
                for complaint in each.complaints
            ),
        ),
    )


@dataclass(slots=True)
class _Reading:
    """Reads the files of one job; `documents` has them by whose values count."""

    documents: list[Document] = field(default_factory=list)
    wrong: list[Complaint] = field(default_factory=list)
    """What is wrong with files that cannot be included; each is told."""

    def read(self, document: Document, above: tuple[File, ...]) -> Any:
        """The value of a document with what it includes; `above` are the files on the way to it."""
        self.documents.append(document)
        if not isinstance(document.value, dict):
            text = "an included file is a mapping of keys, as a job file is"
            raise JobError(document.source.file, (Complaint(path=(), text=text),))
        own = dict(document.value)
        names = own.get(KEY, [])
        if len(above) > 1:
            own.pop(KEY, None)
        merged: Any = {}
        for name in reversed(list(_names(names))):
            try:
                merged = _merged(self._included(document, name, above), merged)
            except JobError as error:
                self.wrong += (
                    replace(each, file=each.file or error.file) for each in error.complaints
                )
        return _merged(merged, own)

    def _included(self, document: Document, name: str, above: tuple[File, ...]) -> Any:
        path = File(document.source.file).parent / name
        try:
            found = yaml_document.read(path, needs="an included file is a mapping of keys")
        except JobError as error:
            if path.is_file():
                raise
            raise _refusal(document, f"{quoted(name, 200)}: {error.complaints[0].text}") from error
        resolved = _resolved(found)
        if resolved in above:
            way = " -> ".join(quoted(each.name, 200) for each in (*above, resolved))
            raise _refusal(document, f"the files include each other: {way}")
        if len(self.documents) >= MOST_FILES:
            raise _refusal(document, f"a job has {MOST_FILES} files at most")
        return self.read(found, (*above, resolved))


def _names(value: Any) -> Iterator[str]:
    """The files that are named; what is wrong with them, the validation of the job says."""
    listed: Sequence[Any] = value if isinstance(value, list) else [value]
    return (each for each in listed if isinstance(each, str) and each)


def _resolved(document: Document) -> File:
    return File(document.source.file).resolve()


def _refusal(document: Document, text: str) -> JobError:
    return document.source.error((Complaint(path=(KEY,), text=text),))


def _merged(below: Any, above: Any) -> Any:
    """Both values, of which the second counts where they meet."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    both = {**below, **above}
    return both | {key: _merged(below[key], above[key]) for key in below.keys() & above.keys()}
