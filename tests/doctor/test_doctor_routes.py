"""`doctor` of a job with routes: each by itself, and whether those that work are enough."""

import json

import pytest
from examined import Found, examined, simulator
from fakes import CORE, ULTRA
from loopback import free_port

from batchgen.commands.doctor import _line
from batchgen.doctor.examine import examine
from batchgen.doctor.findings import Check, Verdict, exit_code
from batchgen.job import parse
from batchgen.simulator.credentials import account_of

ACCOUNT = "444455556666"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/night"
DAY = {"name": "day", "profile": "day"}
NIGHT = {"name": "night", "profile": "night"}
AS_ROLE = {"name": "role", "role": ROLE}
EAST = {"name": "east", "region": "us-east-1"}
HERE = {"name": "here"}
SYSTEM = f"arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.{CORE}"
ON_EACH = ["credentials", "service", "model", "quota"]


@pytest.fixture
def job(tmp_path):
    """Makes a job with these routes."""

    def make(*routes, **keys):
        document = {
            "name": "shop",
            "model": CORE,
            "output": str(tmp_path / "out"),
            "items": [{"id": "a", "prompt": "a mug", "variants": 90}],
            **({"routes": routes} if routes else {}),
            **keys,
        }
        return parse("job.yaml", json.dumps(document).encode(), defer=True)

    return make


class TestAll:
    async def test_every_route_is_looked_at(self, job):
        """Its credentials, service, models and quotas; the clock and the time are of all."""
        found = await examined(job(DAY, NIGHT))

        assert (found.troubled_on_routes, exit_code(found)) == ({}, 0)
        assert found.of("day") == found.of("night") == ON_EACH
        accounts = [found["credentials", name].values["account"] for name in ("day", "night")]
        assert accounts == [account_of(f"AKIASIMULATED-{name}") for name in ("day", "night")]
        assert [each.check for each in found].count("clock") == 1
        assert found["routes", None].values == {"usable": 2}

    async def test_a_job_without_routes_has_none(self, job):
        """Its findings name no route, and none are compared."""
        found = await examined(job())

        assert found.of("day") == []
        assert {each.route for each in found} == {None}
        assert "routes" not in {each.check for each in found}
        assert all("route" not in each.to_json() for each in found)

    async def test_the_regions_are_those_of_the_routes(self, job):
        """A role in another Region is asked there; the job's Region is only for who says none."""
        east = {**AS_ROLE, "region": "us-east-1"}

        found = await examined(job(DAY, east), any_region=True)

        assert found["service", "role"].text.startswith("Bedrock Runtime at 127.0.0.1")
        assert found["model", "role"].text.startswith("Active in us-east-1.")
        assert found["model", "day"].text.startswith("Active in us-west-2.")
        assert found["credentials", "role"].values["account"] == ACCOUNT

    async def test_as_text_and_as_json(self, job):
        """The route stands before the model, and has a key of its own."""
        found = await examined(job(DAY, NIGHT))
        finding = found["quota", "night"]

        start = f"ok       quota        night: {CORE}: 90 calls a minute by Service Quotas."
        assert _line(finding) == start
        assert finding.to_json()["route"] == "night"
        assert finding.to_json()["model"] == CORE


