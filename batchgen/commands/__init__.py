"""One module for each subcommand: it prints, and it returns an exit code."""

from __future__ import annotations

from batchgen.commands.streams import flush_streams, note

__all__ = ["flush_streams", "note"]
