"""The SDK's own log: what must not be shown is kept from it."""

from __future__ import annotations

import logging

LOGGERS = ("boto3", "botocore", "aioboto3", "aiobotocore", "aiohttp", "urllib3")
REFRESHES = "aiobotocore.credentials"


def quiet_sdk() -> None:
    """Keep the SDK's loggers at INFO or above: its DEBUG lines hold tokens, keys and prompts.

    Each gets a level of its own, so that a root logger that is turned up later does not matter.
    Warnings of a refresh that failed are whole tracebacks, of what the call that needed it says.
    """
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.getEffectiveLevel(), logging.INFO))
    logging.getLogger(REFRESHES).setLevel(logging.ERROR)
