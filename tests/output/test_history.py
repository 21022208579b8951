import json
from decimal import Decimal

import pytest
from fakes import NOON, make_image, make_record, make_task
from hypothesis import given
from hypothesis import strategies as st
from outputs import run_line

from batchgen.errors import ManifestError
from batchgen.output import read_history as histories
from batchgen.output import spending
from batchgen.output.history import Refresh
from batchgen.output.manifest import MANIFEST_NAME, parse_line, parse_object
from batchgen.output.read_history import load_history
from batchgen.record import (
    AttemptLine,
    EndLine,
    ErrorInfo,
    MovedLine,
    RepairLine,
    Reseed,
    Status,
)
from batchgen.task import compact
from batchgen.text import quoted

A, B, C = (make_task() for _ in range(3))
REAL = "https://bedrock-runtime.us-west-2.amazonaws.com"


def run(name="catalog", key="k", **changes):
    return run_line(job_name=name, random_seed_key=key, **changes)


def attempt(task, number=1, cost=0.04, maybe=0):
    return AttemptLine(
        run_id="run-1",
        task_id=task.id,
        attempt=number,
        seed=1,
        price_usd=cost,
        maybe_billed=maybe,
        started_at=NOON,
    )


def end(exit_code=3, billed=0.0, maybe=0.0, run_id="run-1", **summary):
    summary = {"billed_usd": billed, "maybe_billed_usd": maybe, **summary}
    return EndLine(run_id=run_id, finished_at=NOON, exit_code=exit_code, summary=summary)


def repaired(task):
    return RepairLine(reason="missing", task_id=task.id, at=NOON)


def by_another_program(line):
    """The same JSON object in another spelling: without blanks, its keys in another order."""
    fields = dict(reversed(json.loads(line.to_json()).items()))
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def moved(task, new_path):
    return MovedLine(run_id="run-1", task_id=task.id, path="old", new_path=new_path)


def failed(task, **changes):
    return make_record(task, status=Status.FAILED, images=(), cost_usd=0.0, **changes)


def adopted(task):
    return make_record(task, latency_ms=None, request_id=None)


def statuses(found):
    """What the history knows of A, B and C; it knows of no others."""
    each = {"A": found.status(A.id), "B": found.status(B.id), "C": found.status(C.id)}
    known = {name: status for name, status in each.items() if status is not None}
    assert len(found) == len(known)
    return known


@pytest.fixture
def history(tmp_path):
    """Loads a manifest of these lines; a line may be given as bytes."""
    path = tmp_path / MANIFEST_NAME

    def load_lines(*lines):
        path.write_bytes(
            b"".join(line if isinstance(line, bytes) else line.to_json() for line in lines)
        )
        return load_history(path)

    return load_lines


class TestEmpty:
    def test_a_missing_manifest_is_an_empty_history(self, tmp_path):
        """The first run of an output starts from nothing."""
        history = load_history(tmp_path / MANIFEST_NAME)
        assert history.path == tmp_path / MANIFEST_NAME
        assert (len(history), history.moved, history.last_move) == (0, {}, None)
        assert (history.unanswered, history.spent, history.unreadable) == ({}, Decimal(0), 0)
        assert (history.job_name, history.random_seed_key) == (None, None)
        assert history.record(A.id) is None

    def test_what_cannot_be_read_is_said(self, tmp_path):
        """A folder in its place is a sentence with the path."""
        with pytest.raises(ManifestError, match=f"{tmp_path} cannot be read: Is a directory"):
            load_history(tmp_path)


