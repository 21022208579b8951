import json
from decimal import Decimal

import pytest
from fakes import NOON, make_image, make_record, make_task
from hypothesis import given
from hypothesis import strategies as st

from batchgen.errors import ManifestError
from batchgen.output.history import compact, load_history
from batchgen.output.manifest import MANIFEST_NAME, parse_line
from batchgen.record import AttemptLine, EndLine, MovedLine, RunLine, Status

A, B, C = (make_task() for _ in range(3))


def run(name="catalog", key="k", **changes):
    values = {
        "run_id": "run-1",
        "batchgen_version": "0.1.0",
        "sdk_versions": {},
        "job_name": name,
        "job_file": None,
        "job_sha256": None,
        "endpoint": "simulator",
        "region": "us-west-2",
        "random_seed_key": key,
        "started_at": NOON,
    }
    return RunLine(**{**values, **changes})


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


def end(exit_code=3, billed=0.0, maybe=0.0):
    summary = {"billed_usd": billed, "maybe_billed_usd": maybe}
    return EndLine(run_id="run-1", finished_at=NOON, exit_code=exit_code, summary=summary)


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
        assert list(found.lines(iter(wanted))) == lines

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
    @pytest.mark.parametrize("bit", [0, 3, 6])
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


def test_the_image_of_a_record_is_read_back(history):
    """A record comes with its images."""
    image = make_image(path="images/é.png")
    assert history(make_record(A, images=(image,))).record(A.id).images == (image,)
