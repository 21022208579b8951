"""One module for each subcommand: it prints, and it returns an exit code."""

from __future__ import annotations

from batchgen.commands.streams import end_log, flush_streams, note, result, stamp

__all__ = ["end_log", "flush_streams", "note", "result", "stamp"]
