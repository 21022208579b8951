import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import free_port, response, sends, serving

from batchgen.bedrock.account import open_account, quotas_of
from batchgen.bedrock.account_errors import AccountError, AccountErrorReason
from batchgen.bedrock.connection import Connection
from batchgen.models import MODELS, Foundation, Kind, foundation_of
from batchgen.simulator import server
from batchgen.simulator.clock import SystemClock
from batchgen.simulator.credentials import account_of
from batchgen.simulator.options import Options

CORE = "stability.stable-image-core-v1:1"
ULTRA = "stability.stable-image-ultra-v1:1"
SDXL = "stability.stable-diffusion-xl-v1"
PROFILE = "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abc123"
SYSTEM = f"arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.{CORE}"
PROVISIONED = "arn:aws:bedrock:us-west-2:123456789012:provisioned-model/abc123"
ROLE = "arn:aws:iam::444455556666:role/night"


def connection(url, region="us-west-2"):
    return Connection(region=region, url=url, calls_in_flight=4)


@asynccontextmanager
async def simulator(**settings):
    """A simulator in this process: its URL, and its ledger, which must stay empty."""
    app = server.build_app(Options(**settings), SystemClock())
    async with server.serving(app) as url:
        yield url
        assert app[server.SERVICE].ledger.lines() == []


@asynccontextmanager
async def simulated(region="us-west-2", **settings):
    """An account of a simulator."""
    async with simulator(**settings) as url, open_account(connection(url, region)) as account:
        yield account


