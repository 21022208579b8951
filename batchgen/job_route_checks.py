"""The checks of the values that only a route of a job file has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from batchgen.job_checks import LONGEST_ID, NAME, REGION
from batchgen.job_fields import Check, Refused, plain_text, text


def _profile(value: Any) -> str:
    name = plain_text(value)
    if not 1 <= len(name) <= LONGEST_ID or not name.isprintable() or name != name.strip():
        raise Refused
    return name


OWN_REGION = replace(REGION, optional=True)
ROUTE_NAME = replace(NAME, optional=True)
PROFILE = Check(
    read=_profile,
    allowed="the name of an AWS profile",
    schema={"type": "string", "minLength": 1},
    optional=True,
)
ROLE = text(
    "the ARN of a role, such as arn:aws:iam::123456789012:role/images",
    r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}",
    optional=True,
)