class TestRecords:
    def test_the_last_record_wins(self, history):
        """Of several records of a task the last one counts, and is the one that is read back."""
        first, last = failed(A), make_record(A, attempts=2)
        found = history(run(), first, make_record(B), last)
        assert statuses(found) == {"A": Status.SUCCEEDED, "B": Status.SUCCEEDED}
        assert found.record(A.id) == last

    def test_a_later_failure_wins_too(self, history):
        """The last record counts whatever it says."""
        found = history(make_record(A), failed(A))
        assert statuses(found) == {"A": Status.FAILED}

    @pytest.mark.parametrize("status", Status)
    def test_every_status_is_known(self, history, status):
        """Succeeded, filtered and failed are all kept."""
        assert statuses(history(make_record(A, status=status))) == {"A": status}

    def test_offsets_count_every_byte(self, history):
        """A record is found behind damage, blank lines and characters of any width."""
        record = make_record(A, label="\u2028é😀")
        found = history(b"\n\xff\xfe torn \xc3\xa9\n\n", run(), record, moved(A, "x"))
        assert found.record(A.id) == record

    def test_an_unknown_task_has_no_record(self, history):
        """Asking for what is not there gives None."""
        assert history(make_record(A)).record(B.id) is None

    def test_a_record_that_does_not_hold_is_none(self, history):
        """A record whose fields are damaged is as good as none."""
        fields = json.loads(make_record(A).to_json())
        del fields["images"]
        found = history(json.dumps(fields).encode() + b"\n")
        assert found.record(A.id) is None

    def test_offset_is_where_the_last_record_stands(self, history):
        """In bytes from the start of the manifest; -1 without a record."""
        lines = [run(), make_record(A), make_record(B), failed(A)]
        found = history(*lines)
        before = [len(line.to_json()) for line in lines]
        assert found.offset(A.id) == sum(before[:3])
        assert found.offset(B.id) == sum(before[:2])
        assert found.offset(C.id) == -1

    def test_the_last_records_come_in_the_order_of_writing(self, history):
        """One for each task: neither an older one nor one that is damaged."""
        damaged = json.loads(make_record(C).to_json()) | {"seed": "x"}
        last = failed(A)
        found = history(
            run(), make_record(A), make_record(B), last, json.dumps(damaged).encode() + b"\n"
        )
        assert [line.task_id for line in found.last_records()] == [B.id, A.id]
        assert list(found.last_records())[1] == last

    def test_last_records_of_a_manifest_that_went_away(self, history):
        """Whoever reads them all is told."""
        found = history(make_record(A))
        found.path.unlink()
        with pytest.raises(ManifestError) as caught:
            list(found.last_records())
        assert str(caught.value) == f"{found.path} cannot be read: No such file or directory"

    def test_counts_are_of_last_records(self, history):
        """Each task once, whatever made it; a status that no task has is counted as well."""
        found = history(
            failed(A),
            make_record(A),
            make_record(B, endpoint=REAL),
            make_record(C, status=Status.FILTERED),
        )
        made = {Status.SUCCEEDED: 2, Status.FILTERED: 1, Status.FAILED: 0, Status.SKIPPED: 0}
        assert found.counts() == made
        assert history(failed(A)).counts()[Status.FAILED] == 1

    @pytest.mark.parametrize("spelling", [by_another_program, lambda line: line.to_json()])
    @pytest.mark.parametrize("status", Status)
    @pytest.mark.parametrize("endpoint", ["simulator", REAL])
    def test_the_spelling_of_a_line_changes_nothing(self, history, spelling, status, endpoint):
        """A record that another program wrote again is read as ours: only slower."""
        record = make_record(B, status=status, endpoint=endpoint)
        found = history(run(), make_record(A), moved(B, "x"), spelling(record), moved(C, "y"))
        assert found.latest(B.id) == (status, endpoint == "simulator")
        assert found.record(B.id) == record
        assert found.moved == {C.id: "y"}
        assert found.unreadable == 0


class TestPlain:
    """A record as batchgen writes it is read by its bytes, without a parser, and as truly."""

    def test_what_batchgen_wrote_needs_no_parser(self, history, monkeypatch):
        """A million lines must not take a minute: of ours only those of runs are parsed."""
        parsed = []

        def parse(data):
            parsed.append(parse_object(data))
            return parsed[-1]

        monkeypatch.setattr(histories, "parse_object", parse)
        error = ErrorInfo(type="Throttled", code="429", message='a "b" {c}', retryable=True)
        found = history(
            run(),
            *(line for task in (A, B, C) for line in (attempt(task), make_record(task))),
            *(make_record(task, endpoint=REAL) for task in (A, B)),
            failed(A, error=error),
            make_record(B, status=Status.FILTERED, images=()),
            end(),
        )
        assert statuses(found) == {
            "A": Status.FAILED,
            "B": Status.FILTERED,
            "C": Status.SUCCEEDED,
        }
        assert {fields["kind"] for fields in parsed} == {"run", "end"}

    def test_each_record_has_its_own_service(self, history):
        """Whatever the one before it had: a job may go from one to the other and back."""
        tasks = [make_task() for _ in range(6)]
        endpoints = [
            "simulator",
            REAL,
            REAL,
            "http://127.0.0.1:8",
            "http://127.0.0.1.example",
            REAL,
        ]
        found = history(
            *map(make_record, tasks),
            *(
                make_record(task, endpoint=endpoint)
                for task, endpoint in zip(tasks, endpoints, strict=True)
            ),
        )
        simulated = [found.latest(task.id)[1] for task in tasks]
        assert simulated == [True, False, False, True, False, False]

    @pytest.mark.parametrize(
        "task_id",
        ["7", "1-", "1-" + "0f" * 15, "1-" + "0f" * 17, "1-" + "xy" * 16, "2-" + "0f" * 16, 'é"\\'],
    )
    def test_an_id_of_another_version_is_known_too(self, history, task_id):
        """Whatever its length and its characters."""
        record = make_record(A, task_id=task_id)
        found = history(make_record(B), record, make_record(C))
        assert found.status(task_id) is Status.SUCCEEDED
        assert found.record(task_id) == record
        assert len(found) == 3

    @pytest.mark.parametrize("status", ["succeeded", "failed"])
    @pytest.mark.parametrize("place", ["vars", "request"])
    def test_only_fields_of_the_record_itself_count(self, history, place, status):
        """Variables of an item and parameters of a request may have any names."""
        names = {"status": status, "task_id": B.id, "endpoint": REAL, "kind": "end"}
        inside = names if place == "vars" else {"style": {"a": 1}, **names}
        for line in (make_record(A, **{place: inside}), failed(A, **{place: inside})):
            found = history(line)
            assert statuses(found) == {"A": line.status}
            assert found.latest(A.id) == (line.status, True)

    @pytest.mark.parametrize(
        "line", [make_record(A), failed(A), attempt(A)], ids=["made", "failed", "attempt"]
    )
    def test_a_line_that_was_cut_anywhere_is_none(self, history, line):
        """Sealed by the next run, it stands alone: as damage, and not as a record."""
        data = line.to_json()
        for cut in range(1, len(data) - 1):
            found = history(make_record(B), data[:cut] + b"\n", make_record(C))
            assert statuses(found) == {"B": Status.SUCCEEDED, "C": Status.SUCCEEDED}, cut
            assert found.unreadable == 1, cut


