"""What a person reads of a run: lines, figures, failures told once, a report at the end."""

import asyncio
import math
import os
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import CORE, STATE, make_record, make_task
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from virtual_time import virtual_time

from batchgen.commands.bar import BarScreen, bar_screen
from batchgen.commands.display import Display
from batchgen.commands.failures import KINDS, LISTED_KINDS, MESSAGE_SHOWN, Failures
from batchgen.commands.figures import (
    figures,
    opening_line,
    report,
    status_line,
    until_text,
)
from batchgen.commands.screens import LINE_EVERY, LOG_EVERY, LogScreen, PlainScreen, screen
from batchgen.commands.streams import end_log, note
from batchgen.errors import AnswerLost, Throttled
from batchgen.job import Item, Job, Limits
from batchgen.policies.retry import Retry
from batchgen.policies.stop import StopCause, StopReason
from batchgen.record import ErrorInfo, Status
from batchgen.runner.deadline import deadline_of
from batchgen.runner.progress import Summary

SUMMARY = Summary(
    run_id="run-1",
    output="out/shop",
    total=52,
    earlier_succeeded=0,
    earlier_filtered=0,
    succeeded=10,
    filtered=0,
    failed=0,
    adopted=0,
    substituted=0,
    retried=0,
    throttled=0,
    in_flight=2,
    images_per_minute=60.0,
    billed_usd=Decimal("0.40"),
    maybe_billed_usd=Decimal(0),
    saved_usd=Decimal(0),
    budget_left_usd=None,
    elapsed_s=10.0,
    pace={},
    stopping=None,
)


class Lines:
    """A screen that keeps what it is shown."""

    def __init__(self, every=1.0):
        self.every = every
        self.lines = []
        self.shown = []

    def line(self, text):
        self.lines.append(text)

    def show(self, summary):
        self.shown.append(summary)


def failed(message="no", code="ValidationException", **changes):
    """The record of a task that failed with this message."""
    error = ErrorInfo(type="Rejected", code=code, message=message, retryable=False)
    return make_record(status=Status.FAILED, images=(), error=error, **changes)


def filtered(message="Filter reason: prompt", **changes):
    """The record of a task that moderation refused."""
    error = ErrorInfo(type="Filtered", code="Filtered", message=message, retryable=False)
    return make_record(status=Status.FILTERED, images=(), error=error, **changes)


def retry(error):
    """An attempt that failed so and is made again."""
    return Retry(task=make_task(label="mug/1"), attempt=1, wait=1.0, error=error)


class TestFigures:
    def test_nothing_that_did_not_happen(self):
        """A run without trouble shows its pace, its cost and the time left."""
        assert figures(SUMMARY) == ["60.0 images/min", "0.40 USD", "42 s left"]

    def test_everything_that_did(self):
        """Throttled, failed and filtered stand between them."""
        summary = replace(SUMMARY, throttled=3, failed=1, filtered=2)

        assert status_line(summary) == (
            "13/52  60.0 images/min, 3 throttled, 1 failed, 2 filtered, 0.40 USD, 39 s left"
        )

    def test_a_pace_below_the_quota_is_explained(self):
        """Why it is slow, and how long it is to the next call."""
        held = replace(
            STATE,
            allowed_per_minute=3.0,
            quota_per_minute=200.0,
            reason="sharing the quota",
            next_start_s=40.2,
        )

        assert (
            f"{CORE} throttled at 3.0 a minute although the job says 200: "
            "sharing the quota; next call in 40 s"
        ) in figures(replace(SUMMARY, pace={CORE: held}))
        assert "throttled" not in status_line(replace(SUMMARY, pace={CORE: STATE}))

    def test_a_wait_after_refusals_is_explained(self):
        """At the level of before, too; while no place is free nobody knows when the next starts."""
        waiting = replace(STATE, reason="waiting after refusals", next_start_s=12.0)
        assert f"{CORE}: waiting after refusals; next call in 12 s" in figures(
            replace(SUMMARY, pace={CORE: waiting})
        )
        full = replace(waiting, next_start_s=math.inf)
        assert f"{CORE}: waiting after refusals" in figures(replace(SUMMARY, pace={CORE: full}))

    def test_no_time_left_without_a_pace(self):
        """Before the first image nobody knows how long the rest takes."""
        assert "left" not in status_line(replace(SUMMARY, images_per_minute=0.0))


