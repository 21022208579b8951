"""What Python's collector of garbage walks while calls are made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Let the collector pass over all that is there now, until the block ends.

    It stays to the end anyway, and each full collection would walk it: a hundred thousand objects
    of the SDK alone, for which the loop stands still. A program that has frozen objects itself is
    left as it is, for they could not be told from ours afterwards.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
