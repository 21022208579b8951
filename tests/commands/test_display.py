"""What a person reads of a run: lines, figures, failures told once, a report at the end."""

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pytest
from fakes import make_record, make_task
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from virtual_time import virtual_time

from batchgen.commands.bar import BarScreen, bar_screen
from batchgen.commands.display import Display
from batchgen.commands.failures import KINDS, MESSAGE_SHOWN, Failures
from batchgen.commands.figures import figures, report, status_line
from batchgen.commands.screens import LINE_EVERY, PlainScreen, screen
from batchgen.errors import AnswerLost, Throttled
from batchgen.policies.retry import Retry
from batchgen.policies.stop import StopCause, StopReason
from batchgen.record import ErrorInfo, Status
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


def filtered(message="Filter reason: prompt"):
    """The record of a task that moderation refused."""
    error = ErrorInfo(type="Filtered", code="Filtered", message=message, retryable=False)
    return make_record(status=Status.FILTERED, images=(), error=error)


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

    def test_no_time_left_without_a_pace(self):
        """Before the first image nobody knows how long the rest takes."""
        assert "left" not in status_line(replace(SUMMARY, images_per_minute=0.0))


class TestFailures:
    def test_equal_failures_are_told_once_and_counted(self):
        """The first with the task's name, then a number at the end."""
        failures = Failures()

        told = [failures.note(failed(label=f"mug/{number}")) for number in range(50)]

        advice = "Correct the prompt or the parameters in the job file."
        assert told[0] == f"mug/0 failed: ValidationException: no. {advice}"
        assert told[1:] == [None] * 49
        assert list(failures.repeated()) == [f"50 tasks failed: ValidationException: no. {advice}"]

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

    def test_several_tasks_are_plural(self):
        """Two tasks were filtered, not was."""
        failures = Failures()

        failures.note(filtered())
        failures.note(filtered())

        assert list(failures.repeated()) == [
            "2 tasks were filtered by the service: Filter reason: prompt. Reword its prompt."
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
        assert list(failures.repeated()) == [
            "7 more tasks failed, each in another way: see the manifest."
        ]

    def test_a_retry_is_told_once_for_each_code(self):
        """Why nothing moves is said at once; how often, at the end."""
        failures = Failures()
        error = AnswerLost("no answer came", code="ReadTimeoutError")

        told = [failures.note_retry(retry(error)) for _ in range(3)]

        assert told == ["mug/1 is tried again: ReadTimeoutError: no answer came.", None, None]
        assert list(failures.repeated()) == ["3 attempts were made again after ReadTimeoutError."]

    def test_what_the_quota_refuses_is_a_figure_only(self):
        """Throttling is the way of life of a batch."""
        failures = Failures()

        assert failures.note_retry(retry(Throttled("slow down", code="Throttling"))) is None
        assert list(failures.repeated()) == []

    @given(st.text(), st.text(min_size=1), st.text())
    def test_nothing_that_steers_a_terminal_is_told_raw(self, label, code, message):
        """Whatever labels, codes and messages hold, the line is printable."""
        failures = Failures()
        error = AnswerLost(message, code=code)

        told = [failures.note(failed(message, code=code, label=label))]
        told.append(failures.note_retry(retry(error)))
        failures.note(failed(message, code=code, label=label))
        failures.note_retry(retry(error))

        assert all(text.isprintable() for text in (*told, *failures.repeated()))


class TestReport:
    def test_a_run_that_made_everything(self):
        """Counts, money, and where it all is."""
        summary = replace(SUMMARY, total=10, maybe_billed_usd=Decimal("0.04"))

        counts, *rest = report(summary, Failures(), "out/shop")

        assert counts == (
            "10 images made, 0 filtered, 0 failed, 0 left open, 0 done earlier, in 10 s "
            "(60.0 images/min, 0 throttled)."
        )
        assert rest == [
            "Cost: billed 0.40 USD, maybe billed as well 0.04 USD.",
            "Images and manifest: out/shop",
        ]

    def test_one_is_singular(self):
        """One image is not images."""
        lines = report(replace(SUMMARY, succeeded=1, adopted=1), Failures(), "out")

        assert lines[0].startswith("1 image made, ")
        assert lines[1] == "1 image of a run that was killed, found whole, went on record."

    def test_a_run_that_stopped_says_why_and_how_to_go_on(self):
        """The reason, made harmless, and the way to continue stand last."""
        stopping = StopReason(cause=StopCause.BUDGET, text="The budget is\x1b used up.")

        lines = report(replace(SUMMARY, stopping=stopping), Failures(), "out")

        assert lines[-2:] == [
            "The budget is\\x1b used up.",
            "The same command again goes on where this run stopped.",
        ]

    def test_a_stop_that_left_nothing_is_not_told(self):
        """A signal that came after the last task changed nothing."""
        stopping = StopReason(cause=StopCause.INTERRUPTED, text="Stopped by SIGINT.")
        summary = replace(SUMMARY, total=10, stopping=stopping)

        assert "SIGINT" not in "".join(report(summary, Failures(), "out"))

    def test_a_budget_and_what_reuse_saved(self):
        """Money has four figures where all of them are known."""
        summary = replace(
            SUMMARY, saved_usd=Decimal("1.2"), budget_left_usd=Decimal(3), earlier_succeeded=30
        )

        assert "Cost: billed 0.40 USD, saved by reuse 1.20 USD, left of the budget 3.00 USD." in (
            report(summary, Failures(), "out")
        )


class TestDisplay:
    def test_failures_and_notices_are_lines(self):
        """What an observer hears is printed, harmless."""
        lines = Lines()
        display = Display(lines, Failures())

        display.record(make_record())
        display.record(failed(label="mug/1"))
        display.retry(retry(AnswerLost("gone", code="Reset")))
        display.notice("two\nlines")

        assert [line.split(":")[0] for line in lines.lines] == [
            "mug/1 failed",
            "mug/1 is tried again",
            "two\\nlines",
        ]

    @virtual_time
    async def test_progress_is_shown_at_even_intervals(self):
        """Every few seconds while the block lasts, and never after it."""
        lines = Lines(every=5.0)

        with Display(lines, Failures()).showing(lambda: SUMMARY):
            await asyncio.sleep(17)
        await asyncio.sleep(60)

        assert lines.shown == [SUMMARY] * 3


class TestPlainScreen:
    def test_lines_go_to_standard_error(self, capsys):
        """A log has one line for each state, at bearable intervals."""
        plain = PlainScreen()

        plain.line("a notice")
        plain.show(SUMMARY)

        assert capsys.readouterr() == ("", f"a notice\n{status_line(SUMMARY)}\n")
        assert plain.every == LINE_EVERY >= 1.0

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
