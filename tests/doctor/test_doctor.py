import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from examined import Found, examined, simulator
from fakes import CORE, ULTRA, make_record
from hypothesis import given
from hypothesis import strategies as st
from loopback import free_port
from outputs import run_line

from batchgen import plan
from batchgen.bedrock.account import Access, Credentials, Identity
from batchgen.doctor.credentials import look_at_clock, look_at_credentials
from batchgen.doctor.examine import examine
from batchgen.doctor.findings import ORDER, Check, Verdict, exit_code
from batchgen.doctor.model_access import look_at_model
from batchgen.doctor.output import look_at_output
from batchgen.doctor.quotas import Allowance, look_at_allowance
from batchgen.errors import ExitCode
from batchgen.job import parse
from batchgen.models import MODELS
from batchgen.output import folder
from batchgen.output.lock import LOCK_NAME as LOCK
from batchgen.output.lock import hold_lock
from batchgen.record import EndLine
from batchgen.simulator.credentials import account_of

NOW = datetime(2026, 11, 21, 22, 0, tzinfo=UTC)
PROVISIONED = "arn:aws:bedrock:us-west-2:123456789012:provisioned-model/abc123"
CHECKS = ("job", "manifest", "cost", "credentials", "service", "clock", "model", "quota", "time")
PLACES = ("output", "lock", "disk", "room")


@pytest.fixture
def output(tmp_path):
    """Where an output will be."""
    return tmp_path / "deep" / "out"


@pytest.fixture
def job(output):
    """Makes a job of as many items as there are prompts."""

    def make(*prompts, **keys):
        items = [{"id": f"item-{n}", "prompt": text} for n, text in enumerate(prompts, 1)]
        document = {"name": "shop", "model": CORE, "output": str(output), "items": items, **keys}
        return parse("job.yaml", json.dumps(document).encode(), defer=True)

    return make


class TestAll:
    async def test_a_good_job(self, job, output):
        """Every check has its line, all are ok, and nothing was made or called for."""
        found = await examined(job("a mug", "a lamp"))

        assert tuple(finding.check for finding in found) == CHECKS + PLACES
        assert (found.troubled, exit_code(found)) == ({}, 0)
        assert not output.parent.exists()

    async def test_nothing_is_left_in_the_output(self, job, output):
        """An output that is there has the same entries afterwards, unchanged."""
        output.mkdir(parents=True)
        (output / "manifest.jsonl").write_text("")
        before = state(output)

        await examined(job("a mug"))

        assert state(output) == before

    async def test_one_failure_stops_nothing(self, job, output):
        """All the rest is looked at although the job, the service and the output are wrong."""
        output.parent.write_text("a file, where a folder would have to be")
        wrong = job("a mug", parameters={"sharpness": 3}, region="eu-west-1")

        found = await examined(wrong)

        assert {"model", "quota", "time", "lock", "disk", "room"} <= {each.check for each in found}
        failed = {check for check, verdict in found.troubled.items() if verdict == "failed"}
        assert failed == {"job", "model", "output"}
        assert exit_code(found) == 2

    async def test_nobody_answers(self, job):
        """A service that cannot be reached is told once as a failure, and elsewhere as a doubt."""
        url = f"http://127.0.0.1:{free_port()}"

        found = Found(await examine(job("a mug", endpoint=url)))

        failed = [finding for finding in found if finding.verdict is Verdict.FAILED]
        assert [finding.check for finding in failed] == ["service"]
        assert "does not answer" in failed[0].text
        assert "Check the network" in failed[0].text
        assert exit_code(found) == 4

    async def test_no_credentials(self, job, monkeypatch):
        """On AWS the credentials come first; without any, nothing is sent."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")

        found = Found(await examine(job("a mug", endpoint="aws")))

        assert found["credentials"].verdict is Verdict.FAILED
        assert found["service"].text == "Not asked, for there are no credentials."
        assert set(found.troubled) == {"credentials", "service", "clock", "model", "quota"}
        assert exit_code(found) == 4

    async def test_with_credentials_of_ones_own(self, job, monkeypatch):
        """On AWS the SDK's own chain of credentials and endpoints counts, as for a run."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        async with simulator() as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)
            found = Found(await examine(job("a mug", endpoint="aws")))

        assert found.troubled == {}
        assert found["credentials"].text.endswith(", from env.")
        assert found["credentials"].values["account"] == account_of("AKIDTEST")

    async def test_a_simulator_that_does_not_start(self, job, monkeypatch):
        """It is a service that cannot be used; the output is looked at all the same."""
        monkeypatch.setattr(sys, "executable", "/no/such/python")

        found = Found(await examine(job("a mug", endpoint="simulator")))

        assert found["service"].text.startswith("The simulator did not start")
        assert found["output"].verdict is Verdict.OK


