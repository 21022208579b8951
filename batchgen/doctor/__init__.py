"""Checks before a run; nothing is paid for."""

from __future__ import annotations

from batchgen.doctor.examine import examine
from batchgen.doctor.findings import Finding, Verdict, exit_code
from batchgen.doctor.job import broken

__all__ = ["Finding", "Verdict", "broken", "examine", "exit_code"]