def listed(failures):
    """The lines at the end of a run."""
    return list(failures.listed("run-1", Path("/out/my shop/manifest.jsonl")))


class TestFailures:
    def test_equal_failures_are_told_once_and_counted(self):
        """The first with the task's name, then a number at the end."""
        failures = Failures()

        told = [failures.note(failed(label=f"mug/{number}")) for number in range(50)]

        advice = "Correct the prompt or the parameters in the job file."
        assert told[0] == f"mug/0 failed: ValidationException: no. {advice}"
        assert told[1:] == [None] * 49
        assert listed(failures) == [
            f"50 tasks failed: ValidationException: no. {advice}",
            f"  {', '.join(f'mug/{number}' for number in range(20))} and 30 more",
            (
                """All of them: grep -E '"run_id": "run-1".*"""
                """"status": "(failed|filtered|skipped)"' '/out/my shop/manifest.jsonl'"""
            ),
        ]

    def test_a_success_is_no_failure(self):
        """Nothing is said of what went well."""
        assert Failures().note(make_record()) is None

    def test_a_filtered_task_is_told_with_the_services_reason(self):
        """And what to do about it; a sentence that ends is not ended again."""
        failures = Failures()

        assert "was filtered by the service: Filter reason: prompt. Reword its prompt." in (
            failures.note(filtered())
        )
        assert "adjust it. Reword its prompt." in failures.note(filtered("Please adjust it."))
        image = {"image": {"path": "a.png", "sha256": "0"}}
        for reason, request in (("output image", {}), ("input image", {"prompt": "x"})):
            record = filtered(f"Filter reason: {reason}").model_copy(
                update={"request": request | image}
            )
            assert f"{reason}. Give it another image." in Failures().note(record)

    def test_several_tasks_are_plural(self):
        """Two tasks were filtered, not was."""
        failures = Failures()

        failures.note(filtered(label="mug/1"))
        failures.note(filtered(label="mug/2"))

        assert listed(failures) == [
            "2 tasks were filtered by the service: Filter reason: prompt. Reword its prompt.",
            "  mug/1, mug/2",
        ]

    def test_every_task_without_an_image_is_named_at_the_end(self):
        """Also what was told when it happened: whoever reads the last lines sees all."""
        failures = Failures()

        failures.note(failed(label="mug/1"))
        failures.note(filtered(label="mug/2"))

        assert [line.partition(":")[0] for line in listed(failures)] == [
            "mug/1 failed",
            "mug/2 was filtered by the service",
        ]

    def test_a_long_message_is_cut(self):
        """A page of HTML from a proxy is not printed."""
        told = Failures().note(failed("x" * 10_000))

        assert f"{'x' * MESSAGE_SHOWN}… " in told

    def test_as_many_kinds_as_tasks_stay_bounded(self):
        """Failures that are all different are told up to a number, then only counted."""
        failures = Failures()

        told = [failures.note(failed(f"no {number}")) for number in range(KINDS + 7)]

        assert sum(text is not None for text in told) == len(failures.counts) == KINDS
        *lines, rest, command = listed(failures)
        assert len(lines) == LISTED_KINDS
        assert rest == f"Without an image for other reasons: {KINDS + 7 - LISTED_KINDS} tasks."
        assert command.startswith("All of them: grep ")

    def test_a_retry_is_told_once_for_each_code(self):
        """Why nothing moves is said at once; how often, at the end."""
        failures = Failures()
        error = AnswerLost("no answer came", code="ReadTimeoutError")

        told = [failures.note_retry(retry(error)) for _ in range(3)]

        assert told == ["mug/1 is tried again: ReadTimeoutError: no answer came.", None, None]
        assert listed(failures) == ["3 attempts were made again after ReadTimeoutError."]

    def test_what_the_quota_refuses_is_a_figure_only(self):
        """Throttling is the way of life of a batch."""
        failures = Failures()

        assert failures.note_retry(retry(Throttled("slow down", code="Throttling"))) is None
        assert listed(failures) == []

    @given(st.text(), st.text(min_size=1), st.text())
    def test_nothing_that_steers_a_terminal_is_told_raw(self, label, code, message):
        """Whatever labels, codes and messages hold, the line is printable."""
        failures = Failures()
        error = AnswerLost(message, code=code)

        told = [failures.note(failed(message, code=code, label=label))]
        told.append(failures.note_retry(retry(error)))
        failures.note(failed(message, code=code, label=label))
        failures.note_retry(retry(error))

        assert all(text.isprintable() for text in (*told, *listed(failures)))