class TestJob:
    async def test_warnings_of_the_plan_are_told(self, job):
        """A retired model against a simulator works, and would not on AWS."""
        found = await examined(job("a mug", model="stability.sd3-large-v1:0"))

        assert "AWS refuses it" in found["job"].text
        assert found.troubled == {"job": "warning", "model": "warning"}

    async def test_mistakes_are_counted(self, job):
        """The first stands there with its line, `validate` lists the others."""
        found = await examined(job("a mug", "{nope}", parameters={"sharpness": 3}))

        assert found["job"].values["mistakes"] == 2
        assert [it["file"] for it in found["job"].values["complaints"]] == ["job.yaml"] * 2
        assert found["job"].text.endswith("1 more: `batchgen validate job.yaml` lists them.")

    async def test_what_is_done_is_not_counted(self, job, output):
        """Time, cost and room are those of the tasks that are left."""
        made = job("a mug", "a lamp", "a rug")
        write_manifest(output, made, done=1)

        found = await examined(made)

        assert found["manifest"].text == "Tasks done by earlier runs: 1, to make: 2."
        assert found["cost"].values == {"cost_usd": 0.08}
        assert found["time"].values == {"minutes": pytest.approx(2 / 90, abs=0.05)}
        assert found["time"].text.startswith("About 3 s: 2 of ")
        assert found["room"].text.startswith("Images to make: 2;")

    async def test_nothing_is_left(self, job, output):
        """A job that is done needs neither time nor room; its model is looked at."""
        made = job("a mug")
        write_manifest(output, made, done=1)

        found = await examined(made)

        assert found["time"].text == "Nothing is left to make."
        assert found["room"].text.startswith("No image is to be made")
        assert found["model"].model == CORE

    async def test_an_output_of_another_job(self, job, output):
        """A run would refuse it as well, with the same exit code."""
        write_manifest(output, job("a mug", name="other"), done=1)

        found = await examined(job("a mug"))

        assert 'holds the images of the job "other"' in found["manifest"].text
        assert exit_code(found) == 2

    async def test_a_torn_manifest(self, job, output):
        """Lines that cannot be read are a doubt: their tasks are made again."""
        write_manifest(output, job("a mug"), done=0)
        with (output / "manifest.jsonl").open("a") as file:
            file.write('{"kind": "rec')

        assert (await examined(job("a mug"))).troubled == {"manifest": "warning"}

    @pytest.mark.parametrize(
        ("budget", "spent", "verdict"),
        [
            (0.08, 0, "ok"),
            (0.07, 0, "warning"),
            (0.08, 0.04, "warning"),
            (0.08, 0.06, "failed"),
            (0.03, 0, "failed"),
        ],
    )
    async def test_a_budget_that_is_too_small(self, job, output, budget, spent, verdict):
        """What a stopped run spent counts as well; a run that can make nothing ends with 3."""
        made = job("a mug", "a lamp", limits={"budget_usd": budget})
        write_manifest(output, made, done=0, spent=spent)

        found = await examined(made)

        assert found["cost"].verdict == verdict
        assert exit_code(found) == (3 if verdict == "failed" else 0)

    async def test_a_price_that_nobody_knows(self, job):
        """The run can start; what it costs is not known."""
        found = await examined(job("a mug", model=PROVISIONED, family="stable-image"))

        assert "costs an unknown sum" in found["cost"].text
        assert found["cost"].verdict is Verdict.WARNING


