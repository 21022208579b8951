"""`python -m benchmarks.pacing_http [--quick] [--json]`: the pacing of real runs, over HTTP.

Runs `batchgen run` against simulators, all scenarios at once in real time: 17 minutes. All figures
are from the simulators' ledgers; what batchgen says of itself is not asked. Ends with 1 if a target
is missed. `--quick` takes 3 minutes, shows that it works and judges nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from batchgen.simulator.launch import running

MODEL = "stability.stable-image-core-v1:1"
MINUTE_S = 60.0
APART_S = 1.5
"""From one scenario's start to the next: the imports of all at once would delay each other."""
GRACE_S = 30.0
HEAD = """| scenario | quota used | rejected | once settled | besides | target | met |
| --- | --- | --- | --- | --- | --- | --- |"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Quota and time table of all scenarios, in seconds of each simulator's clock."""

    quota: int
    settled_s: float
    """After the first call, that of the later program; use counts from the next whole minute on."""
    fell_s: float
    rose_s: float
    end_s: float


FULL = Course(quota=90, settled_s=300, fell_s=360, rose_s=660, end_s=960)
QUICK = Course(quota=240, settled_s=40, fell_s=20, rose_s=80, end_s=140)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One simulator and the runs against it."""

    meter: str
    known: bool = False
    programs: int = 1
    steps: bool = False
    """The quota halves and comes back."""

    @property
    def name(self) -> str:
        """As the table has it."""
        words = [self.meter, "quota known" if self.known else "quota unknown"]
        words += ["halved and back"] * self.steps + ["two programs"] * (self.programs > 1)
        return ", ".join(words)

    def quota_at(self, second: float, course: Course) -> int:
        """Calls a minute."""
        halved = self.steps and course.fell_s <= second < course.rose_s
        return course.quota // 2 if halved else course.quota


METERS = ("bucket", "fixed", "sliding")
SCENARIOS = (
    *(Scenario(meter=meter) for meter in METERS),
    *(Scenario(meter=meter, known=True) for meter in METERS),
    *(Scenario(meter=meter, steps=True) for meter in METERS),
    Scenario(meter="bucket", programs=2),
    Scenario(meter="sliding", programs=2),
    Scenario(meter="bucket", programs=2, known=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one ledger tells."""

    scenario: Scenario
    used: float
    """Calls admitted once settled, of those that the quota allowed."""
    rejected: float
    """Of all calls, those included that found the quota."""
    rejected_settled: float
    parts: tuple[float, ...]
    """What each program had of the calls admitted once settled."""
    back_min: tuple[float | None, ...]
    """Minutes from each step until 95 % are used again; None: not before the next one."""
    admitted_by_minute: tuple[int, ...]
    rejected_at_s: tuple[float, ...]

    def judged(self) -> tuple[str, bool]:
        """The target, and whether it is met."""
        if self.scenario.steps:
            back = all(minutes is not None and minutes <= 3 for minutes in self.back_min)
            return "95 % again within 3 min", back
        if self.scenario.programs > 1:
            enough = self.used >= 0.95 and min(self.parts) >= 0.25
            return "95 %, each at least a quarter of it", enough
        if self.scenario.known:
            return "99 %, none rejected", self.used >= 0.99 and not self.rejected
        least = 97 if self.scenario.meter == "bucket" else 95
        return f"{least} %, 1 % rejected", 100 * self.used >= least and self.rejected <= 0.01

    def row(self, *, judge: bool) -> str:
        """A line of the table."""
        back = ["not back" if m is None else f"back after {m:.1f} min" for m in self.back_min]
        parts = [f"{100 * part:.0f} %" for part in self.parts if part < 1]
        shares = (self.used, self.rejected, self.rejected_settled)
        percents = [f"{100 * share:.2f} %" for share in shares]
        target, met = self.judged()
        verdict = ("yes" if met else "**no**") if judge else ""
        cells = [self.scenario.name, *percents, ", ".join(back + parts), target, verdict]
        return f"| {' | '.join(cells)} |"


