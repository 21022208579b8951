"""Everything that can go wrong, as one tree; what to do about it is decided elsewhere.

BatchgenError                   the base; its text is a sentence for a person
├── InputError                  usage, job file, data file or manifest cannot be used (exit 2)
│   ├── JobError                carries every complaint about a job file
│   └── ManifestError
├── ServiceUnusable             no call can succeed: credentials, access, Region (exit 4)
├── OutputBusy                  another run holds the output (exit 6)
├── StorageError                the disk: full, read-only, broken; can be resumed (exit 3)
│   └── OutputUnusable          the output takes no files from the start (exit 2)
├── NotStarted                  the run is stopping; the attempt was never sent, the task stays open
└── AttemptError                one attempt of one call brought no image we keep
    ├── NeverSent               nothing reached the service: not billed
    ├── Throttled               429: the quota; not billed
    ├── Unavailable             503 and "not ready": capacity; not billed
    ├── CredentialsRefused      expired or wrong credentials, or a wrong clock; not billed
    ├── RouteDenied             one route denies the model and others are left; not billed
    ├── Ambiguous               the call may have been billed
    │   ├── AnswerLost          sent, and no whole answer came: timeout, reset, cut or stalled body
    │   ├── ServiceFault        the service says that it failed: 5xx, 408, 424, "Inference error"
    │   └── UnusableReply       HTTP 200 with nothing we can keep; carries the bytes that came
    ├── BatchgenFault           a fault in batchgen itself, met at one task
    ├── Filtered                the service's moderation refused it
    └── Permanent               the same call will never succeed; not billed
        ├── Rejected            the request is wrong
        ├── InputChanged        an input image is not the one that was planned; nothing was sent
        └── ModelDenied         the model cannot be used: access, not found, end of life
            ├── Misconfigured   no call can be sent: a certificate, a port's TLS, a proxy
            ├── QuotaExhausted  the quota of a day or a month is used up; its tasks stay open
            └── NoRoute         no route is left that serves it; nothing was sent
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from batchgen.text import LONGEST_CODE, dotted, shortened, without_addresses, without_passwords


class ExitCode(IntEnum):
    """How a command ends, by the contract with users."""

    DONE = 0
    """Every task succeeded, now or in an earlier run."""
    INCOMPLETE = 1
    """Finished, but some tasks failed or were filtered."""
    USAGE = 2
    """Wrong usage, or a job, data file, manifest or output that cannot be used."""
    RESUMABLE = 3
    """Stopped early; the same command goes on."""
    SERVICE = 4
    """The service cannot be used: credentials, access, Region, end of life."""
    DIFFERENT = 5
    """`verify`, `show` or `reproduce` found what is not as the manifest says."""
    BUSY = 6
    """Another run holds the output."""
    FAULT = 70
    """A fault in batchgen itself."""
    INTERRUPTED = 130
    TERMINATED = 143


class BatchgenError(Exception):
    """Base of everything that batchgen raises on purpose; its text is one sentence for a person."""


class InputError(BatchgenError):
    """The command line, a job file, a data file or a manifest cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One thing that is wrong with a job file."""

    path: tuple[str | int, ...]
    """Where in the document: keys and list indices from its root; empty for the whole file."""
    text: str
    """What is wrong, the value, what is allowed and the nearest name: one sentence, no position."""
    line: int | None = None
    """1-based line in the file; None until the document's source has been asked."""
    column: int | None = None
    """1-based, where the file is not YAML."""
    excerpt: str = ""
    """That line with a caret below."""
    file: str | None = None
    """Where it stands, if not in the job file itself."""


class JobError(InputError):
    """A job file cannot be used; `complaints` lists all that is wrong with it."""

    def __init__(self, file: str, complaints: tuple[Complaint, ...]) -> None:
        self.file = file
        self.complaints = complaints
        super().__init__("\n".join(map(self.said, complaints)))

    def to_json(self) -> list[dict[str, object]]:
        """The complaints, as a program reads them."""
        return [
            {
                "file": each.file or self.file,
                "line": each.line,
                "column": each.column,
                "key": dotted(each.path) or None,
                "text": each.text,
            }
            for each in self.complaints
        ]

    def said(self, complaint: Complaint) -> str:
        """One complaint with its place, as a person reads it."""
        place = [complaint.file or self.file, complaint.line, complaint.column]
        where = ":".join(str(part) for part in place if part is not None)
        key = dotted(complaint.path)
        said = f"{where}: {key}: {complaint.text}" if key else f"{where}: {complaint.text}"
        return f"{said}\n{complaint.excerpt}" if complaint.excerpt else said


