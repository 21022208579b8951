"""All checks before a run, in one story; nothing is paid for, made or written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

from batchgen.account import asking
from batchgen.bedrock import Connection
from batchgen.checkup_account import (
    SERVICE,
    look_at_clock,
    look_at_credentials,
    look_at_service,
)
from batchgen.checkup_job import Workload, survey
from batchgen.checkup_models import look_at_model
from batchgen.checkup_output import look_at_output
from batchgen.checkup_quotas import (
    ask_allowances,
    look_at_allowance,
    look_at_time,
)
from batchgen.endpoint import url_of
from batchgen.errors import ServiceUnusable
from batchgen.findings import Finding, Trouble, sentences
from batchgen.job import Job
from batchgen.record import utc_now

QUESTIONS = 4
"""Calls in flight while an account is asked."""


async def examine(job: Job, *, now: Callable[[], datetime] = utc_now) -> list[Finding]:
    """Look at everything that a run of this job needs; what fails does not stop the rest."""
    looked = await asyncio.to_thread(survey, job)
    work = looked.workload
    findings = [*looked.findings, *await _ask(job, work, now())]
    findings += await asyncio.to_thread(
        look_at_output, Path(job.output), work.total, job.limits.concurrency
    )
    return findings


async def _ask(job: Job, work: Workload, now: datetime) -> list[Finding]:
    """What the services say."""
    async with AsyncExitStack() as stack:
        try:
            url = await url_of(job, stack)
        except ServiceUnusable as error:
            text = sentences(str(error))
            return [SERVICE.failed(Trouble.SERVICE, text)]
        connection = Connection(region=job.region, url=url, calls_in_flight=QUESTIONS)
        account = await stack.enter_async_context(asking(connection))
        async with asyncio.TaskGroup() as group:
            who = group.create_task(look_at_credentials(account, now))
            service = group.create_task(look_at_service(account, job))
            models = [
                group.create_task(look_at_model(account, job.region, name, work.models.get(name)))
                for name in work.tasks
            ]
            quotas = group.create_task(ask_allowances(account, job, work))
        allowances = quotas.result()
        return [
            who.result(),
            service.result(),
            look_at_clock(account.clock_skew),
            *(model.result() for model in models),
            *map(look_at_allowance, allowances),
            look_at_time(job, work, allowances, now),
        ]