class TestRepair:
    def test_what_was_repaired_is_made_again(self, history):
        """A record before the line counts no more, nor does where its file went; others do."""
        found = history(
            run(), make_record(A), make_record(B), moved(A, "x"), moved(B, "y"), repaired(A)
        )
        assert statuses(found) == {"B": Status.SUCCEEDED}
        assert found.moved == {B.id: "y"}

    def test_a_record_behind_it_counts(self, history):
        """The image was made again."""
        found = history(make_record(A), repaired(A), make_record(A))
        assert statuses(found) == {"A": Status.SUCCEEDED}

    @pytest.mark.parametrize("task_id", [C.id, None, 7])
    def test_one_of_no_known_task_changes_nothing(self, history, task_id):
        """A file that no record named was moved aside; or the line is damaged."""
        line = json.loads(repaired(A).to_json()) | {"task_id": task_id}
        found = history(make_record(A), moved(A, "x"), json.dumps(line).encode() + b"\n")
        assert statuses(found) == {"A": Status.SUCCEEDED}
        assert (found.moved, found.unreadable) == ({A.id: "x"}, 0)


class TestMoved:
    def test_it_follows_the_file(self, history):
        """The last move of a task says where its file is."""
        found = history(make_record(A), moved(A, "superseded/a~1.png"), moved(A, "images/a.png"))
        assert found.moved == {A.id: "images/a.png"}

    def test_a_later_record_forgets_the_move(self, history):
        """A new record has its own path; moves of others stay."""
        found = history(make_record(A), moved(A, "x"), moved(B, "y"), make_record(A))
        assert found.moved == {B.id: "y"}

    def test_the_last_move_of_all_is_known(self, history):
        """A kill may have cut it short: both of its paths are told."""
        found = history(make_record(A), moved(A, "x"), moved(B, "y"), make_record(A))
        assert found.last_move == ("old", "y")

    @pytest.mark.parametrize("side", ["path", "new_path"])
    def test_a_move_without_both_paths_is_damage(self, history, side):
        """Each is counted, and none is followed."""
        line = json.loads(moved(A, "x").to_json()) | {side: 7}
        found = history(*[json.dumps(line).encode() + b"\n"] * 2)
        assert (found.moved, found.last_move, found.unreadable) == ({}, None, 2)

    @pytest.mark.parametrize("path", ["/etc/passwd", "../x"])
    def test_a_path_out_of_the_output_is_refused_with_its_place(self, history, tmp_path, path):
        """A person must find the line."""
        first = run()
        with pytest.raises(ManifestError) as caught:
            history(first, moved(A, path))
        assert str(caught.value) == (
            f"{tmp_path / MANIFEST_NAME} names {quoted(path)} in its line at byte "
            f"{len(first.to_json())}, which is no path inside the output: no run of batchgen wrote "
            "that. Find out who did, and take the line out"
        )

    def test_a_record_s_image_out_of_the_output_is_refused(self, history):
        """However the record is spelt."""
        record = make_record(A, images=(make_image(), make_image(path="../x")))
        for line in (record, by_another_program(record)):
            with pytest.raises(ManifestError, match="no path inside the output"):
                history(line)


class TestPresent:
    def test_a_record_comes_with_the_path_that_its_image_has_now(self, history):
        """The first image is the one that moves; all else is as it was written."""
        images = (make_image(path="images/a.png"), make_image(path="images/a~2.png"))
        record = make_record(A, images=images)
        found = history(record, moved(A, "superseded/a~1.png"))
        present = found.present(A.id)
        assert [image.path for image in present.images] == ["superseded/a~1.png", "images/a~2.png"]
        assert present.images[0].model_copy(update={"path": "images/a.png"}) == images[0]
        assert present.model_copy(update={"images": images}) == record
        assert found.record(A.id) == record

    def test_a_record_that_did_not_move_is_as_it_was_written(self, history):
        """Nor has a task without a record, or without an image, a path to change."""
        found = history(make_record(A), failed(B), moved(B, "x"), moved(C, "y"))
        assert found.present(A.id) == make_record(A)
        assert found.present(B.id) == failed(B)
        assert found.present(C.id) is None


