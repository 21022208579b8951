"""All that can be set when a simulator starts; the command line is made from these fields."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from .models import MODELS


@dataclass(frozen=True, slots=True)
class Span:
    """A range of seconds."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Step:
    """A change of quota while the simulator runs."""

    after: float
    """Seconds after the start."""
    model: str | None
    """Model id; None for all models."""
    rpm: int


_SECONDS = r"(\d+\.?\d*|\.\d+)(e[-+]?\d+)?"
_SPAN = re.compile(rf"(?P<low>{_SECONDS})(-(?P<high>{_SECONDS}))?")
_STEP = re.compile(r"(?P<after>\d+(\.\d+)?):((?P<model>.+)=)?(?P<rpm>\d+)")


def span(text: str) -> Span:
    """`3` or `2-5`: seconds."""
    match = _SPAN.fullmatch(text)
    low = float(match["low"]) if match else 0.0
    high = float(match["high"] or low) if match else -1.0
    if not low <= high < math.inf:
        raise ValueError(f"{text!r} is no number of seconds and no range of them, as in 3 or 2-5")
    return Span(low, high)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.rpartition("=")
    if not (name and sign and value):
        raise ValueError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _check(model_id: str, text: str) -> None:
    if model_id not in MODELS:
        known = ", ".join(MODELS)
        raise ValueError(f"{text!r} names no model of the simulator; there are {known}")


def _identifier(text: str) -> tuple[str, str]:
    identifier, model_id = _pair(text)
    _check(model_id, text)
    return identifier, model_id


def _quota(text: str) -> tuple[str, int]:
    model_id, rpm = _count(text)
    _check(model_id, text)
    return model_id, rpm


def _count(text: str) -> tuple[str, int]:
    name, value = _pair(text)
    if not (value.isascii() and value.isdecimal()):
        raise ValueError(f"{value!r} is not a whole number of 0 or more")
    return name, int(value)


def _step(text: str) -> Step:
    match = _STEP.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not of the form SECONDS:N or SECONDS:MODEL=N")
    if match["model"]:
        _check(match["model"], text)
    return Step(float(match["after"]), match["model"], int(match["rpm"]))


_LONGEST = 1e9
"""Seconds: more than 30 years, and less than would leave the calendar."""


def _seconds(text: str) -> float:
    value = float(text)
    if not abs(value) <= _LONGEST:
        raise ValueError(f"{text!r} is not a number of seconds up to {_LONGEST:.0e}")
    return value


class _Parsed(click.ParamType[object]):
    """A value that a function makes from its text; the function's ValueError is the complaint."""

    name = "text"

    def __init__(self, parse: Callable[[str], object]) -> None:
        self._parse = parse

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