class TestUnusable:
    async def test_one_account_is_refused(self, job):
        """The others go on without it: no failure, and nothing more is said of its models."""
        found = await examined(job(DAY, NIGHT), reject=("AKIASIMULATED-night",))

        assert found.troubled_on_routes == {
            ("credentials", "night"): "warning",
            ("service", "night"): "warning",
        }
        assert found["credentials", "night"].text.endswith(" The run goes on without this route.")
        assert found.of("night") == ["credentials", "service"]
        assert found["time", None].values == {"minutes": 1.0}
        assert exit_code(found) == 0

    async def test_all_accounts_are_refused(self, job):
        """Then the service cannot be used; each is told, with all there is."""
        found = await examined(job(DAY, NIGHT), reject=("AKIASIMULATED-day", "AKIASIMULATED-night"))

        failed = {key for key, verdict in found.troubled_on_routes.items() if verdict == "failed"}
        assert failed == {(c, n) for c in ("credentials", "service") for n in ("day", "night")}
        assert found.of("day") == found.of("night") == ON_EACH
        assert all("goes on without" not in each.text for each in found)
        assert exit_code(found) == 4

    async def test_a_role_that_cannot_be_assumed(self, job):
        """The reason is that of the token service; a profile's keys need no such service."""
        found = await examined(job(DAY, AS_ROLE), deny=("sts",))

        text = found["credentials", "role"].text
        assert text.startswith("AssumeRole: AccessDenied: ")
        assert "trust policy" in text
        assert text.endswith("The run goes on without this route.")
        assert found["service", "role"].verdict is Verdict.WARNING
        assert exit_code(found) == 0

    async def test_only_roles_and_none_can_be_assumed(self, job):
        """Exit code 4, as the run would have it."""
        found = await examined(job(AS_ROLE), deny=("sts",))

        assert found["credentials", "role"].verdict is Verdict.FAILED
        assert exit_code(found) == 4

    async def test_a_profile_that_does_not_exist(self, job, monkeypatch):
        """On AWS, one that is not in the files; nothing is sent for it."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        async with simulator() as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)
            found = Found(await examine(job(HERE, NIGHT, endpoint="aws")))

        assert "(night) could not be found" in found["credentials", "night"].text
        assert found["credentials", "here"].verdict is Verdict.OK
        assert exit_code(found) == 0

    async def test_nobody_answers(self, job):
        """Each route says so, and the run would end with exit code 4."""
        url = f"http://127.0.0.1:{free_port()}"

        found = Found(await examine(job(DAY, EAST, endpoint=url)))

        assert found["service", "day"].verdict is found["service", "east"].verdict is Verdict.FAILED
        assert exit_code(found) == 4


class TestModels:
    async def test_a_model_that_one_route_cannot_call(self, job):
        """A warning, and the time is what the other route needs."""
        found = await examined(job(HERE, EAST))

        assert found["model", "east"].verdict is Verdict.WARNING
        assert found["model", "east"].text.endswith("The run calls it on another route.")
        assert found["time", None].values == {"minutes": 1.0}
        assert exit_code(found) == 0

    async def test_a_model_that_no_route_can_call(self, job):
        """As bad as without routes; the time is what it would take."""
        found = await examined(job(DAY, NIGHT), deny=(CORE,))

        assert found.troubled_on_routes == {
            ("model", "day"): "failed",
            ("model", "night"): "failed",
        }
        assert found["time", None].values == {"minutes": 0.6}
        assert exit_code(found) == 4

    async def test_the_id_that_it_has_there(self, job):
        """A route may call an inference profile; the job's name for it stays in front."""
        through = {**NIGHT, "models": {CORE: SYSTEM}}

        found = await examined(job(DAY, through))

        finding = found["model", "night"]
        assert (finding.model, finding.values) == (CORE, {"called": SYSTEM})
        assert finding.text.startswith(f"Called {SYSTEM} here. Active in us-west-2.")
        assert found["quota", "night"].values["called"] == SYSTEM

    async def test_only_what_a_route_serves(self, job):
        """A route that names some models has no finding about others."""
        both = [{"id": "a", "prompt": "a"}, {"id": "b", "prompt": "b", "model": ULTRA}]
        only = {**NIGHT, "models": {ULTRA: ULTRA}}

        found = await examined(job(DAY, only, items=both))

        models = [(each.route, each.model) for each in found if each.check == "model"]
        assert models == [("day", CORE), ("day", ULTRA), ("night", ULTRA)]


class TestQuotas:
    async def test_the_routes_add_up(self, job):
        """Each at its own limit, or at the job's; the time is that of all together."""
        slow = {**NIGHT, "requests_per_minute": 30}

        found = await examined(job(DAY, slow))

        assert found["quota", "day"].values["requests_per_minute"] == 90
        assert found["quota", "night"].values["requests_per_minute"] == 30
        assert found["quota", "night"].text.endswith("The job asks for 30.")
        assert found["time", None].text == (f"About 45 s: 90 of {CORE} at 120 a minute take 45 s.")

    async def test_a_limit_of_its_own_that_is_too_high(self, job):
        """What to set is the route's key, not the job's."""
        fast = {**NIGHT, "requests_per_minute": 60}

        found = await examined(
            job(DAY, fast, limits={"requests_per_minute": 20}), requests_per_minute=30.0
        )

        assert found["quota", "day"].verdict is Verdict.OK
        assert "Set its requests_per_minute to 30 or auto" in found["quota", "night"].text
        assert found["time", None].values == {"minutes": 1.1}

    async def test_an_account_that_is_closed_for_a_model(self, job):
        """A quota of nothing on every route is a failure."""
        found = await examined(job(DAY, NIGHT), quota=((CORE, 0),))

        assert found["quota", "day"].verdict is found["quota", "night"].verdict is Verdict.FAILED
        assert found["time", None].values == {"minutes": None}
        assert exit_code(found) == 4

    async def test_a_quota_that_is_not_known_is_not_counted(self, job):
        """Rather too long a time than too short a one; where nobody knows any, it is not known."""
        unknown = "arn:aws:bedrock:us-west-2:123456789012:provisioned-model/abc123"
        made = job(DAY, NIGHT, model=unknown, family="stable-image")

        found = await examined(made, arn=((unknown, CORE),))

        assert found["time", None].values == {"minutes": None}