class TestReport:
    def test_a_run_that_made_everything(self):
        """Counts, money, and where it all is."""
        summary = replace(SUMMARY, total=10, maybe_billed_usd=Decimal("0.04"))

        counts, *rest = report(summary, Failures())

        assert counts == (
            "10 images made, 0 filtered, 0 failed, 0 left open, 0 done earlier, in 10 s "
            "(60.0 images/min, 0 throttled)."
        )
        assert rest == [
            "Cost: billed 0.40 USD, maybe billed as well 0.04 USD.",
            "Images and manifest: out/shop",
        ]

    def test_a_price_that_nobody_knows_is_no_sum(self):
        """What was made without one stands beside the sum that lacks it."""
        summary = replace(SUMMARY, unpriced=3)

        assert "Cost: billed 0.40 USD, 3 tasks of unknown price." in report(summary, Failures())
        assert "3 tasks of unknown price" in figures(summary)

    def test_one_is_singular(self):
        """One image is not images."""
        lines = report(replace(SUMMARY, succeeded=1, adopted=1), Failures())

        assert lines[0].startswith("1 image made, ")
        assert lines[1] == "1 image of a run that was killed, found whole, went on record."

    def test_a_run_that_stopped_says_why_and_how_to_go_on(self):
        """The reason, made harmless, and the way to continue stand last."""
        stopping = StopReason(cause=StopCause.BUDGET, text="The budget is\x1b used up.")

        lines = report(replace(SUMMARY, stopping=stopping), Failures())

        assert lines[-2:] == [
            "The budget is\\x1b used up.",
            "The same command again goes on where this run stopped.",
        ]

    def test_a_stop_that_left_nothing_is_not_told(self):
        """A signal that came after the last task changed nothing."""
        stopping = StopReason(cause=StopCause.INTERRUPTED, text="Stopped by SIGINT.")
        summary = replace(SUMMARY, total=10, stopping=stopping)

        assert "SIGINT" not in "".join(report(summary, Failures()))

    def test_a_budget_and_what_reuse_saved(self):
        """Money has four figures where all of them are known."""
        summary = replace(
            SUMMARY, saved_usd=Decimal("1.2"), budget_left_usd=Decimal(3), earlier_succeeded=30
        )

        assert "Cost: billed 0.40 USD, saved by reuse 1.20 USD, left of the budget 3.00 USD." in (
            report(summary, Failures())
        )


def display(lines, **options):
    """A display whose first line is "Run run-1.", and its screen's lines."""
    return Display(lines, Failures(), opening=lambda summary: f"Run {summary.run_id}.", **options)


