"""What a check before a run found: one sentence for a person, a few values for a program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from batchgen.errors import ExitCode
from batchgen.text import sentences


class Verdict(StrEnum):
    """What a finding means for the run."""

    OK = "ok"
    WARNING = "warning"
    """The run can start; a person should know."""
    FAILED = "failed"
    """The run cannot do what it is for."""


ORDER = (ExitCode.USAGE, ExitCode.SERVICE, ExitCode.BUSY, ExitCode.RESUMABLE)
"""In which order a run would meet them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    check: str
    """What was checked, one word; with `model` and `route` where there is one for each."""
    verdict: Verdict
    text: str
    """What was found and what to do, as whole sentences."""
    trouble: ExitCode | None = None
    """Only of what failed."""
    model: str | None = None
    route: str | None = None
    """Name of a route, of a job that has any."""
    values: Mapping[str, object] = field(default_factory=dict)
    """JSON values by name."""

    def to_json(self) -> dict[str, object]:
        """The finding as a JSON object."""
        about = {"route": self.route, "model": self.model}
        return {
            "check": self.check,
            **{name: value for name, value in about.items() if value is not None},
            "verdict": str(self.verdict),
            "text": self.text,
            **self.values,
        }

    def softened(self, why: str) -> Finding:
        """The same as a warning, for a reason that is no trouble for the run."""
        text = sentences(self.text, why)
        return replace(self, verdict=Verdict.WARNING, trouble=None, text=text)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is checked; makes the findings about it."""

    name: str
    model: str | None = None

    def ok(self, text: str, **values: object) -> Finding:
        """Nothing is in the way."""
        return self._finding(Verdict.OK, text, None, values)

    def warning(self, text: str, **values: object) -> Finding:
        """The run can start, and a person should know this."""
        return self._finding(Verdict.WARNING, text, None, values)

    def failed(self, trouble: ExitCode, text: str, **values: object) -> Finding:
        """The run would end with this trouble."""
        return self._finding(Verdict.FAILED, text, trouble, values)

    def _finding(
        self, verdict: Verdict, text: str, trouble: ExitCode | None, values: Mapping[str, object]
    ) -> Finding:
        return Finding(
            check=self.name,
            verdict=verdict,
            text=text,
            trouble=trouble,
            model=self.model,
            values=values,
        )


def exit_code(findings: Iterable[Finding]) -> int:
    """0, or the exit code with which a run would meet the first of its troubles."""
    met = {finding.trouble for finding in findings}
    return next((int(trouble) for trouble in ORDER if trouble in met), 0)