class TestLines:
    def test_the_bytes_of_a_record_come_as_they_are(self, history):
        """For whoever reads a million of them and needs two fields of each."""
        record = make_record(A)
        found = history(run(), record, make_record(B))
        assert found.line(A.id) == record.to_json()
        assert found.line(C.id) is None

    def test_many_in_any_order(self, history):
        """One for each id that was asked for, None for an unknown one."""
        records = {task.id: make_record(task) for task in (A, B)}
        found = history(run(), *records.values())
        wanted = [B.id, C.id, A.id, B.id]
        lines = [record and record.to_json() for record in map(records.get, wanted)]
        assert list(found.lines(map(compact, wanted))) == lines

    @given(st.lists(st.tuples(st.integers(0, 39), st.sampled_from([0, 60, 600])), max_size=30))
    def test_near_and_far_short_and_long(self, tmp_path_factory, asked):
        """What is read ahead changes nothing: lines of a few KB, and of more than a read takes."""
        records = [
            make_record(A, task_id=f"1-{n:032x}", label="x" * (3_000 if n % 20 else 700_000))
            for n in range(40)
        ]
        path = tmp_path_factory.mktemp("out") / MANIFEST_NAME
        path.write_bytes(b"".join(each.to_json() for each in records))
        wanted = [(number + step) % 40 for number, step in asked]
        ids = [compact(records[number].task_id) for number in wanted]
        lines = [records[number].to_json() for number in wanted]
        assert list(load_history(path).lines(ids)) == lines

    def test_a_manifest_that_went_away_has_no_lines(self, history):
        """Who deletes it during a run finds his images made again, not a traceback."""
        found = history(make_record(A), make_record(B))
        found.path.unlink()
        assert list(found.lines(iter([A.id, B.id]))) == [None, None]
        assert found.line(A.id) is None
        assert found.record(A.id) is None


class TestCompact:
    def test_an_id_of_this_version_takes_sixteen_bytes(self):
        """A million of them are held."""
        assert compact("1-" + "0f" * 16) == b"\x0f" * 16

    @pytest.mark.parametrize(
        "task_id", ["", "1", "1-", "2-" + "0f" * 16, "1-" + "0f" * 15, "1-" + "xy" * 16, "é-\ud800"]
    )
    def test_any_other_is_kept_as_it_is(self, task_id):
        """Ids of other versions, and damaged ones."""
        assert compact(task_id) == task_id.encode(errors="replace")


class TestRun:
    def test_the_last_run_names_job_and_seeds(self, history):
        """Name and random key are those of the latest run."""
        found = history(run("one", "k1"), run("two", "k2"))
        assert (found.job_name, found.random_seed_key) == ("two", "k2")

    def test_a_later_format_is_refused(self, history):
        """A manifest that a later batchgen wrote is not interpreted."""
        with pytest.raises(ManifestError, match="format 3"):
            history(run(version=3))

    @pytest.mark.parametrize("version", [1, 2])
    def test_its_own_format_and_older_ones_are_read(self, history, version):
        """Version 2 is this one."""
        assert history(run(version=version)).job_name == "catalog"

    def test_a_later_format_is_refused_with_the_manifest_s_name(self, history, tmp_path):
        """Of many outputs, a person must know which."""
        with pytest.raises(ManifestError, match=f"^{tmp_path / MANIFEST_NAME} was written by a"):
            history(run(version=3))


class TestJob:
    def test_an_output_belongs_to_one_job(self, history, tmp_path):
        """Another job's names and seeds would mix with its images."""
        found = history(run("one"))
        found.require_job("one")
        with pytest.raises(ManifestError) as caught:
            found.require_job("two")
        assert str(caught.value) == (
            f'{tmp_path} holds the images of the job "one", and this job is "two": '
            "give it an output of its own."
        )

    def test_a_new_output_is_anybody_s(self, history):
        """No run named a job yet."""
        history().require_job("two")


