"""The first moments of a command, in which it imports what it needs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def starting() -> Iterator[None]:
    """Look for no garbage within the block, nor ever among what it made.

    A start makes a quarter of a million objects, all of them for good; to look through them again
    and again is a tenth of it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