class TestAccount:
    async def test_expired_credentials(self, job):
        """STS and the service refuse them; the rest is not known for that reason."""
        found = await examined(job("a mug"), expire=(("*", 0),))

        assert found["credentials"].verdict is found["service"].verdict is Verdict.FAILED
        assert "Renew the credentials" in found["credentials"].text
        assert "no credentials are good" in found["model"].text
        assert exit_code(found) == 4

    async def test_a_wrong_clock_is_the_advice(self, job):
        """Where it breaks the signatures, other causes are not suggested."""
        found = await examined(job("a mug"), clock_skew=900.0)

        assert {"credentials", "service", "clock"} <= {
            check for check, verdict in found.troubled.items() if verdict == "failed"
        }
        assert "Set this machine's clock" in found["credentials"].text
        assert " behind the service's" in found["clock"].text
        assert exit_code(found) == 4

    @pytest.mark.parametrize(
        ("skew", "verdict"),
        [
            (0, "ok"),
            (29, "ok"),
            (-31, "warning"),
            (239, "warning"),
            (241, "failed"),
            (-241, "failed"),
        ],
    )
    def test_how_wrong_a_clock_may_be(self, skew, verdict):
        """30 s are a doubt, 4 minutes a failure: at 5 the service refuses signatures."""
        assert look_at_clock(float(skew)).verdict == verdict

    def test_a_clock_that_nothing_is_known_of(self):
        """No answer, no comparison."""
        assert look_at_clock(None).verdict is Verdict.WARNING

    @pytest.mark.parametrize(
        ("credentials", "verdict", "words"),
        [
            (Credentials(source="env"), "ok", "from env"),
            (Credentials(source="env", temporary=True), "warning", "it is not known until when"),
            (
                Credentials(source="env", temporary=True, expires_at=NOW + timedelta(hours=2)),
                "warning",
                "They expire at 2026-11-22 00:00 UTC, in 2 h",
            ),
            (
                Credentials(
                    source="sso",
                    temporary=True,
                    expires_at=NOW + timedelta(hours=1),
                    renewable=True,
                ),
                "ok",
                "and the SDK renews them",
            ),
            (Credentials(source="BEARER", api_key=True), "ok", "A Bedrock API key of BEARER"),
        ],
    )
    async def test_how_long_credentials_last(self, credentials, verdict, words):
        """A night is longer than a token: what nothing renews is a doubt."""
        finding = await look_at_credentials(FakeAccount(credentials=credentials), NOW)

        assert (finding.verdict, words in finding.text) == (verdict, True)


class TestModels:
    async def test_a_region_without_the_model(self, job):
        """A model that is not served there ends with exit code 4, and the Region is the advice."""
        found = await examined(job("a mug", region="us-east-1"))

        assert found["model"].verdict is Verdict.FAILED
        assert found["model"].text.count("us-west-2 only") == 1
        assert exit_code(found) == 4

    async def test_a_model_past_its_end_of_life(self, job):
        """The advice is another model."""
        old = job("a mug", model="stability.sd3-large-v1:0")

        found = await examined(old, end_of_life=True)

        assert "Choose a model that is still served" in found["model"].text
        assert exit_code(found) == 4

    async def test_no_access(self, job):
        """Who is told so beforehand does not find out in the morning."""
        found = await examined(job("a mug"), deny=(CORE,))

        assert "not authorised to call it" in found["model"].text
        assert exit_code(found) == 4

    async def test_who_may_not_ask(self, job):
        """Not being allowed to ask is no reason not to run."""
        found = await examined(job("a mug"), deny=("bedrock", "servicequotas"))

        assert found.troubled == {"model": "warning", "quota": "warning"}
        assert found["model"].text.count("bedrock:GetFoundationModelAvailability") == 1
        assert "servicequotas:ListServiceQuotas" in found["quota"].text
        assert "The documented default of 90 calls a minute is assumed" in found["quota"].text

    @pytest.mark.parametrize(
        ("changes", "verdict", "words"),
        [
            ({}, "ok", "The account has access"),
            ({"in_region": False}, "failed", "cannot call it in us-west-2"),
            ({"authorized": False}, "failed", "not authorised"),
            ({"agreement": "ERROR", "message": "no card"}, "failed", "failed: no card"),
            ({"agreement": "PENDING"}, "warning", "15 minutes"),
            ({"agreement": "NOT_AVAILABLE"}, "warning", "the first call makes one"),
            ({"entitled": False}, "warning", "ask AWS"),
        ],
    )
    async def test_what_access_means(self, changes, verdict, words):
        """An agreement that the first call makes is no failure; a refusal is."""
        access = replace(
            Access(
                authorized=True, in_region=True, entitled=True, agreement="AVAILABLE", message=""
            ),
            **changes,
        )
        finding = await look_at_model(FakeAccount(access=access), "us-west-2", CORE, MODELS[CORE])

        assert (finding.verdict, words in finding.text) == (verdict, True)

    async def test_a_model_that_cannot_be_looked_up(self, job):
        """A provisioned model is neither good nor bad beforehand, and has no quota of calls."""
        found = await examined(
            job("a mug", model=PROVISIONED, family=CORE), arn=((PROVISIONED, CORE),)
        )

        assert "shows with the first call" in found["model"].text
        assert found.troubled == {"model": "warning", "quota": "warning"}


