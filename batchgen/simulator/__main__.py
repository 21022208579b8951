"""`python -m batchgen.simulator`."""

from __future__ import annotations

from batchgen.simulator.cli import command

command(prog_name="python -m batchgen.simulator")