class TestService:
    @pytest.mark.parametrize(
        "lines",
        [
            [run(endpoint=REAL), make_record(A, endpoint=REAL)],
            [run(endpoint=REAL), attempt(A)],  # killed: maybe paid
            [run(endpoint=REAL), attempt(A), run(), attempt(B), make_record(B)],
        ],
    )
    def test_a_simulated_run_takes_no_place_of_what_was_paid_for(self, history, tmp_path, lines):
        """Nor of what may have been."""
        found = history(*lines)
        with pytest.raises(ManifestError) as caught:
            found.require_service("http://127.0.0.1:8080")
        assert str(caught.value) == (
            f"{tmp_path} holds pictures of the real service, and http://127.0.0.1:8080 is a "
            "simulator: give the simulated run an output of its own with --output."
        )
        found.require_service(REAL)

    @pytest.mark.parametrize(
        "lines",
        [
            [],
            [run(), make_record(A), attempt(B)],
            [run(endpoint=REAL), failed(A, endpoint=REAL)],
            [run(endpoint=REAL), make_record(A, status=Status.FILTERED, endpoint=REAL)],
            [run(endpoint=REAL), attempt(A), run(endpoint=REAL), failed(A, endpoint=REAL)],
            [run(endpoint=REAL), make_record(A, endpoint=REAL), run(), make_record(A)],
        ],
    )
    def test_where_nothing_real_is_kept_it_may_run(self, history, lines):
        """No picture of the service, and no attempt that may have become one."""
        history(*lines).require_service("simulator")

    def test_each_service_has_its_account(self, history):
        """Whether a run was killed, or ended before it was finished."""
        found = history(
            *(run(), attempt(A), make_record(A), attempt(B)),
            *(run(endpoint=REAL), make_record(A, cost_usd=0.14, endpoint=REAL)),
            *(run(), end(3, billed=0.5)),
            *(run(endpoint=REAL), end(3, billed=0.3, maybe=0.1)),
        )
        assert found.accounts == {True: Decimal("0.58"), False: Decimal("0.54")}
        assert found.spent == Decimal("1.12")

    def test_a_finished_run_closes_the_account_of_its_service(self, history):
        """A simulated rehearsal does not forget what was paid for."""
        found = history(run(endpoint=REAL), end(3, billed=0.3), run(), end(0, billed=0.1))
        assert found.accounts == {True: Decimal(0), False: Decimal("0.3")}


class TestReseeds:
    def test_the_last_run_tells_all_of_them(self, history):
        """A run takes over those before it: none is lost with the next line."""
        first, second = Reseed(key="a"), Reseed(key="b", only=("mug-*",))
        found = history(run(reseeds=(first,)), end(0), run(reseeds=(first, second)))
        assert found.reseeds == (first, second)
        assert history(run()).reseeds == ()

    @pytest.mark.parametrize("damage", [7, "x", [7], [{"only": []}]])
    def test_what_cannot_be_read_is_refused(self, history, tmp_path, damage):
        """To go on without it would make, and bill, other images."""
        line = json.loads(run().to_json()) | {"reseeds": damage}
        with pytest.raises(ManifestError) as caught:
            history(run(), json.dumps(line).encode() + b"\n")
        assert str(caught.value) == (
            f"{tmp_path / MANIFEST_NAME} says in its line at byte {len(run().to_json())} what "
            "--reseed chose in a way that cannot be read: without it other images would be made"
        )


def fresh(run_id="run-1", **changes):
    return run(run_id=run_id, fresh=True, **changes)


class TestFresh:
    """`--fresh` makes again what the manifest had; a run that goes on needs to know what."""

    def test_it_is_known_until_it_is_done(self, history):
        """What was chosen, and where: a record before that place is to be made again."""
        found = history(run(), end(0), fresh("run-2", only=("a", "b*"), limit=5), end(3))
        start = len(run().to_json()) + len(end(0).to_json())
        assert found.refreshes == [
            Refresh(run_id="run-2", start=start, only=("a", "b*"), limit=5),
        ]

    def test_one_of_everything_has_no_bounds(self, history):
        """Nothing was chosen: no patterns and no limit."""
        assert history(fresh()).refreshes == [Refresh(run_id="run-1", start=0, only=(), limit=None)]

    def test_a_run_that_only_goes_on_is_none(self, history):
        """Only `fresh: true` says so."""
        assert history(run(), run(fresh=False)).refreshes == []

    @pytest.mark.parametrize(("only", "limit"), [(("a",), None), (None, 3), (("a",), 3)])
    def test_those_of_a_part_add_up_and_one_of_everything_replaces_them(self, history, only, limit):
        """Everything includes every part."""
        parts = [fresh("run-1", only=("x",)), fresh("run-2", only=only, limit=limit)]
        assert [each.run_id for each in history(*parts).refreshes] == ["run-1", "run-2"]
        assert [each.run_id for each in history(*parts, fresh("run-3")).refreshes] == ["run-3"]

    @pytest.mark.parametrize(
        ("line", "left"),
        [
            (end(0), []),  # the whole job is done
            (end(1), []),
            (end(0, run_id="run-2", job_left=4), ["run-1"]),  # its own part is done
            (end(0, run_id="run-2", left=2, job_left=4), ["run-1", "run-2"]),
            (end(3, run_id="run-2"), ["run-1", "run-2"]),
            (end(130, run_id="run-2", left=2, job_left=4), ["run-1", "run-2"]),
        ],
    )
    def test_it_is_done_with_its_run_or_with_the_job(self, history, line, left):
        """A run that stopped before leaves it to the next one."""
        found = history(fresh("run-1", only=("a",)), end(3), fresh("run-2", only=("b",)), line)
        assert [each.run_id for each in found.refreshes] == left

    def test_damage_to_what_was_chosen_is_survived(self, history):
        """What is no list of patterns and no number counts as not there."""
        line = json.loads(fresh().to_json()) | {"only": "abc", "limit": True}
        found = history(json.dumps(line).encode() + b"\n")
        assert found.refreshes == [Refresh(run_id="run-1", start=0, only=(), limit=None)]
        line |= {"only": [7], "limit": "5"}
        found = history(json.dumps(line).encode() + b"\n")
        assert found.refreshes == [Refresh(run_id="run-1", start=0, only=("7",), limit=None)]