class TestQuotas:
    @pytest.mark.parametrize(
        ("given", "found", "verdict", "rate"),
        [
            (None, 90.0, "ok", 90),
            (None, 45.0, "warning", 90),
            (None, 200.0, "ok", 90),
            (None, None, "warning", 90),
            ("auto", 45.0, "ok", 45),
            ("auto", None, "warning", 90),
            (90.0, 45.0, "warning", 90),
            (30.0, 45.0, "ok", 30),
            (45.0, 45.0, "ok", 45),
            (120.0, None, "warning", 120),
            (30.0, None, "warning", 30),
            (90.0, 0.0, "failed", 0),
        ],
    )
    def test_the_quota_against_the_job(self, given, found, verdict, rate):
        """The rate is that of the run; asking for more than there is is a doubt, none a failure."""
        it = Allowance(model=CORE, found=found, documented=90, given=given, why="Nobody says")

        finding = look_at_allowance(it)

        assert (finding.verdict, it.rate) == (verdict, rate)
        assert finding.values["requests_per_minute"] == rate

    @pytest.mark.parametrize(
        ("given", "documented", "words"),
        [
            (30.0, 90, "The job says 30 calls a minute."),
            (120.0, 90, "120 calls a minute, more than the documented default of 90: the rest is"),
            (120.0, None, "The job says 120 calls a minute."),
            (None, None, "The quota is not known: the run will find it."),
            ("auto", 90, "The documented default of 90 calls a minute is assumed"),
        ],
    )
    def test_what_is_assumed_where_nobody_tells(self, given, documented, words):
        """The job's word counts, up to what is documented."""
        it = Allowance(model=CORE, found=None, documented=documented, given=given, why="Silence")

        assert words in look_at_allowance(it).text

    async def test_what_to_set_is_said(self, job):
        """A new account has less than the documented quota."""
        found = await examined(job("a mug"), requests_per_minute=30.0)

        assert found["quota"].text == (
            "30 calls a minute by Service Quotas. Without a limit the job takes the usual 90. "
            "Set limits.requests_per_minute to 30 or auto: the rest is rejected."
        )

    async def test_each_model_has_its_own(self, job):
        """The slowest model decides how long it takes."""
        found = await examined(
            job(
                items=[
                    {"id": "a", "prompt": "a mug", "variants": 90},
                    {"id": "b", "prompt": "a mug", "model": ULTRA, "variants": 40},
                ]
            )
        )

        assert [each.model for each in found if each.check == "quota"] == [CORE, ULTRA]
        assert found["time"].values == {"minutes": 4.0}
        assert found["time"].text == (
            f"About 4 min: 90 of {CORE} at 90 a minute take 1 min; "
            f"40 of {ULTRA} at 10 a minute take 4 min."
        )

    async def test_an_account_that_is_closed_for_a_model(self, job):
        """A quota of nothing is a service that cannot be used; the time is then not known."""
        found = await examined(job("a mug"), quota=((CORE, 0),))

        assert found.troubled == {"quota": "failed", "time": "warning"}
        assert exit_code(found) == 4

    async def test_a_deadline_that_is_too_near(self, job):
        """What does not fit before it is said, and stays open."""
        late = f"{datetime.now().astimezone() + timedelta(minutes=2):%H:%M}"
        many = {"items": [{"id": "a", "prompt": "a mug", "variants": 900}]}

        found = await examined(job(**many, limits={"until": late}))

        assert f"must end at {late}" in found["time"].text
        assert found["time"].verdict is Verdict.WARNING


