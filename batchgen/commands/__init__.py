"""One module for each subcommand: it prints, and it returns an exit code."""

from __future__ import annotations

from batchgen.commands.streams import note, settle

__all__ = ["note", "settle"]