class TestSharedQuotas:
    SAME = (("AKIASIMULATED-day", ACCOUNT), ("AKIASIMULATED-night", ACCOUNT))

    @pytest.mark.parametrize("other", [NIGHT, AS_ROLE], ids=["two profiles", "a role"])
    async def test_one_account_in_one_region(self, job, other):
        """What no job file shows is found out: exit code 2, as the run would have it."""
        found = await examined(job(DAY, other), account=self.SAME)

        finding = found["routes", other["name"]]
        assert finding.verdict is Verdict.FAILED
        assert finding.text.startswith(
            "It is the same account and Region as day (account 444455556666): "
        )
        assert ACCOUNT in finding.text
        assert finding.values == {"shares_with": "day"}
        assert exit_code(found) == 2

    @pytest.mark.parametrize(
        "changes",
        [{"region": "us-east-1"}, {"models": {CORE: SYSTEM}}],
        ids=["another Region", "an inference profile"],
    )
    async def test_a_quota_of_its_own_in_the_same_account(self, job, changes):
        """Another Region, or another thing to call, is another quota."""
        found = await examined(job(DAY, {**NIGHT, **changes}), account=self.SAME, any_region=True)

        assert found["routes", None].verdict is Verdict.OK

    async def test_an_account_that_nobody_tells(self, job):
        """Where STS may not be asked it is a doubt."""
        found = await examined(job(DAY, NIGHT), deny=("sts",))

        assert found["routes", "night"].verdict is Verdict.WARNING
        assert "shares a quota with day is not known" in found["routes", "night"].text
        assert exit_code(found) == 0


class TestStandIns:
    @pytest.mark.parametrize("routes", [(), (DAY,)], ids=["no routes", "a route"])
    async def test_they_are_looked_at_and_warned_of(self, job, routes):
        """A model that is only to stand in for another may be missing."""
        found = await examined(job(*routes, fallback=[ULTRA]), deny=(ULTRA,))

        looked = {each.model: each for each in found if each.check == "model"}
        assert looked[CORE].verdict is Verdict.OK
        assert looked[ULTRA].verdict is Verdict.WARNING
        assert looked[ULTRA].text.endswith("It only stands in for other models.")
        assert exit_code(found) == 0

    async def test_one_that_is_there_is_ok(self, job):
        """And takes no part in the time."""
        found = await examined(job(DAY, fallback=[ULTRA]))

        assert [each.model for each in found if each.check == "quota"] == [CORE, ULTRA]
        assert found.troubled_on_routes == {}
        assert ULTRA not in found["time", None].text


def test_a_softened_finding_is_no_trouble():
    """It keeps what it is about and what was found."""
    failed = Check("model", CORE).failed(4, "Denied.", figure=1)

    soft = failed.softened("The run does without")

    assert (soft.verdict, soft.trouble) == (Verdict.WARNING, None)
    assert soft.text == "Denied. The run does without."
    assert (soft.check, soft.model, soft.values) == ("model", CORE, {"figure": 1})


class TestFallback:
    async def test_a_denied_model_with_a_stand_in_is_a_warning(self, job):
        """The run can make every image, if not with the model that it asks for."""
        found = await examined(job(fallback=[ULTRA]), deny=(CORE,))
        model = next(each for each in found if (each.check, each.model) == ("model", CORE))
        assert model.verdict is Verdict.WARNING
        assert "Its fallback models make the images." in model.text
        assert exit_code(found) == 0

    async def test_one_item_without_a_stand_in_is_a_failure(self, job):
        """Its images could not be made at all."""
        items = [{"id": "a", "prompt": "a mug"}, {"id": "b", "prompt": "a pot", "fallback": []}]
        found = await examined(job(fallback=[ULTRA], items=items), deny=(CORE,))
        assert exit_code(found) == 4

    async def test_a_stand_in_that_is_denied_as_well_is_none(self, job):
        """Nobody could make the images."""
        found = await examined(job(fallback=[ULTRA]), deny=(CORE, ULTRA))
        assert exit_code(found) == 4