class TestOutput:
    def test_what_is_no_folder(self, tmp_path):
        """Neither a file nor what would lie below one can be an output."""
        (tmp_path / "file").touch()
        (tmp_path / "link").symlink_to("nowhere")

        for name in ("file", "file/out", "link"):
            found = Found(look_at_output(tmp_path / name, 1, 1))
            assert found["output"].text.endswith("Name another output.")
            assert found["output"].trouble is ExitCode.USAGE

    def test_what_cannot_be_written(self):
        """It is tried, for permissions do not tell of read-only disks."""
        found = Found(look_at_output(Path("/proc/batchgen"), 1, 1))

        assert found["output"].text.startswith("/proc cannot be written: ")
        assert exit_code(found) == 2

    def test_files_of_somebody_else(self, tmp_path, monkeypatch):
        """A run of another user may have left a manifest that this one may not write."""
        (tmp_path / "manifest.jsonl").touch()
        monkeypatch.setattr(os, "access", lambda path, _: path.name != "manifest.jsonl")

        found = Found(look_at_output(tmp_path, 1, 1))

        assert "manifest.jsonl may not be written" in found["output"].text

    def test_another_run_holds_it(self, tmp_path):
        """Its holder is named, and stays the holder."""
        with hold_lock(tmp_path):
            found = Found(look_at_output(tmp_path, 1, 1))
            again = Found(look_at_output(tmp_path, 1, 1))

        assert f"Another run holds {tmp_path}: process {os.getpid()} on " in found["lock"].text
        assert exit_code(found) == exit_code(again) == 6

    def test_a_lock_of_a_run_that_ended(self, tmp_path):
        """The file stays behind, and holds nobody; looking at it does not take the lock."""
        with hold_lock(tmp_path):
            pass
        said = (tmp_path / LOCK).read_bytes()

        assert Found(look_at_output(tmp_path, 1, 1))["lock"].verdict is Verdict.OK
        with hold_lock(tmp_path):
            assert json.loads((tmp_path / LOCK).read_bytes()).keys() == json.loads(said).keys()

    @pytest.mark.parametrize(("free", "verdict"), [(91_000_000, "ok"), (90_999_999, "failed")])
    def test_room(self, tmp_path, monkeypatch, free, verdict):
        """2 MB an image, and what a run sets aside for lines and for the calls in flight."""
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))

        found = Found(look_at_output(tmp_path, 25, 1))

        assert (found["room"].verdict, found["room"].values["need"]) == (verdict, 91_000_000)

    def test_what_a_run_would_refuse(self, tmp_path, monkeypatch):
        """Files that may not grow as large as an image, and a disk that takes no more of them."""
        monkeypatch.setattr(resource, "getrlimit", lambda _: (1_000_000, 1_000_000))
        found = Found(look_at_output(tmp_path / "out", 25, 1))
        assert "(`ulimit -f unlimited`)" in found["room"].text
        assert exit_code(found) == 2

        monkeypatch.undo()
        left = list(os.statvfs(tmp_path))
        left[5:8] = [1000, 3, 3]  # f_files, f_ffree, f_favail
        monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(left))
        found = Found(look_at_output(tmp_path, 25, 1))
        assert "3 files (inodes) left" in found["room"].text
        assert exit_code(found) == 3

    def test_a_network_disk(self, tmp_path, monkeypatch):
        """It works, and promises less."""
        mounts = tmp_path / "mountinfo"
        mounts.write_text("36 35 98:0 / / rw - nfs4 server:/x rw\n")
        monkeypatch.setattr(folder.network_file_system, "__defaults__", (mounts,))

        found = Found(look_at_output(tmp_path / "out", 1, 1))

        assert found["disk"].verdict is Verdict.WARNING
        assert "(nfs4)" in found["disk"].text