class TestProven:
    def test_the_last_run_that_ended_says_it(self, history):
        """What a run before it proved is older."""
        quotas = [{"core": {"proven_per_minute": rate}} for rate in (30, 45)]
        found = history(*(end(0, quotas=each) for each in quotas), run())
        assert found.proven == {None: {"core": 45.0}}


class TestSpent:
    def test_nothing_was_spent_before_the_first_call(self, history):
        """A run line alone costs nothing."""
        assert history(run()).spent == 0

    @pytest.mark.parametrize("exit_code", [0, 1])
    def test_a_run_that_finished_starts_the_count_anew(self, history, exit_code):
        """Exit codes 0 and 1: nothing was left to start, the next night has its own budget."""
        found = history(
            run(),
            attempt(A),
            make_record(A),
            end(3, billed=0.04),
            run(),
            end(exit_code, billed=0.5),
        )
        assert found.spent == 0

    @pytest.mark.parametrize("exit_code", [2, 3, 4, 130, 143])
    def test_a_run_that_stopped_adds_what_it_spent(self, history, exit_code):
        """Billed and maybe billed of all runs that stopped early add up."""
        found = history(
            run(),
            attempt(A),
            make_record(A),
            end(exit_code, billed=0.04, maybe=0.08),
            run(),
            attempt(B),
            make_record(B),
            end(exit_code, billed=0.1),
        )
        assert found.spent == Decimal("0.22")

    @pytest.mark.parametrize(("job_left", "spent"), [(0, "0"), (None, "0"), (7, "0.54")])
    def test_a_part_of_the_job_does_not_close_the_account(self, history, job_left, spent):
        """`--limit` and `--only` end with 0 as well: the budget goes on until the job is done."""
        found = history(run(), end(3, billed=0.04), run(), end(0, billed=0.5, job_left=job_left))
        assert found.spent == Decimal(spent)

    def test_what_follows_an_end_without_a_run_line_counts(self, history):
        """The run line was damaged: its records and attempts say what was billed."""
        found = history(run(), end(3, billed=0.5), b"{torn\n", make_record(A), attempt(B))
        assert found.spent == Decimal("0.58")
        assert found.unanswered == {B.id: 1}

    def test_what_may_have_been_billed_is_what_the_line_says(self, history):
        """An attempt with another model has another price; only older lines leave it to ours."""
        told = make_record(A, maybe_billed=2, maybe_billed_usd=0.22)
        assert history(run(), attempt(A), told).spent == Decimal("0.26")
        untold = make_record(A, maybe_billed=2, maybe_billed_usd=None)
        assert history(run(), attempt(A), untold).spent == Decimal("0.12")

    def test_a_run_that_ended_counts_once(self, history):
        """Its summary stands for its records and attempts, which do not count beside it."""
        found = history(run(), attempt(A), make_record(A), attempt(B), end(3, billed=0.04))
        assert found.spent == Decimal("0.04")
        assert found.unanswered == {}

    def test_a_killed_run_counts_its_records(self, history):
        """Without an `end` line, records say what was billed."""
        found = history(
            run(), attempt(A), make_record(A), attempt(B), make_record(B, cost_usd=0.14)
        )
        assert found.spent == Decimal("0.18")
        assert found.unanswered == {}

    def test_a_killed_run_of_version_1_counts_alike(self, history):
        """What an attempt line calls `price_usd` was `cost_usd` then."""
        older = json.loads(attempt(A).to_json())
        older["cost_usd"] = older.pop("price_usd")
        assert history(run(version=1), json.dumps(older).encode() + b"\n").spent == Decimal("0.04")
        read = parse_line(json.dumps(older).encode())
        assert json.loads(read.to_json()) == json.loads(attempt(A).to_json())

    def test_a_killed_run_counts_what_may_have_been_billed(self, history):
        """Each ambiguous attempt of a record costs what its attempt line says."""
        found = history(
            run(),
            attempt(A, 1, 0.08),
            attempt(A, 2, 0.08),
            make_record(A, maybe_billed=2, maybe_billed_usd=0.16),
        )
        assert found.spent == Decimal("0.04") + 2 * Decimal("0.08")

    def test_a_killed_run_counts_open_attempts_as_spent(self, history):
        """An attempt without a record may have been paid, and so may those its line tells of."""
        again = attempt(A, 2, maybe=1)
        found = history(run(), attempt(A, 1), again, attempt(B, 1, 0.14), make_record(C))
        assert found.unanswered == {A.id: 2, B.id: 1}
        assert found.spent == 2 * Decimal("0.04") + Decimal("0.14") + Decimal("0.04")

    def test_attempts_that_were_refused_are_not_counted(self, history):
        """A next attempt shows that the one before it was answered: throttled, it cost nothing."""
        found = history(run(), *(attempt(A, number) for number in range(1, 40)))
        assert found.unanswered == {A.id: 39}
        assert found.spent == Decimal("0.04")

    def test_two_killed_runs_add_up(self, history):
        """Open attempts of an earlier killed run stay on the count."""
        found = history(run(), attempt(A), run(), attempt(A), run(), make_record(B))
        assert found.unanswered == {A.id: 1}
        assert found.spent == Decimal("0.12")

    def test_a_killed_run_after_a_finished_one_counts_from_there(self, history):
        """What was spent before the last run that finished is history."""
        found = history(run(), make_record(A), end(0, billed=0.04), run(), attempt(B))
        assert found.spent == Decimal("0.04")

    def test_a_task_that_is_made_again_is_paid_again(self, history):
        """A record with a call of its own counts beside the attempt that a kill left open."""
        found = history(run(), attempt(A), run(), attempt(A), make_record(A))
        assert found.spent == Decimal("0.08")
        assert found.unanswered == {}

    def test_unknown_prices_cost_nothing_known(self, history):
        """Where nobody knows the price there is nothing to add."""
        found = history(run(), attempt(A, 1, None), run(), make_record(B, cost_usd=None))
        assert found.spent == 0
        assert found.unanswered == {A.id: 1}

    def test_money_is_exact(self, history):
        """Hundreds of cents add up without the errors of binary fractions."""
        lines = [make_record(make_task(), cost_usd=0.1) for _ in range(30)]
        assert history(run(), *lines).spent == Decimal("3.0")