class TestDisplay:
    def test_failures_and_notices_are_lines(self):
        """What an observer hears is printed, harmless."""
        lines = Lines()
        shown = display(lines)

        shown.record(make_record())
        shown.record(failed(label="mug/1"))
        shown.retry(retry(AnswerLost("gone", code="Reset")))
        shown.notice("two\nlines")

        assert [line.split(":")[0] for line in lines.lines] == [
            "mug/1 failed",
            "mug/1 is tried again",
            "two\\nlines",
        ]

    @virtual_time
    async def test_progress_is_shown_at_even_intervals(self):
        """Every few seconds while the block lasts, and never after it."""
        lines = Lines(every=5.0)

        with display(lines).showing(lambda: SUMMARY):
            await asyncio.sleep(17)
        await asyncio.sleep(60)

        assert lines.shown == [SUMMARY] * 3

    @virtual_time
    async def test_the_first_line_is_what_the_run_is(self):
        """A warning of the plan comes earlier, and is printed after it."""
        lines = Lines()
        shown = display(lines)

        with shown.showing(lambda: SUMMARY):
            shown.notice("a warning")
            assert lines.lines == []
            shown.start(SUMMARY)

        assert lines.lines == ["Run run-1.", "a warning"]

    @virtual_time
    async def test_what_is_said_before_does_not_wait_for_long(self):
        """A run that waits for another one says so soon, and one that is refused says all."""
        waiting, refused = Lines(), Lines()
        shown, other = display(waiting), display(refused)

        with shown.showing(lambda: SUMMARY):
            shown.notice("another run holds it")
            await asyncio.sleep(3)
            assert waiting.lines == ["another run holds it"]
        with other.showing(lambda: SUMMARY):
            other.notice("a warning")

        assert refused.lines == ["a warning"]

    @virtual_time
    async def test_quiet_leaves_warnings_and_failures(self):
        """No first line, nothing of what goes well, no progress."""
        lines = Lines()
        shown = display(lines, quiet=True)

        with shown.showing(lambda: SUMMARY):
            shown.start(SUMMARY)
            shown.info("2 tasks are done")
            shown.notice("the disk is slow")
            shown.record(failed(label="mug/1"))
            await asyncio.sleep(10)

        assert [line.partition(":")[0] for line in lines.lines] == [
            "the disk is slow",
            "mug/1 failed",
        ]
        assert lines.shown == []

    @virtual_time
    async def test_a_pace_that_changed_is_a_log_entry(self, caplog):
        """With -v a person sees which rate each model has, once for each change."""
        states = [replace(STATE, allowed_per_minute=rate) for rate in (90.0, 90.0, 45.0)]

        with (
            caplog.at_level("INFO", "batchgen"),
            display(Lines()).showing(lambda: replace(SUMMARY, pace={"core": states.pop(0)})),
        ):
            await asyncio.sleep(3.5)

        assert [entry.message.partition(" calls")[0] for entry in caplog.records] == [
            "core: steady, at most 90",
            "core: steady, at most 45",
        ]


class TestOpening:
    JOB = Job(name="shop", model=CORE, items=(Item(id="mug", prompt="a mug"),), output="out/shop")

    def test_it_names_the_run_and_what_bounds_it(self, monkeypatch, tmp_path):
        """Run id, absolute paths, tasks, budget and until."""
        monkeypatch.chdir(tmp_path)
        limits = Limits(budget_usd=Decimal(25), run_budget_usd=Decimal(5))
        job = self.JOB.model_copy(update={"limits": limits})
        deadline = deadline_of(time(0, 0), None, datetime.now(UTC))

        line = opening_line(job, deadline, SUMMARY)

        assert line.startswith(
            f"Run run-1: job shop, output {tmp_path}/out/shop, endpoint aws, 52 tasks, "
            "budget 25.00 USD until the job is finished, budget of this run 5.00 USD, until 00:00"
        )

    @pytest.mark.parametrize(
        ("until", "text"),
        [
            (time(23, 0), "23:00"),
            (time(6, 0), "06:00 tomorrow, for 06:00 has passed today"),
        ],
    )
    def test_a_time_of_day_that_has_passed_is_said(self, until, text):
        """06:00 at ten in the evening is tomorrow's."""
        now = datetime.now().astimezone().replace(hour=22, minute=0)

        assert until_text(deadline_of(until, None, now), now) == text