def figures(scenario: Scenario, course: Course, ledger: Iterable[Mapping[str, Any]]) -> Figures:
    """What counts; a program is known by the model id that it sends."""
    calls = [(e["elapsed"], e["model_id"], e["outcome"]) for e in ledger]
    calls = sorted(call for call in calls if call[0] < course.end_s)
    good = [(at, program) for at, program, outcome in calls if outcome == "generated"]
    rejected = [at for at, _, outcome in calls if outcome == "ThrottlingException"]
    if len(good) + len(rejected) < len(calls):
        raise ValueError(f"{scenario.name}: calls failed for another reason than the quota")
    begun = {program: at for at, program, _ in reversed(calls)}
    start = math.ceil((max(begun.values()) + course.settled_s) / MINUTE_S) * 60
    end = int(course.end_s // MINUTE_S) * 60
    admitted = [at for at, _ in good]
    settled = [program for at, program in good if start <= at < end]
    allowed = sum(scenario.quota_at(second, course) for second in range(start, end)) / MINUTE_S
    refused = within(rejected, start, end)
    steps = ((course.fell_s, course.rose_s), (course.rose_s, course.end_s)) * scenario.steps
    return Figures(
        scenario=scenario,
        used=len(settled) / allowed,
        rejected=len(rejected) / len(calls),
        rejected_settled=refused / (refused + len(settled)),
        parts=tuple(settled.count(program) / len(settled) for program in sorted(begun)),
        back_min=tuple(back_after(admitted, *s, scenario.quota_at(s[0], course)) for s in steps),
        admitted_by_minute=tuple(within(admitted, at, at + 60) for at in range(0, end, 60)),
        rejected_at_s=tuple(rejected),
    )


def within(instants: Iterable[float], start: float, end: float) -> int:
    """How many of them lie there."""
    return sum(start <= at < end for at in instants)


def back_after(admitted: Sequence[float], step: float, end: float, quota: float) -> float | None:
    """Minutes until a moment from which 95 % of the next minute and of all the rest are used."""
    for second in range(int(end - step - MINUTE_S) + 1):
        at = step + second
        spans = ((at, at + MINUTE_S), (at, end))
        if all(within(admitted, a, b) >= 0.95 * quota * (b - a) / MINUTE_S for a, b in spans):
            return second / MINUTE_S
    return None


async def measured(scenario: Scenario, course: Course, wait_s: float) -> Figures:
    """Run one scenario to the end of the course."""
    await asyncio.sleep(wait_s)
    names = [f"program-{number}" for number in range(scenario.programs)]
    options = [f"--meter={scenario.meter}", f"--requests-per-minute={course.quota}"]
    options += ["--picture=plain", "--picture-bytes=2000", "--latency=1-3"]
    options += [f"--arn={name}={MODEL}" for name in names]
    for at in (course.fell_s, course.rose_s)[: 2 * scenario.steps]:
        options.append(f"--quota-step={at:g}:{scenario.quota_at(at, course)}")
    async with running(*options) as simulator:
        with tempfile.TemporaryDirectory() as folder:
            async with asyncio.TaskGroup() as programs:
                for name in names:
                    job = job_file(Path(folder, name), scenario, course, simulator.url)
                    programs.create_task(kept_running(job, course.end_s))
        return figures(scenario, course, await simulator.ledger())


def job_file(folder: Path, scenario: Scenario, course: Course, url: str) -> Path:
    """More tasks than the quota lets through, of a model that no quota is documented for."""
    folder.mkdir()
    known = {"requests_per_minute": course.quota} if scenario.known else {}
    limits = {"concurrency": 32, **known}
    items = [{"id": "x", "variants": round(2 * course.quota * (course.end_s / MINUTE_S + 1))}]
    model = {"name": folder.name, "endpoint": url, "model": folder.name, "family": "stable-image"}
    output = {"output": str(folder / "out"), "limits": limits}
    job = folder / "job.yaml"
    job.write_text(json.dumps({**model, **output, "prompt": "a benchmark", "items": items}))
    return job


async def kept_running(job: Path, seconds: float) -> None:
    """One program for so long, and until what it then has in flight has ended."""
    command = [sys.executable, "-m", "batchgen", "run", str(job)]
    command.append(f"--max-duration={seconds + 4 * GRACE_S:g}s")
    with job.with_suffix(".said").open("w+b") as said:
        # A session of its own: a terminal's Ctrl-C comes to this process, which ends the others.
        program = await asyncio.create_subprocess_exec(
            *command, stdout=said, stderr=said, start_new_session=True
        )
        try:
            await asyncio.wait_for(program.wait(), seconds)
            said.seek(0)
            raise RuntimeError(f"a run ended too early; it said: {said.read()[-2000:].decode()}")
        except TimeoutError:
            program.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(program.wait(), GRACE_S)
        finally:
            if program.returncode is None:
                program.kill()
                await program.wait()


async def measured_all(course: Course) -> list[Figures]:
    """All scenarios at the same time."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(measured(scenario, course, APART_S * number))
            for number, scenario in enumerate(SCENARIOS)
        ]
    return [task.result() for task in tasks]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 minutes, to see that it works")
    parser.add_argument("--json", action="store_true", help="all figures, the table on stderr")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    found = asyncio.run(measured_all(QUICK if options.quick else FULL))
    rows = (each.row(judge=not options.quick) for each in found)
    print(HEAD, *rows, sep="\n", file=sys.stderr if options.json else sys.stdout)
    if options.json:
        print(json.dumps([asdict(each) for each in found]))
    return 0 if options.quick or all(each.judged()[1] for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