class TestAdopted:
    def test_an_adopted_image_is_not_paid_twice(self, history):
        """Its attempt was counted when the killed run was; its record adds nothing."""
        found = history(run(), attempt(A), run(), adopted(A))
        assert found.spent == Decimal("0.04")
        assert found.unanswered == {}
        assert statuses(found) == {"A": Status.SUCCEEDED}

    def test_it_is_counted_where_no_attempt_was(self, history):
        """A loss of power can take an attempt line that was not synced: then the record counts."""
        assert history(run(), run(), adopted(A)).spent == Decimal("0.04")

    def test_only_once(self, history):
        """A task that is made anew after its adoption is paid for."""
        found = history(run(), attempt(A), run(), adopted(A), attempt(A), make_record(A))
        assert found.spent == Decimal("0.08")

    def test_a_failure_without_a_latency_is_no_adoption(self, history):
        """A failed record has no latency either, and settles what its attempts may have cost."""
        found = history(
            run(),
            attempt(A),
            run(),
            attempt(A),
            failed(A, latency_ms=None, maybe_billed=1, maybe_billed_usd=0.04),
        )
        assert found.spent == Decimal("0.08")
        assert found.unanswered == {}


class TestDamage:
    @pytest.mark.parametrize(
        ("change", "unreadable"),
        [
            ({"status": "sucheeded"}, 1),
            ({"status": None}, 1),
            ({"status": ["succeeded"]}, 1),
            ({"status": "\ud800"}, 1),
            ({"images": [7, None, {}, {"path": 7}]}, 0),
            ({"images": {"path": "../x"}}, 0),
            ({"cost_usd": "0.04"}, 0),
            ({"cost_usd": True}, 0),
            ({"cost_usd": [1]}, 0),
            ({"maybe_billed": None}, 0),
            ({"maybe_billed": "x"}, 0),
            ({"task_id": None}, 0),
            ({"kind": "recorf"}, 0),
        ],
    )
    def test_a_damaged_record_harms_nobody_else(self, history, change, unreadable):
        """Whatever a field became, the rest of the manifest is read."""
        damaged = {**json.loads(make_record(A).to_json()), **change}
        found = history(run(), json.dumps(damaged).encode() + b"\n", make_record(B))
        assert found.status(B.id) is Status.SUCCEEDED
        assert found.unreadable == unreadable
        assert found.spent in (Decimal("0.04"), Decimal("0.08"))

    def test_every_damaged_status_is_counted(self, history):
        """A person is told how many lines are lost."""
        damaged = json.loads(make_record(A).to_json()) | {"status": "?"}
        assert history(*[json.dumps(damaged).encode() + b"\n"] * 3).unreadable == 3

    def test_a_record_with_a_damaged_status_is_as_good_as_none(self, history):
        """Its task is made again; what it cost was spent all the same."""
        damaged = {**json.loads(make_record(A).to_json()), "status": "?"}
        found = history(run(), attempt(A), json.dumps(damaged).encode() + b"\n")
        assert statuses(found) == {}
        assert found.record(A.id) is None
        assert found.spent == Decimal("0.04")

    @pytest.mark.parametrize(
        "line",
        [
            b'{"kind": "run"}\n',
            b'{"kind": "end", "exit_code": "0", "summary": 7}\n',
            b'{"kind": "end"}\n',
            b'{"kind": "attempt"}\n',
            b'{"kind": "attempt", "task_id": 7, "cost_usd": "x"}\n',
            b'{"kind": "moved"}\n',
            b'{"kind": "record"}\n',
            b'{"kind": "later", "x": 1}\n',
            b'{"kind": ["record"]}\n',
            b"[]\n",
            b"{}\n",
        ],
    )
    def test_a_line_with_nothing_right_is_survived(self, history, line):
        """No damage to one line keeps the others from being read."""
        found = history(run(), line, make_record(B))
        assert found.status(B.id) is Status.SUCCEEDED
        assert (found.job_name, found.random_seed_key) in (("catalog", "k"), (None, None))

    @pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
    def test_a_cost_that_is_no_number_is_no_cost(self, history, number):
        """The budget never meets an amount that cannot be compared."""
        line = b'{"kind": "attempt", "task_id": "t", "cost_usd": ' + number + b"}\n"
        assert history(run(), line).spent == 0

    def test_every_line_that_cannot_be_read_is_counted(self, history):
        """Damage in the middle and a torn tail alike; what is around them is read."""
        found = history(
            run(), b"\0" * 40 + b"\n", make_record(A), b"{torn\n", make_record(B), b'{"kind": "rec'
        )
        assert found.unreadable == 3
        assert set(statuses(found)) == {"A", "B"}

    def test_blank_lines_are_nothing(self, history):
        """An empty line is no damage."""
        assert history(run(), b"\n  \n", make_record(A)).unreadable == 0

    @pytest.mark.parametrize("place", range(0, len(make_record(A).to_json()) - 1, 7))
    @pytest.mark.parametrize("bit", [0, 3, 6, 7])
    def test_a_flipped_bit_costs_at_most_its_line(self, history, place, bit):
        """Any bit of a record may flip: the lines around it are read as they were."""
        data = bytearray(make_record(A).to_json())
        data[place] ^= 1 << bit
        found = history(run(), make_record(B), bytes(data), make_record(C), end(3, billed=0.12))
        assert found.status(B.id) is found.status(C.id) is Status.SUCCEEDED
        assert found.record(C.id).task_id == C.id
        assert found.spent == Decimal("0.12")