class TestFindings:
    @given(st.lists(st.sampled_from(ORDER), unique=True))
    def test_the_exit_code_is_the_trouble_that_a_run_meets_first(self, troubles):
        """The job before the service, the service before who holds the output, then the rest."""
        findings = [Check("x").failed(trouble, "") for trouble in troubles]
        findings += [Check("y").warning(""), Check("z").ok("")]

        order = [2, 4, 6, 3]
        assert exit_code(findings) == next((code for code in order if code in troubles), 0)

    def test_as_json(self):
        """One object, whose text is the sentence and whose figures have names."""
        finding = Check("quota", CORE).warning("Less.", requests_per_minute=45.0)

        assert finding.to_json() == {
            "check": "quota",
            "model": CORE,
            "verdict": "warning",
            "text": "Less.",
            "requests_per_minute": 45.0,
        }


class TestCommand:
    def test_the_quickstart_is_ready(self, tmp_path):
        """One line for each check, the simulator started and ended, the output not made."""
        ended = doctor(tmp_path, QUICKSTART, "--output", "new/out")

        assert (ended.returncode, ended.stderr) == (0, "")
        lines = ended.stdout.splitlines()
        assert [line.split()[:2] for line in lines[:-1]] == [
            ["ok", check] for check in CHECKS + PLACES
        ]
        assert lines[-1] == "Ready. Checks: 13, failed: 0, with a warning: 0."
        assert list(tmp_path.iterdir()) == []

    def test_json_is_one_object(self, tmp_path):
        """With the exit code, and each check with its verdict."""
        busy = tmp_path / "out"
        busy.mkdir()
        with hold_lock(busy):
            ended = doctor(tmp_path, QUICKSTART, "--output", "out", "--json")

        told = json.loads(ended.stdout)
        assert ended.returncode == told["exit_code"] == 6
        verdicts = {check["check"]: check["verdict"] for check in told["checks"]}
        assert [check for check, verdict in verdicts.items() if verdict != "ok"] == ["lock"]

    def test_a_file_that_is_no_job(self, tmp_path):
        """Without a job there is nothing else to look at."""
        (tmp_path / "job.yaml").write_text("name: [\n")

        ended = doctor(tmp_path, "job.yaml")

        assert ended.returncode == 2
        assert ended.stdout.startswith("failed   job          job.yaml:")
        assert ended.stdout.endswith("Not ready. Checks: 1, failed: 1, with a warning: 0.\n")

    def test_another_endpoint(self, tmp_path):
        """--endpoint wins over the job's, as for a run; nothing is sent without credentials."""
        ended = doctor(tmp_path, QUICKSTART, "--endpoint", "aws", "--output", "out")

        assert ended.returncode == 4
        assert "failed   credentials  No AWS credentials were found." in ended.stdout

    def test_what_could_steer_a_terminal_is_escaped(self, tmp_path):
        """Names come from files of anybody."""
        made = {"name": "a", "model": CORE, "items": [{"id": "a", "prompt": "{\u202e}"}]}
        (tmp_path / "job.yaml").write_text(json.dumps({**made, "endpoint": "simulator"}))

        ended = doctor(tmp_path, "job.yaml")

        assert ended.returncode == 2
        assert all(char.isprintable() or char == "\n" for char in ended.stdout)


QUICKSTART = str(Path(__file__).parents[2] / "jobs" / "quickstart.yaml")


def doctor(folder, *arguments):
    """The command, run in a folder."""
    command = [sys.executable, "-m", "batchgen", "doctor", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


class FakeAccount:
    """An account that answers what a test says."""

    clock_skew = None

    def __init__(self, credentials=None, access=None):
        self._credentials = credentials
        self._access = access

    async def credentials(self):
        return self._credentials

    async def identity(self):
        return Identity(account="123456789012", arn="arn:aws:iam::123456789012:user/night")

    async def life_cycle(self, _):
        return "ACTIVE"

    async def access(self, _):
        return self._access


def state(folder):
    """Name, size and time of change of everything in a folder."""
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
    }


def write_manifest(output, job, *, done, spent=0.0):
    """What a run left that made the first `done` tasks and then ran out of its budget."""
    output.mkdir(parents=True)
    run = run_line(job_name=job.name, random_seed_key="key", started_at=NOW)
    tasks = list(plan.expand(job))[:done]
    summary = {"billed_usd": spent, "maybe_billed_usd": 0.0}
    end = EndLine(run_id="run-1", finished_at=NOW, exit_code=3, summary=summary)
    lines = [run, *(make_record(task) for task in tasks), end]
    (output / "manifest.jsonl").write_bytes(b"".join(line.to_json() for line in lines))