class _Number(click.FloatRange):
    """A finite number; click's own range lets `nan` and `inf` pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


_WHOLE = click.IntRange(min=0)
_SHARE = _Number(0, 1)
_FILE = click.Path(path_type=Path)


def _option(
    default: Any, text: str, kind: click.ParamType[Any] = click.STRING, metavar: str | None = None
) -> Any:
    """A field; where its default is a tuple the option may be given many times."""
    return field(default=default, metadata={"help": text, "type": kind, "metavar": metavar})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of one simulator. The defaults behave as the service does on a good day."""

    host: str = _option("127.0.0.1", "Address to listen on.", metavar="ADDRESS")
    port: int = _option(0, "Port to listen on; 0 takes a free one.", click.IntRange(0, 65_535), "N")
    parent_pipe: bool = _option(
        default=False,
        text="Read standard input and end when it ends, as a child should.",
    )
    verbose: bool = _option(default=False, text="One line on standard error for each call.")
    seed: int = _option(0, "Decides all that is left to chance.", _WHOLE, "N")

    region: str = _option(
        "us-west-2",
        "Region of callers whose signature names none (bearer tokens).",
        metavar="REGION",
    )
    any_region: bool = _option(default=False, text="Offer every model in every Region.")
    end_of_life: bool = _option(
        default=False, text="Refuse retired models with HTTP 404, as the service does."
    )
    arn: tuple[tuple[str, str], ...] = _option(
        (),
        "Let a profile id or an ARN that does not name its model stand for a model.",
        _Parsed(_identifier),
        "ARN=MODEL",
    )
    account: tuple[tuple[str, str], ...] = _option(
        (),
        "Account of an access key id; else each key id has an account of its own.",
        _Parsed(_pair),
        "KEY=ACCOUNT",
    )
    expire: tuple[tuple[str, int], ...] = _option(
        (),
        "Credentials (key id, session token, or * for each) that expire after N calls.",
        _Parsed(_count),
        "KEY=N",
    )
    reject: tuple[str, ...] = _option(
        (), "Key id or token that the service does not know.", metavar="KEY"
    )
    deny: tuple[str, ...] = _option(
        (),
        "Model id, or service (bedrock, servicequotas, sts), that the account has no access to.",
        metavar="NAME",
    )
    clock_skew: float = _option(
        0.0, "Seconds that the simulator's clock is fast.", _Parsed(_seconds), "SECONDS"
    )
    ignore_dates: bool = _option(
        default=False, text="Accept signatures of any age; the service takes those of 5 minutes."
    )

    picture: str = _option(
        "painted",
        "A picture painted from the request, or the same plain one for all: for load tests.",
        click.Choice(("painted", "plain")),
    )
    picture_bytes: int | None = _option(
        None, "About how large a plain picture is.", _WHOLE, "BYTES"
    )
    latency: Span | None = _option(  # noqa: RUF009 - makes a field
        None,
        "Seconds that a call takes, or a range as in 2-5; else each model's own.",
        _Parsed(span),
        "SECONDS",
    )

    meter: str = _option(
        "bucket",
        "How the minute is metered; none admits all.",
        click.Choice(("bucket", "fixed", "sliding", "none")),
    )
    requests_per_minute: float | None = _option(
        None, "Quota of every model; else each model's own.", _Number(min=0), "N"
    )
    quota: tuple[tuple[str, int], ...] = _option(
        (), "Requests a minute of one model.", _Parsed(_quota), "MODEL=N"
    )
    quota_step: tuple[Step, ...] = _option(
        (),
        "Change the quota SECONDS after the start, for one model or for all.",
        _Parsed(_step),
        "SECONDS:[MODEL=]N",
    )
    bucket_capacity: int | None = _option(
        None, "Calls that a full bucket holds; else those of one minute.", _WHOLE, "N"
    )
    count_rejected: bool = _option(default=False, text="Throttled calls use up the quota as well.")
    max_concurrent: int | None = _option(
        None,
        "Calls in flight of one account, Region and model; one more is throttled.",
        _WHOLE,
        "N",
    )

    throttle_rate: float = _option(0.0, "Share of calls that are throttled.", _SHARE, "SHARE")
    error_rate: float = _option(
        0.0, "Share of calls answered with 408, 424, 500 or 503.", _SHARE, "SHARE"
    )
    filter_rate: float = _option(
        0.0, "Share of requests that moderation refuses, each time they are sent.", _SHARE, "SHARE"
    )
    damage_rate: float = _option(
        0.0, "Share of calls whose HTTP 200 cannot be used.", _SHARE, "SHARE"
    )
    drop_rate: float = _option(
        0.0, "Share of calls whose connection ends before the answer does.", _SHARE, "SHARE"
    )
    faults: Path | None = _option(  # noqa: RUF009 - makes a field
        None, "JSON list of fault directives, in force from the start.", _FILE, "FILE"
    )

    bill_filtered: str = _option(
        "output",
        "Which refused requests cost: those whose picture was made, all, or none.",
        click.Choice(("output", "always", "never")),
    )
    ledger: Path | None = _option(  # noqa: RUF009 - makes a field
        None, "JSONL file to append every call and what it cost to.", _FILE, "FILE"
    )