runs = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from("ad"), st.integers(0, 3)), max_size=6),
        st.sampled_from([None, 0, 1, 3, 130]),
    ),
    max_size=5,
)
TASKS = [make_task() for _ in range(4)]


class TestModel:
    @given(runs)
    def test_it_is_what_a_simple_count_gives(self, tmp_path_factory, nights):
        """For any nights, ended or killed, the sums are those of the rules."""
        lines, spent, known = [], Decimal(0), set()
        price = Decimal("0.04")
        for happenings, exit_code in nights:
            lines.append(run())
            tonight, still_open = Decimal(0), dict.fromkeys(range(4), 0)
            for kind, number in happenings:
                if kind == "a":
                    lines.append(attempt(TASKS[number], maybe=still_open[number]))
                    still_open[number] += 1
                else:
                    lines.append(make_record(TASKS[number]))
                    known.add(number)
                    tonight += price
                    still_open[number] = 0
            if exit_code is None:
                spent += tonight + price * sum(still_open.values())
            else:
                lines.append(end(exit_code, billed=float(tonight)))
                spent = Decimal(0) if exit_code in (0, 1) else spent + tonight
        path = tmp_path_factory.getbasetemp() / "history.jsonl"
        path.write_bytes(b"".join(line.to_json() for line in lines))
        found = load_history(path)
        assert (found.spent, len(found), found.unreadable) == (spent, len(known), 0)
        for number, task in enumerate(TASKS):
            assert found.status(task.id) is (Status.SUCCEEDED if number in known else None)


@given(
    at=st.integers(0, 2_000),
    gone=st.integers(0, 2),
    come=st.binary(max_size=2) | st.sampled_from([b"\\ud800", b"1e999", b', "price_usd": null']),
)
def test_the_money_of_a_damaged_line_is_what_its_fields_say(tmp_path_factory, at, gone, come):
    """Of a killed run, whatever bytes are lost or changed, also in what is not looked at."""
    lines = attempt(A, maybe=1), failed(A, maybe_billed=2, maybe_billed_usd=0.5), attempt(B)
    data = b"".join(line.to_json() for line in lines)
    path = tmp_path_factory.getbasetemp() / "damaged.jsonl"
    path.write_bytes(run().to_json() + data[:at] + come + data[at + gone :])
    found = load_history(path)

    def parse_all(data, decoder):
        fields, names = parse_object(data), decoder.type.__struct_fields__
        return decoder.type(**{name: fields[name] for name in names if name in (fields or {})})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spending, "parse_part", parse_all)
        slowly = load_history(path)
    assert (found.spent, found.unanswered) == (slowly.spent, slowly.unanswered)


def test_the_image_of_a_record_is_read_back(history):
    """A record comes with its images."""
    image = make_image(path="images/é.png")
    assert history(make_record(A, images=(image,))).record(A.id).images == (image,)