@asynccontextmanager
async def answering(*bodies):
    """An account whose services answer with these JSON bodies, one after the other."""
    left = iter(bodies)

    async def respond(writer):
        body = next(left)
        whole = response(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
        await sends(whole)(writer)

    async with serving() as loopback, open_account(connection(loopback.url)) as account:
        loopback.respond = respond
        yield account, loopback


@pytest.fixture
def environment(monkeypatch):
    """Sets variables, of which those of AWS are what the SDK finds credentials in."""

    def change(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return change


@pytest.fixture
def keys(environment):
    """Credentials in the environment."""
    environment({"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "not-a-secret"})


class TestCredentials:
    async def test_a_simulator_gets_made_up_keys(self, keys):
        """What this machine's environment has is not shown to a plain loopback address."""
        async with simulated() as account:
            found = await account.credentials()
            identity = await account.identity()

        assert (found.source, found.temporary, found.expires_at) == ("explicit", False, None)
        assert identity.account != account_of("AKIDTEST")

    async def test_lasting_keys_of_the_environment(self, keys):
        """A key without a session token does not expire."""
        async with open_account(connection(None)) as account:
            found = await account.credentials()

        assert (found.source, found.temporary, found.renewable) == ("env", False, False)

    async def test_keys_with_a_token_are_temporary(self, keys, environment):
        """Where nobody says until when, the time is not known, and nothing renews them."""
        environment({"AWS_SESSION_TOKEN": "t"})
        async with open_account(connection(None)) as account:
            found = await account.credentials()

        assert (found.temporary, found.expires_at, found.renewable) == (True, None, False)

    async def test_a_time_of_expiry_is_told(self, keys, environment):
        """The environment may say when its keys expire; it brings no others then."""
        environment({"AWS_SESSION_TOKEN": "t", "AWS_CREDENTIAL_EXPIRATION": "2099-01-02T03:04:05Z"})
        async with open_account(connection(None)) as account:
            found = await account.credentials()

        assert found.expires_at == datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)
        assert not found.renewable

    async def test_a_role_is_assumed_and_renewed(self, environment, tmp_path):
        """The keys of a role expire, the SDK renews them, and the account is that of the role."""
        write_profile(tmp_path, environment, ROLE)
        async with simulator() as url:
            environment({"AWS_ENDPOINT_URL": url})
            async with open_account(connection(None)) as account:
                found = await account.credentials()
                identity = await account.identity()

        assert (found.source, found.temporary, found.renewable) == ("assume-role", True, True)
        assert found.expires_at > datetime.now(UTC)
        assert identity.account == "444455556666"

    async def test_a_role_that_cannot_be_assumed(self, environment, tmp_path):
        """The step that failed is named; nothing else was asked."""
        write_profile(tmp_path, environment, "no-role-at-all-but-long-enough")
        async with simulator() as url:
            environment({"AWS_ENDPOINT_URL": url})
            async with open_account(connection(None)) as account:
                caught = await unanswered(account.credentials())
                later = await unanswered(account.life_cycle(CORE))

        assert caught.reason is later.reason is AccountErrorReason.NO_CREDENTIALS
        assert str(caught).startswith("AssumeRole: ValidationError: ")

    async def test_none(self):
        """The advice says how to get some."""
        async with open_account(connection(None)) as account:
            caught = await unanswered(account.credentials())

        assert caught.reason is AccountErrorReason.NO_CREDENTIALS
        assert "aws configure" in caught.advice

    async def test_a_profile_that_does_not_exist(self, environment):
        """It is named."""
        environment({"AWS_PROFILE": "nightly"})
        async with open_account(connection(None)) as account:
            caught = await unanswered(account.credentials())
            later = await unanswered(account.reach())

        assert caught.reason is later.reason is AccountErrorReason.NO_CREDENTIALS
        assert "nightly" in str(caught)
        assert "AWS_PROFILE" in caught.advice

    async def test_an_api_key(self, keys, environment):
        """It signs the calls and tells nothing of itself; other keys do not stand in for it."""
        async with simulator() as url:
            environment({"AWS_BEARER_TOKEN_BEDROCK": "b", "AWS_ENDPOINT_URL": url})
            async with open_account(connection(None)) as account:
                found = await account.credentials()
                await account.reach()
                status = await account.life_cycle(CORE)
                caught = await unanswered(account.quotas())

        assert (found.api_key, status, caught.reason) == (True, "ACTIVE", AccountErrorReason.DENIED)

    async def test_expired_ones_are_refused(self):
        """STS and Bedrock name it differently; both mean the credentials."""
        async with simulated(expire=(("*", 0),)) as account:
            questions = (account.identity(), account.reach(), account.life_cycle(CORE))
            caught = [await unanswered(question) for question in questions]

        assert {error.reason for error in caught} == {AccountErrorReason.REFUSED}
        assert all("Renew the credentials" in error.advice for error in caught)


class TestModels:
    @pytest.mark.parametrize(
        ("model", "status"), [(CORE, "ACTIVE"), (SYSTEM, "ACTIVE"), (SDXL, "LEGACY")]
    )
    async def test_the_state_is_that_of_the_foundation_model(self, model, status):
        """Under its id and under a profile's."""
        async with simulated() as account:
            assert await account.life_cycle(model) == status

    async def test_an_application_profile_is_looked_up(self):
        """Its ARN does not say what it calls; the service does."""
        async with simulated(arn=((PROFILE, SDXL),)) as account:
            behind = await account.behind(PROFILE)

        assert behind == Foundation(kind=Kind.PROFILE, model_id=SDXL)

    async def test_a_profile_over_many_regions_has_a_quota_of_its_own(self):
        """The Regions that the service names decide."""
        arns = [
            f"arn:aws:bedrock:us-{side}-2::foundation-model/{CORE}" for side in ("east", "west")
        ]
        async with answering({"models": [{"modelArn": arn} for arn in arns]}) as (account, _):
            behind = await account.behind(PROFILE)

        assert behind.quota_name.startswith("Cross-region model inference requests per minute for ")

    async def test_a_model_that_the_region_does_not_have(self):
        """It is not known there, and access says so in a field."""
        async with simulated(region="eu-west-1") as account:
            caught = await unanswered(account.life_cycle(CORE))
            access = await account.access(CORE)

        assert caught.reason is AccountErrorReason.UNKNOWN
        assert (access.in_region, access.authorized) == (False, True)

    async def test_a_profile_that_does_not_exist(self):
        """Its name spells a model that there is; that does not make it one."""
        async with simulated() as account:
            assert (
                await unanswered(account.access(f"us.{CORE}"))
            ).reason is AccountErrorReason.UNKNOWN

    async def test_who_may_not_ask(self):
        """That says nothing about calls."""
        async with simulated(deny=("bedrock",)) as account:
            caught = [await unanswered(ask(CORE)) for ask in (account.life_cycle, account.access)]
            await account.reach()

        assert {error.reason for error in caught} == {AccountErrorReason.DENIED}

    async def test_who_has_no_access(self):
        """The service's words become plain values."""
        async with simulated(deny=(CORE,)) as account:
            access = await account.access(CORE)

        assert (access.authorized, access.entitled) == (False, False)
        assert access.agreement == "NOT_AVAILABLE"

    async def test_what_cannot_be_looked_up(self):
        """A provisioned model has no foundation model in its name."""
        async with simulated() as account:
            assert (
                await unanswered(account.access(PROVISIONED))
            ).reason is AccountErrorReason.DENIED


class TestQuotas:
    @pytest.mark.parametrize(
        ("model", "quota"),
        [(CORE, 45.0), (SYSTEM, 45.0), (PROVISIONED, None), ("custom", None)],
    )
    async def test_the_quota_of_a_model(self, model, quota):
        """As the account has it, and None where none has the model's name."""
        async with simulator(requests_per_minute=45.0) as url:
            assert await quotas_of(connection(url), [model]) == {model: quota}

    async def test_the_quotas_of_many_models(self):
        """One listing answers for all; who may not ask has none of any."""
        async with simulator() as url:
            found = await quotas_of(connection(url), iter((CORE, ULTRA, "custom")))
        async with simulator(deny=("servicequotas",)) as url:
            denied = await quotas_of(connection(url), iter((CORE, ULTRA)))

        assert found == {CORE: 90.0, ULTRA: 10.0, "custom": None}
        assert denied == {CORE: None, ULTRA: None}

    async def test_a_quota_of_nothing_is_a_quota(self):
        """0 is not None: the account may not call the model."""
        async with simulator(quota=((CORE, 0),)) as url:
            assert await quotas_of(connection(url), [CORE]) == {CORE: 0.0}

    async def test_who_may_not_ask_gets_none(self):
        """Neither a refusal nor silence is an error: the run goes on with what is documented."""
        async with simulator(deny=("servicequotas",)) as url:
            assert await quotas_of(connection(url), [CORE]) == {CORE: None}
        silent = connection(f"http://127.0.0.1:{free_port()}")
        assert await quotas_of(silent, [CORE]) == {CORE: None}

    async def test_all_pages_are_read(self):
        """The quotas of Bedrock fill many pages."""
        first = {"Quotas": [{"QuotaName": "a", "Value": 1.0}], "NextToken": "2"}
        second = {"Quotas": [{"QuotaName": "b", "Value": 2.0}, {"QuotaName": "c"}]}
        async with answering(first, second) as (account, loopback):
            listed = await account.quotas()

        assert listed == {"a": 1.0, "b": 2.0}
        assert [json.loads(post.body).get("NextToken") for post in loopback.posts] == [None, "2"]


class TestAnswers:
    @pytest.mark.parametrize("fast", [0, 100, -200])
    async def test_the_clock_is_compared_with_each_answer(self, fast):
        """Ahead is positive, whatever the service answers."""
        async with simulated(clock_skew=float(fast)) as account:
            await account.reach()

        assert account.clock_skew == pytest.approx(-fast, abs=10)

    async def test_a_wrong_clock_is_known_although_nothing_is_answered(self):
        """A refusal has a date, too."""
        async with simulated(clock_skew=-900.0) as account:
            caught = await unanswered(account.reach())

        assert caught.reason is AccountErrorReason.REFUSED
        assert account.clock_skew == pytest.approx(900, abs=10)

    async def test_no_answer(self):
        """Nobody listens: what to look at is said."""
        async with open_account(connection(f"http://127.0.0.1:{free_port()}")) as account:
            caught = await unanswered(account.reach())

        assert caught.reason is AccountErrorReason.UNREACHABLE
        assert "Check the network" in caught.advice
        assert account.clock_skew is None

    def test_no_password_of_a_proxy_is_told(self):
        """It stands in texts of aiohttp."""
        error = AccountError(AccountErrorReason.ODD, "400, url='http://me:secret@proxy:8080'")
        assert str(error) == "400, url='http://***@proxy:8080'"

    async def test_an_answer_of_somebody_else(self):
        """A page of a proxy says nothing about the account."""
        async with serving() as loopback, open_account(connection(loopback.url)) as account:
            loopback.respond = sends(response(502, b"<html>Bad Gateway</html>"))
            caught = await unanswered(account.identity())

        assert caught.reason is AccountErrorReason.UNREACHABLE

    async def test_an_answer_that_says_nothing(self):
        """Whatever stands in for AWS may answer every question with an empty object."""
        async with answering({}, {}, {}) as (account, _):
            questions = (account.life_cycle(CORE), account.quotas(), account.access(CORE))
            caught = [await unanswered(question) for question in questions]

        assert {error.reason for error in caught} == {AccountErrorReason.UNREACHABLE}
        assert str(caught[0]) == "an answer came that has no modelDetails"

    async def test_pages_without_end(self):
        """A service that always names another page is not asked for ever."""
        page = {"Quotas": [{"QuotaName": "a", "Value": 1.0}], "NextToken": "again"}
        async with answering(*[page] * 101) as (account, loopback):
            assert await account.quotas() == {"a": 1.0}

        assert len(loopback.posts) == 100


class TestFoundation:
    @pytest.mark.parametrize("model", sorted(MODELS))
    def test_every_known_model_has_a_quota(self, model):
        """A model that is added is looked for in Service Quotas, too."""
        assert foundation_of(model).quota_name.endswith(MODELS[model].quota_title)

    @given(st.sampled_from(sorted(MODELS)), st.sampled_from(["us", "eu", "apac", "global"]))
    def test_spellings(self, model, geography):
        """An id and its ARN are one model; a system-defined profile spells it out.

        An image service is known by its profile alone; the id is what is behind that.
        """
        model = model.removeprefix("us.")
        arn = f"arn:aws:bedrock:us-west-2::foundation-model/{model}"
        system = f"{geography}.{model}"
        profile = f"arn:aws:bedrock:us-west-2:123456789012:inference-profile/{system}"

        assert (
            foundation_of(arn)
            == foundation_of(model)
            == Foundation(kind=Kind.MODEL, model_id=model)
        )
        assert foundation_of(profile) == foundation_of(system)
        assert foundation_of(system).model_id == model

    @given(st.text())
    def test_any_text_is_something(self, text):
        """A custom id is looked up as it stands; nothing breaks."""
        foundation_of(text)


def write_profile(folder, environment, role):
    """A config file whose default profile assumes a role with keys of another one."""
    config = folder / "config"
    config.write_text(
        f"[default]\nrole_arn = {role}\nsource_profile = source\nregion = us-west-2\n"
        "[profile source]\naws_access_key_id = AKIDSOURCE\naws_secret_access_key = not-a-secret\n"
    )
    environment({"AWS_CONFIG_FILE": str(config)})


async def unanswered(question):
    """Why a question has no answer."""
    with pytest.raises(AccountError) as caught:
        await question
    return caught.value
