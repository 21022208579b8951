"""`batchgen doctor`: will this job run? Everything is looked at, and nothing is paid for."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchgen.commands import options
from batchgen.commands.prices import priced, pricing
from batchgen.commands.streams import result
from batchgen.errors import JobError
from batchgen.text import escaped

if TYPE_CHECKING:
    from batchgen.doctor import Finding

NAME_WIDTH = 11
VERDICT_WIDTH = 7


@click.command(name="doctor")
@options.job_argument
@click.option("--output", type=options.FOLDER, help="Folder of images and manifest.")
@click.option("--endpoint", type=options.ENDPOINT, help="Which service would be called.")
@pricing
@options.json_option
def command(
    job: Path, *, output: str | None, endpoint: str | None, prices: Path | None, as_json: bool
) -> int:
    """Check everything that a run of a job needs, without paying for an image.

    The job file, credentials and account, access to each model and its quota, by each route of
    the job, the clock, the output folder, the cost and the time that the run will take. Ends with
    the exit code of the first trouble that a run would meet; warnings do not count.
    """
    from batchgen.doctor import exit_code

    findings = _findings(job, {"output": output, "endpoint": endpoint}, prices)
    code = exit_code(findings)
    if as_json:
        checks = [finding.to_json() for finding in findings]
        result(json.dumps({"job": str(job), "exit_code": code, "checks": checks}))
        return code
    for finding in findings:
        result(_line(finding))
    result(_verdict(findings))
    return code


def _findings(path: Path, changes: dict[str, str | None], prices: Path | None) -> list[Finding]:
    from batchgen.doctor import broken, examine
    from batchgen.job import load

    try:
        job = priced(load(path, defer=True), prices)
    except JobError as error:
        return [broken(error)]
    given = {name: value for name, value in changes.items() if value is not None}
    return asyncio.run(examine(job.model_copy(update=given)))


def _line(finding: Finding) -> str:
    parts = (finding.route, finding.model, finding.text)
    text = escaped(": ".join(part for part in parts if part is not None))
    return f"{finding.verdict:<{VERDICT_WIDTH}}  {finding.check:<{NAME_WIDTH}}  {text}"


def _verdict(findings: list[Finding]) -> str:
    from batchgen.doctor import Verdict

    failed = sum(finding.verdict is Verdict.FAILED for finding in findings)
    warnings = sum(finding.verdict is Verdict.WARNING for finding in findings)
    ready = "Not ready" if failed else "Ready"
    return f"{ready}. Checks: {len(findings)}, failed: {failed}, with a warning: {warnings}."
