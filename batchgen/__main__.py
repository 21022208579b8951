"""The command `batchgen`, and `python -m batchgen`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from types import FrameType


def main() -> int:
    """Run the command, whatever signals come while it is being imported and when it has ended."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    # It asks a run for its figures; outside of one there are none, and it must not kill.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    gc.disable()  # nothing that is imported is garbage
    from batchgen.cli import main as run  # noqa: PLC0415  # from here on a signal does no harm

    gc.enable()
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    code = run()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to be stopped
    return code


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End at once: nothing was begun, and a traceback would help nobody."""
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