class TestPlainScreen:
    def test_lines_go_to_standard_error(self, capsys):
        """A log has one line for each state, at bearable intervals."""
        end_log()  # whatever ran before in this process
        plain = PlainScreen()

        plain.line("a notice")
        plain.show(SUMMARY)

        assert capsys.readouterr() == ("", f"a notice\n{status_line(SUMMARY)}\n")
        assert plain.every == LINE_EVERY >= 1.0

    def test_a_log_has_the_time_of_each_line(self, capsys):
        """One line a minute; what is printed behind it has its time as well."""
        logged = LogScreen()

        logged.line("a notice")
        note("a complaint")
        end_log()
        note("of the next command")

        times, texts = zip(
            *(line.split(" ", 1) for line in capsys.readouterr().err.splitlines()), strict=True
        )
        assert texts[:2] == ("a notice", "a complaint")
        assert all(datetime.fromisoformat(each).tzinfo for each in times[:2])
        assert times[2] == "of"
        assert logged.every == LOG_EVERY == 60.0

    def test_nothing_is_shown_before_there_is_anything(self, capsys):
        """While the plan is read there are no figures."""
        PlainScreen().show(replace(SUMMARY, total=0))

        assert capsys.readouterr().err == ""

    def test_with_a_log_it_is_taken(self, monkeypatch, caplog):
        """Log lines and a bar would write over each other."""
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)

        with caplog.at_level("INFO"), screen() as shown:
            assert isinstance(shown, PlainScreen)

    def test_without_a_terminal_it_is_taken(self):
        """A pipe, a file and a cron mail get lines."""
        with screen() as shown:
            assert isinstance(shown, PlainScreen)


class TestBar:
    @pytest.fixture
    def drawn(self, monkeypatch, capsys):
        """Draw a summary on a terminal of 80 columns; the lines that stay."""
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(Console, "is_terminal", property(lambda _: False))

        def draw(summary, *lines):
            with bar_screen(1.0) as shown:
                assert isinstance(shown, BarScreen)
                for line in lines:
                    shown.line(line)
                shown.show(summary)
            return capsys.readouterr().err.splitlines()

        return draw

    def test_all_figures_of_a_long_night_are_readable(self, drawn):
        """Nothing is cut off at 80 columns: the figures go on in a second line."""
        summary = replace(
            SUMMARY,
            total=10_520,
            succeeded=1_200,
            throttled=123,
            failed=13,
            filtered=12,
            billed_usd=Decimal("123.24"),
        )

        text = " ".join(" ".join(drawn(summary)).split())

        assert "1225/10520 60.0 images/min · 123 throttled · 13 failed · 12 filtered" in text
        assert "123.24 USD · 2 h 35 min left" in text
        assert "…" not in text

    def test_lines_above_it_are_words_of_others(self, drawn):
        """Brackets and colons are no markup: what the service said is printed as it was said."""
        said = "mug/1 was filtered: [red]Filter[/red] :warning:"

        assert said in drawn(SUMMARY, said)

    def test_a_terminal_that_went_away_takes_nothing(self, monkeypatch):
        """Whatever can no longer be drawn is lost, and nobody is told."""
        master, slave = os.openpty()
        monkeypatch.setenv("TERM", "xterm")
        with suppress(OSError), os.fdopen(slave, "w", buffering=1) as terminal:  # nor can it close
            monkeypatch.setattr("sys.stderr", terminal)
            with screen() as shown:
                shown.line("a line")
                os.close(master)
                shown.line("another line")
                shown.show(SUMMARY)
            with pytest.raises(OSError, match="Input/output error"):
                terminal.write("a line\n")
            survived = isinstance(shown, BarScreen)

        assert survived
