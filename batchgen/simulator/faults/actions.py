"""Every action that a directive can name, with the stage of a call that it acts on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from batchgen.simulator.calls import Finish
from batchgen.simulator.errors import END_OF_LIFE, ERRORS, INVALID_MODEL
from batchgen.simulator.families.sdxl import FILTERED_WORDS

from .replies import ALTERATIONS

if TYPE_CHECKING:
    from batchgen.simulator.calls import Result

    from .directives import Directive


class Stage(IntEnum):
    """Where in a call an action has its place; of each stage at most one acts on a call."""

    REFUSAL = 1
    """Instead of a generation, an error; not charged unless the directive says so."""
    JUDGEMENT = 2
    """How the generation ends."""
    ALTERATION = 3
    """What the reply says of a finished generation."""
    BODY = 4
    """The bytes of the reply."""
    DELIVERY = 5
    """How the bytes are sent."""
    CLOCK = 6
    """The `Date` header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that can go wrong."""

    stage: Stage
    text: str
    """What it does, for people."""
    error: tuple[str, str | None] | None = None
    """Name and message of a refusal; no message stands for the usual one."""
    finish: Finish | None = None
    alter: Callable[[Result, Directive], Result] | None = None


def _refusal(name: str, message: str | None, text: str) -> Action:
    return Action(stage=Stage.REFUSAL, error=(name, message), text=text)


def _judgement(finish: Finish, text: str) -> Action:
    return Action(stage=Stage.JUDGEMENT, finish=finish, text=text)


_CONTENT_FILTERS = (
    "This request has been blocked by our content filters. Our filters automatically flagged this "
    "prompt because it may conflict our AUP or AWS Responsible AI Policy. "
    "Please adjust your text prompt to submit a new request."
)
_CONTENT_FILTERS_IMAGE = (
    "This request has been blocked by our content filters. "
    "Please adjust your input image to submit a new request."
)
_MARKETPLACE = (
    "Model access is denied due to IAM user or service role is not authorized to perform the "
    "required AWS Marketplace actions (aws-marketplace:ViewSubscriptions, "
    "aws-marketplace:Subscribe) to enable access to this model. Refer to the Amazon Bedrock "
    "documentation for further details. Your AWS Marketplace subscription for this model cannot "
    "be completed at this time. If you recently fixed this issue, try again after 5 minutes."
)
_LEGACY = (
    "Access denied. This Model is marked by provider as Legacy and you have not been actively "
    "using the model in the last 30 days. Please upgrade to an active model on Amazon Bedrock"
)
_ON_DEMAND = (
    "Invocation of this model ID with on-demand throughput isn\N{RIGHT SINGLE QUOTATION MARK}t "
    "supported. Retry your request with the ID or ARN of an inference profile that contains this "
    "model."
)
_NOT_AUTHORIZED = "Your account is not authorized to invoke this API operation."
_TOO_MANY_TOKENS = "Too many tokens, please wait before trying again."

_REFUSALS = {
    **{name: _refusal(name, None, f"HTTP {e.status}: {e.message}") for name, e in ERRORS.items()},
    "throttle": _refusal("ThrottlingException", None, "the quota is used up"),
    "too-many-tokens": _refusal("ThrottlingException", _TOO_MANY_TOKENS, "its other wording"),
    "not-authorized": _refusal("AccessDeniedException", _NOT_AUTHORIZED, "the account may not"),
    "marketplace": _refusal("AccessDeniedException", _MARKETPLACE, "no Marketplace rights"),
    "legacy": _refusal("ResourceNotFoundException", _LEGACY, "a Legacy model not used for long"),
    "end-of-life": _refusal("ResourceNotFoundException", END_OF_LIFE, "a retired model"),
    "invalid-identifier": _refusal("ValidationException", INVALID_MODEL, "the wrong Region"),
    "on-demand": _refusal("ValidationException", _ON_DEMAND, "only with an inference profile"),
    "filter-400": _refusal("ValidationException", _CONTENT_FILTERS, "content filters, as HTTP 400"),
    "filter-400-image": _refusal(
        "ValidationException",
        _CONTENT_FILTERS_IMAGE,
        "content filters on the sent image, as HTTP 400",
    ),
    "filter-400-words": _refusal(
        "ValidationException", FILTERED_WORDS, "filtered words, as SDXL's HTTP 400"
    ),
    "error": Action(stage=Stage.REFUSAL, text="any error: `type`, `status`, `message`"),
}
_JUDGEMENTS = {
    "filter-prompt": _judgement(Finish.PROMPT, "moderation refuses the prompt"),
    "filter-output": _judgement(Finish.OUTPUT, "moderation refuses the finished picture"),
    "filter-input": _judgement(Finish.INPUT, "moderation refuses the sent picture"),
    "inference-error": _judgement(Finish.ERROR, "generation fails, on HTTP 200"),
}
_BODIES = {
    "html": "HTTP 200 with a page of HTML, as a proxy answers",
    "html-502": "HTTP 502 with a page of HTML",
    "cut-json": "a complete HTTP answer whose JSON ends after `bytes`, or half way",
    "empty-body": "HTTP 200 without a body",
}
_DELIVERIES = {
    "late": "the answer comes `seconds` late (5)",
    "no-answer": "nothing ever comes",
    "close-before-headers": "the connection is closed instead of an answer",
    "reset": "the connection is reset instead of an answer",
    "cut-body": "the connection is closed after `bytes` of the body (1000)",
    "stall-body": "nothing comes after `bytes` of the body (1000)",
}
ACTIONS = MappingProxyType(
    {
        **_REFUSALS,
        **_JUDGEMENTS,
        **{
            name: Action(stage=Stage.ALTERATION, alter=alter, text=alter.__doc__ or name)
            for name, alter in ALTERATIONS.items()
        },
        **{name: Action(stage=Stage.BODY, text=text) for name, text in _BODIES.items()},
        **{name: Action(stage=Stage.DELIVERY, text=text) for name, text in _DELIVERIES.items()},
        "date-skew": Action(
            stage=Stage.CLOCK, text="the Date header is `seconds` ahead (420); negative for behind"
        ),
    }
)
