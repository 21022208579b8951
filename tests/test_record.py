import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from fakes import NOON, make_image, make_record, make_task
from hypothesis import given
from hypothesis import strategies as st

from batchgen.output.manifest import parse_line
from batchgen.record import (
    AttemptLine,
    EndLine,
    ErrorInfo,
    MovedLine,
    Record,
    RunLine,
    Status,
    is_simulated,
    utc_now,
)

RECORD = {
    "kind": "record",
    "run_id": "run-1",
    "task_id": "1-0123",
    "label": "mug-blue/studio/1",
    "item_id": "mug-blue",
    "vars": {"style": "studio"},
    "status": "succeeded",
    "model_id": "stability.stable-image-core-v1:1",
    "region": "us-west-2",
    "endpoint": "simulator",
    "seed": 3141592653,
    "request": {"prompt": "a mug", "seed": 3141592653, "output_format": "png"},
    "images": [
        {
            "path": "images/mug-blue-studio-1.png",
            "sha256": "ab" * 32,
            "bytes": 1508159,
            "format": "png",
            "width": 1024,
            "height": 1024,
            "seed": 3141592653,
            "finish_reason": None,
        }
    ],
    "finish_reasons": [None],
    "attempts": 1,
    "request_id": "r-1",
    "started_at": "2026-11-21T02:00:03.120Z",
    "finished_at": "2026-11-21T02:00:06.010Z",
    "latency_ms": 2890,
    "cost_usd": 0.04,
    "maybe_billed": 0,
    "maybe_billed_usd": 0.0,
    "error": None,
}
"""A record as the contract with users has it: names, order and forms are fixed."""


NAMELESS_RUN = {
    "run_id": "run-1",
    "batchgen_version": "0.1.0",
    "sdk_versions": {},
    "job_name": "catalog",
    "job_file": None,
    "job_sha256": None,
    "endpoint": "simulator",
    "region": "us-west-2",
    "random_seed_key": "k",
    "started_at": NOON,
}


class TestContract:
    def test_a_record_is_written_as_the_contract_has_it(self):
        """Same fields, same order, same forms; ASCII JSON on one line."""
        record = Record.model_validate(RECORD)
        assert record.to_json() == json.dumps(RECORD).encode() + b"\n"

    def test_a_record_of_an_earlier_version_is_read(self):
        """It may lack what its repeats may have cost: then each cost what the call does."""
        older = {name: value for name, value in RECORD.items() if name != "maybe_billed_usd"}
        assert Record.model_validate(older).maybe_billed_usd is None

    def test_a_failed_record_says_why(self):
        """`error` is type, code, message and whether a later run may succeed."""
        error = ErrorInfo(type="Throttled", code="ThrottlingException", message="x", retryable=True)
        record = make_record(status=Status.FAILED, images=(), cost_usd=0.0, error=error)
        line = json.loads(record.to_json())
        assert line["error"] == {
            "type": "Throttled",
            "code": "ThrottlingException",
            "message": "x",
            "retryable": True,
        }
        assert (line["status"], line["images"]) == ("failed", [])

    def test_a_run_line(self):
        """`run` opens a run and gives the version of the format."""
        line = RunLine(
            run_id="run-1",
            batchgen_version="0.1.0",
            sdk_versions={"botocore": "1.40.61"},
            job_name="catalog",
            job_file="jobs/catalog.yaml",
            job_sha256="ab" * 32,
            endpoint="simulator",
            region="us-west-2",
            random_seed_key="k",
            started_at=NOON,
        )
        assert json.loads(line.to_json()) == {
            "kind": "run",
            "run_id": "run-1",
            "version": 2,
            "batchgen_version": "0.1.0",
            "sdk_versions": {"botocore": "1.40.61"},
            "job_name": "catalog",
            "job_file": "jobs/catalog.yaml",
            "job_sha256": "ab" * 32,
            "endpoint": "simulator",
            "region": "us-west-2",
            "random_seed_key": "k",
            "started_at": "2026-11-21T12:00:00.000Z",
        }

    def test_a_run_line_says_what_was_chosen(self):
        """With the output's absolute path; what was not asked for is left out."""
        line = RunLine.model_validate(
            {
                **NAMELESS_RUN,
                "output": "/srv/out/catalog",
                "reseeds": [{"key": "ab", "only": ["mug-*"]}],
                "fresh": True,
                "only": ["mug-*"],
                "limit": 5,
            }
        )
        fields = json.loads(line.to_json())
        assert fields["output"] == "/srv/out/catalog"
        assert fields["reseeds"] == [{"key": "ab", "only": ["mug-*"]}]
        assert (fields["fresh"], fields["only"], fields["limit"]) == (True, ["mug-*"], 5)

    @pytest.mark.parametrize(
        ("endpoint", "simulated"),
        [
            ("simulator", True),
            ("http://127.0.0.1:8080", True),
            ("http://127.9.9.9", True),
            ("http://[::1]:8080/", True),
            ("http://localhost:4566", True),
            ("https://LOCALHOST", True),
            ("aws", False),
            ("https://bedrock.internal.example", False),
            ("http://10.0.0.1:8080", False),
            ("http://127.0.0.1.example.org", False),
            ("http://[broken", False),
            ("", False),
        ],
    )
    def test_which_endpoints_are_simulators(self, endpoint, simulated):
        """Those on this machine, by whatever name; all others stand for the service."""
        assert is_simulated(endpoint) is simulated

    def test_an_attempt_line(self):
        """`attempt` precedes a call and gives its price."""
        line = AttemptLine(
            run_id="run-1",
            task_id="t",
            attempt=2,
            seed=7,
            price_usd=0.04,
            maybe_billed_usd=0.0,
            started_at=NOON,
        )
        assert json.loads(line.to_json()) == {
            "kind": "attempt",
            "run_id": "run-1",
            "task_id": "t",
            "attempt": 2,
            "seed": 7,
            "price_usd": 0.04,
            "maybe_billed": 0,
            "maybe_billed_usd": 0.0,
            "started_at": "2026-11-21T12:00:00.000Z",
        }

    def test_a_moved_line(self):
        """`moved` follows a file to its new path."""
        line = MovedLine(run_id="run-1", task_id="t", path="a.png", new_path="superseded/a~1.png")
        assert json.loads(line.to_json()) == {
            "kind": "moved",
            "run_id": "run-1",
            "task_id": "t",
            "path": "a.png",
            "new_path": "superseded/a~1.png",
        }

    def test_an_end_line(self):
        """`end` closes a run with its exit code and its summary."""
        line = EndLine(run_id="run-1", finished_at=NOON, exit_code=3, summary={"failed": 1})
        assert json.loads(line.to_json()) == {
            "kind": "end",
            "run_id": "run-1",
            "finished_at": "2026-11-21T12:00:00.000Z",
            "exit_code": 3,
            "summary": {"failed": 1},
        }

    @pytest.mark.parametrize(
        ("line", "kind"),
        [(RunLine, "run"), (AttemptLine, "attempt"), (EndLine, "end"), (MovedLine, "moved")],
    )
    def test_the_kind_comes_first(self, line, kind):
        """The first field of a line is its kind."""
        first = next(iter(line.model_fields))
        assert (first, line.model_fields[first].default) == ("kind", kind)


EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # hypothesis wants bounds without a zone
END = datetime(9998, 12, 31)  # noqa: DTZ001  # all later ones are another year in some zone


class TestTimes:
    def test_any_zone_is_written_as_utc(self):
        """A time is written in UTC, to the millisecond, with a Z."""
        east = NOON.astimezone(timezone(timedelta(hours=5, minutes=30))) + timedelta(
            microseconds=999
        )
        line = json.loads(make_record(started_at=east).to_json())
        assert line["started_at"] == "2026-11-21T12:00:00.000Z"

    @given(st.datetimes(EPOCH, END, timezones=st.just(UTC)))
    def test_a_time_comes_back_to_the_millisecond(self, time):
        """Reading a line gives the time that was written, cut to milliseconds."""
        record = make_record(finished_at=time)
        assert parse_line(record.to_json()).finished_at == time.replace(
            microsecond=time.microsecond // 1000 * 1000
        )

    def test_now_is_in_utc(self):
        """`utc_now` knows its zone."""
        assert utc_now().utcoffset() == timedelta(0)


texts = st.text(st.characters())  # every character, lone halves of pairs included
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


class TestRoundTrip:
    @given(
        label=texts,
        variables=st.dictionaries(st.text(), texts, max_size=3),
        request=st.dictionaries(st.text(), json_values, max_size=4),
        reasons=st.lists(st.none() | texts, max_size=3),
        message=texts,
    )
    def test_any_text_comes_back(
        self, label, variables, request, reasons, message
    ):  # one drawn value each
        """What is written is read back exactly, whatever characters people and services send."""
        record = make_record(
            label=label,
            vars=variables,
            request=request,
            finish_reasons=tuple(reasons),
            error=ErrorInfo(type="Rejected", code="C", message=message, retryable=False),
        )
        data = record.to_json()
        assert data.isascii()
        assert data.count(b"\n") == 1
        assert parse_line(data) == record

    @pytest.mark.parametrize(
        "text",
        [
            "\u2028\u2029\x85",
            "\x00\x1b[31m\r\n\t\x7f",
            "\u202e\u200f",
            "\ud800",
            "\udc00x",
            "é😀",
            '"\\',
        ],
    )
    def test_hard_texts_come_back(self, text):
        """Line ends of all kinds, controls, directions and half characters survive the manifest."""
        task = make_task(request={"prompt": text}, label=text)
        record = make_record(task)
        data = record.to_json()
        assert data.isascii()
        assert len(data.splitlines()) == 1
        assert parse_line(data) == record

    def test_what_a_later_version_adds_is_ignored(self):
        """Unknown fields are no fault, in a line and in its parts."""
        fields = json.loads(make_record().to_json())
        known = Record.model_validate(fields)
        fields["later"] = 1
        fields["images"][0]["later"] = 1
        assert parse_line(json.dumps(fields).encode()) == known

    @pytest.mark.parametrize(
        "change",
        [
            {"latency_ms": 10**400},
            {"seed": 2**63},
            {"cost_usd": float("nan")},
            {"cost_usd": float("inf")},
            {"maybe_billed_usd": float("-inf")},
        ],
    )
    def test_numbers_that_nothing_can_count_with_make_no_record(self, change):
        """A line of a manifest from elsewhere with one of these is a damaged one, not a crash."""
        fields = json.loads(make_record().to_json()) | change
        assert parse_line(json.dumps(fields).encode()) is None

    def test_lines_are_values(self):
        """A line cannot be changed after it was made."""
        with pytest.raises(ValueError, match="frozen"):
            make_record().label = "other"
        with pytest.raises(ValueError, match="frozen"):
            make_image().path = "other"
