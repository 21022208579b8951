"""All that can be set when a simulator starts; the command line is made from these fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import spelling
from .spelling import Span, Step


def _option(
    default: Any,
    text: str,
    *,
    parse: Callable[[str], object] = str,
    metavar: str = "TEXT",
    choices: tuple[str, ...] = (),
) -> Any:
    """A field; where its default is a tuple the option may be given many times."""
    metadata = {"help": text, "parse": parse, "metavar": metavar, "choices": choices}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of one simulator. The defaults behave as the service does on a good day."""

    host: str = _option("127.0.0.1", "Address to listen on.", metavar="ADDRESS")
    port: int = _option(
        0, "Port to listen on; 0 takes a free one.", parse=spelling.whole, metavar="N"
    )
    parent_pipe: bool = _option(
        default=False,
        text="Read standard input and end when it ends: a child that outlives nobody.",
    )
    verbose: bool = _option(default=False, text="One line on standard error for each call.")
    seed: int = _option(0, "Decides all that is left to chance.", parse=spelling.whole, metavar="N")

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
        parse=spelling.pair,
        metavar="ARN=MODEL",
    )
    account: tuple[tuple[str, str], ...] = _option(
        (),
        "Account of an access key id; else each key id has an account of its own.",
        parse=spelling.pair,
        metavar="KEY=ACCOUNT",
    )
    expire: tuple[tuple[str, int], ...] = _option(
        (),
        "Credentials (key id, session token, or * for each) that expire after N calls.",
        parse=spelling.count,
        metavar="KEY=N",
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
        0.0, "Seconds that the simulator's clock is fast.", parse=spelling.number, metavar="SECONDS"
    )
    ignore_dates: bool = _option(
        default=False, text="Accept signatures of any age; the service takes those of 5 minutes."
    )

    picture: str = _option(
        "painted",
        "A picture painted from the request, or the same plain one for all: for load tests.",
        choices=("painted", "plain"),
    )
    picture_bytes: int | None = _option(
        None, "About how large a plain picture is.", parse=spelling.whole, metavar="BYTES"
    )
    latency: Span | None = _option(  # noqa: RUF009 - makes a field
        None,
        "Seconds that a call takes, or a range as in 2-5; else each model's own.",
        parse=spelling.span,
        metavar="SECONDS",
    )

    meter: str = _option(
        "bucket",
        "How the minute is metered; none admits all.",
        choices=("bucket", "fixed", "sliding", "none"),
    )
    requests_per_minute: float | None = _option(
        None,
        "Quota of every model; else each model's own.",
        parse=spelling.positive,
        metavar="N",
    )
    quota: tuple[tuple[str, int], ...] = _option(
        (), "Requests a minute of one model.", parse=spelling.count, metavar="MODEL=N"
    )
    quota_step: tuple[Step, ...] = _option(
        (),
        "Change the quota SECONDS after the start, for one model or for all.",
        parse=spelling.step,
        metavar="SECONDS:[MODEL=]N",
    )
    bucket_capacity: int | None = _option(
        None,
        "Calls that a full bucket holds; else those of one minute.",
        parse=spelling.whole,
        metavar="N",
    )
    count_rejected: bool = _option(default=False, text="Throttled calls use up the quota as well.")
    max_concurrent: int | None = _option(
        None,
        "Calls in flight of one account, Region and model; one more is throttled.",
        parse=spelling.whole,
        metavar="N",
    )

    throttle_rate: float = _option(
        0.0, "Share of calls that are throttled.", parse=spelling.share, metavar="SHARE"
    )
    error_rate: float = _option(
        0.0,
        "Share of calls answered with 408, 424, 500 or 503.",
        parse=spelling.share,
        metavar="SHARE",
    )
    filter_rate: float = _option(
        0.0,
        "Share of requests that moderation refuses, each time they are sent.",
        parse=spelling.share,
        metavar="SHARE",
    )
    damage_rate: float = _option(
        0.0, "Share of calls whose HTTP 200 cannot be used.", parse=spelling.share, metavar="SHARE"
    )
    drop_rate: float = _option(
        0.0,
        "Share of calls whose connection ends before the answer does.",
        parse=spelling.share,
        metavar="SHARE",
    )
    faults: Path | None = _option(  # noqa: RUF009 - makes a field
        None, "JSON list of fault directives, in force from the start.", parse=Path, metavar="FILE"
    )

    bill_filtered: str = _option(
        "output",
        "Which refused requests cost: those whose picture was made, all, or none.",
        choices=("output", "always", "never"),
    )
    ledger: Path | None = _option(  # noqa: RUF009 - makes a field
        None, "JSONL file to append every call and what it cost to.", parse=Path, metavar="FILE"
    )
