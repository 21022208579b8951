"""All checks before a run, in one story; nothing is paid for, made or written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from batchgen.bedrock import Account, open_accounts
from batchgen.doctor.credentials import SERVICE, look_at_clock
from batchgen.doctor.findings import Finding
from batchgen.doctor.job import Workload, survey
from batchgen.doctor.output import look_at_output
from batchgen.doctor.quotas import look_at_time
from batchgen.doctor.routes import Routes, look_at_route
from batchgen.errors import ExitCode, ServiceUnusable
from batchgen.job import Job
from batchgen.record import utc_now
from batchgen.text import sentences


async def examine(job: Job, *, now: Callable[[], datetime] = utc_now) -> list[Finding]:
    """Look at everything that a run of this job needs; what fails does not stop the rest."""
    surveyed = await asyncio.to_thread(survey, job)
    work = surveyed.workload
    findings = [*surveyed.findings, *await _ask(job, work, now())]
    findings += await asyncio.to_thread(
        look_at_output, Path(job.output), work.total, job.in_flight_limit
    )
    return findings


async def _ask(job: Job, work: Workload, now: datetime) -> list[Finding]:
    """What the services say, by each route."""
    try:
        async with open_accounts(job) as accounts, asyncio.TaskGroup() as group:
            reports = [
                group.create_task(look_at_route(account, job, route, work, now))
                for route, account in accounts
            ]
    except ServiceUnusable as error:
        return [SERVICE.failed(ExitCode.SERVICE, sentences(str(error)))]
    routes = Routes(reports=[each.result() for each in reports], work=work)
    return [
        *routes.owners(),
        look_at_clock(_skew(account for _, account in accounts)),
        *routes.access(),
        *routes.quotas(),
        look_at_time(job, work, routes.rates(), now),
    ]


def _skew(accounts: Iterable[Account]) -> float | None:
    """Seconds by which this machine's clock is ahead; None if no service gave its time."""
    skews = (account.clock_skew for account in accounts)
    return next((skew for skew in skews if skew is not None), None)