class ManifestError(InputError):
    """A manifest cannot be read or does not belong to this job."""


class ServiceUnusable(BatchgenError):
    """Every further call is pointless until a person changes credentials, access or Region."""


class OutputBusy(BatchgenError):
    """Another run holds this output."""


class StorageError(BatchgenError):
    """The disk failed us; what is already durable stays, and the run can be resumed."""


class OutputUnusable(StorageError):
    """The output cannot be written from the start: nothing was called, and a person must act."""


class NotStarted(BatchgenError):
    """The run is stopping: this attempt was never sent and its task stays open."""


class AttemptError(BatchgenError):
    """One attempt brought no image we keep."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        advice: str = "",
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = shortened(without_passwords(without_addresses(message)))
        """What happened, in the service's or the network's own words."""
        super().__init__(self.message)
        self.code = shortened(code, LONGEST_CODE)
        """The service's error code, or the name of the local exception."""
        self.advice = advice
        """One sentence of what a person can do; empty where there is nothing to do."""
        self.request_id = None if request_id is None else shortened(request_id, LONGEST_CODE)
        self.retry_after = retry_after
        """Seconds to wait before the next call, where the service or a proxy asks for that."""


class NeverSent(AttemptError):
    """Nothing reached the service: DNS, refused, a broken handshake, connect timeout."""


class Throttled(AttemptError):
    """The account's quota rejected the call (HTTP 429)."""


class Unavailable(AttemptError):
    """The service has no capacity for the call now (HTTP 503, or a model that is not ready)."""


class CredentialsRefused(AttemptError):
    """The service did not accept the signature: expired or wrong credentials, or a wrong clock."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        advice: str = "",
        request_id: str | None = None,
        clock_skew: float | None = None,
    ) -> None:
        super().__init__(message, code=code, advice=advice, request_id=request_id)
        self.clock_skew = clock_skew
        """Seconds by which this machine's clock is ahead of the service's; None: not known."""


class RouteDenied(AttemptError):
    """One route of the job denies the model, and others are left that may serve it."""


class Ambiguous(AttemptError):
    """The call may have been billed although no usable answer came."""


class AnswerLost(Ambiguous):
    """The request was sent, or may have been, and no whole answer came back."""


class ServiceFault(Ambiguous):
    """The service says that it failed: 500, 502, 504, 408, 424 or "Inference error"."""


def _nothing() -> None:
    """What a body whose memory nobody counts has to release."""


class UnusableReply(Ambiguous):
    """An HTTP 200 whose body holds nothing we can keep; the body is kept, for it was paid for."""

    def __init__(self, message: str, *, body: bytes, request_id: str | None = None) -> None:
        super().__init__(message, code="UnusableReply", request_id=request_id)
        self.body = body
        self.release: Callable[[], object] = _nothing
        """To be called when the body is stored: other replies wait for the memory it takes."""


class BatchgenFault(AttemptError):
    """A fault in batchgen itself that one task met; please report it."""


class Filtered(AttemptError):
    """The service's moderation refused the prompt or the image; never retried by itself."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        finish_reasons: tuple[str | None, ...] = (),
        image_came: bool = False,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, code=code, request_id=request_id)
        self.finish_reasons = finish_reasons
        """The service's own words, one for each artifact of the reply; empty for an HTTP 400."""
        self.image_came = image_came
        """Whether an image stood beside the reason, or it speaks of one: assumed paid for."""


class Permanent(AttemptError):
    """The same call will never succeed."""


class Rejected(Permanent):
    """The service says that the request is wrong."""


class InputChanged(Permanent):
    """An unsent input image is gone, not the planned one, or not what the model takes."""


class ModelDenied(Permanent):
    """The model cannot be used: no access, not found, past its end of life, no way to trust."""


class QuotaExhausted(ModelDenied):
    """The account's quota of the model is used up for longer than a run waits: a day, say."""


class Misconfigured(ModelDenied):
    """No call can be sent as this machine is set up: a certificate, a port's TLS, a proxy."""


class NoRoute(ModelDenied):
    """No route of the job is left that serves the model: nothing was sent."""
