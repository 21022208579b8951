"""The accounts of routes: roles that are assumed, and assumed anew; profiles; made-up keys."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from loopback import cuts, free_port, resets, response, sends, serving

from batchgen.bedrock.account import open_account
from batchgen.bedrock.account_errors import AccountError, AccountErrorReason
from batchgen.bedrock.client import connect
from batchgen.bedrock.connection import Connection
from batchgen.bedrock.error_table import CREDENTIAL_ADVICE
from batchgen.errors import CredentialsRefused, NeverSent, ServiceUnusable
from batchgen.simulator import server
from batchgen.simulator.clock import SystemClock
from batchgen.simulator.credentials import account_of
from batchgen.simulator.options import Options, Span

CORE = "stability.stable-image-core-v1:1"
ACCOUNT = "444455556666"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/night"
BODY = b'{"prompt": "a mug"}'
QUICK = {"latency": Span(0.0, 0.0), "picture": "plain", "meter": "none", "any_region": True}


class Bench:
    """A simulator that is running, and its books."""

    def __init__(self, url, app):
        self.url = url
        self._app = app

    def to(self, **changes):
        values = {"region": "us-west-2", "url": self.url, "calls_in_flight": 4, **changes}
        return Connection(**values)

    def told(self, column):
        """A column of the ledger, for each call."""
        return [entry[column] for entry in self._app[server.SERVICE].ledger.lines()]


@asynccontextmanager
async def simulator(**settings):
    app = server.build_app(Options(**{**QUICK, **settings}), SystemClock())
    async with server.serving(app) as url:
        yield Bench(url, app)


class TestAssuming:
    async def test_a_role_is_assumed_once_for_many_calls(self):
        """Its account pays, in the Region of the route, and one pair of keys signs them all."""
        async with (
            simulator() as bench,
            connect(bench.to(role=ROLE, region="us-east-1")) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(5):
                group.create_task(client.invoke(CORE, BODY))
        assert bench.told("account") == [ACCOUNT] * 5
        assert bench.told("region") == ["us-east-1"] * 5
        assert len(set(bench.told("key_id"))) == 1
        assert bench.told("key_id")[0].startswith("ASIA")

    async def test_who_asks_and_where(self):
        """STS hears the keys of this machine and the Region, and the name of the session."""
        async with serving() as loopback:
            loopback.respond = sends(assumed())
            connection = Connection(
                region="eu-west-1", url=loopback.url, calls_in_flight=1, profile="night", role=ROLE
            )
            async with connect(connection):
                pass
        (post,) = loopback.posts
        assert "Credential=AKIASIMULATED-night/" in post.headers["authorization"]
        assert "/eu-west-1/sts/aws4_request" in post.headers["authorization"]
        assert b"Action=AssumeRole" in post.body
        assert b"RoleSessionName=batchgen" in post.body
        assert b"role%2Fnight" in post.body

    async def test_renewing_assumes_it_anew(self):
        """A token that expires is followed by another one, and by others after it."""
        async with simulator(expire=(("*", 2),)) as bench:
            connection = bench.to(role=ROLE, profile="night")
            async with connect(connection) as client:
                await client.invoke(CORE, BODY)
                await client.invoke(CORE, BODY)
                with pytest.raises(CredentialsRefused):
                    await client.invoke(CORE, BODY)
                assert await client.renew() is True
                await client.invoke(CORE, BODY)
        first, again, _, renewed = bench.told("key_id")
        assert first == again != renewed
        assert bench.told("outcome")[2] == "ExpiredTokenException"
        assert bench.told("account")[-1] == ACCOUNT

    @pytest.mark.parametrize(
        ("left", "assumed_anew"),
        [(840, True), (960, False)],
        ids=["in their last quarter of an hour", "before it"],
    )
    async def test_keys_near_their_end_are_not_waited_out(self, left, assumed_anew):
        """Where little of their hour is left, the next call brings others by itself."""
        # By a clock that is slow, the hour that STS grants is nearly over here.
        async with (
            simulator(clock_skew=left - 3600.0, ignore_dates=True) as bench,
            connect(bench.to(role=ROLE)) as client,
        ):
            for _ in range(3):
                await client.invoke(CORE, BODY)
        assert len(set(bench.told("key_id"))) == (3 if assumed_anew else 1)

    @pytest.mark.parametrize("token", [True, False], ids=["an API key", "no API key"])
    async def test_nobody_else_signs_for_a_role(self, monkeypatch, token):
        """The keys of the environment assume it; they and an API key sign nothing but that."""
        monkeypatch.setattr("batchgen.bedrock.connection.SIMULATORS", ())
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        if token:
            monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-secret")
        async with serving() as sts, serving() as service:
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
            sts.respond = sends(assumed())
            connection = Connection(
                region="us-west-2", url=service.url, calls_in_flight=1, role=ROLE
            )
            async with connect(connection) as client:
                await client.invoke(CORE, BODY)
        assert "Credential=AKIAREAL/" in sts.posts[0].headers["authorization"]
        signed = service.posts[0].headers
        assert signed["authorization"].startswith("AWS4-HMAC-SHA256 Credential=ASIAROLE/")
        assert signed["x-amz-security-token"] == "role-token"


def assumed(until="2099-01-01T00:00:00Z"):
    """What STS answers when a role may be assumed."""
    xml = (
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>"
        "<SecretAccessKey>x</SecretAccessKey><SessionToken>role-token</SessionToken>"
        f"<Expiration>{until}</Expiration></Credentials></AssumeRoleResult>"
        "</AssumeRoleResponse>"
    )
    return response(200, xml.encode(), {"Content-Type": "text/xml"})


class TestUnusable:
    async def test_a_role_that_is_denied(self, caplog):
        """Said before there is a call, with the role, the reason and what to do, and only once."""
        async with simulator(deny=("sts",)) as bench:
            with pytest.raises(ServiceUnusable) as caught:
                async with connect(bench.to(role=ROLE)):
                    pass
        assert str(caught.value) == (
            f"The role {ROLE} cannot be assumed: AssumeRole: AccessDenied: User is not authorized "
            "to perform this action. Allow sts:AssumeRole on the role in IAM, and name who asks in "
            "its trust policy."
        )
        assert bench.told("account") == []
        assert caplog.records == []

    async def test_credentials_that_may_not_ask(self):
        """Refused keys are no matter of the role's policies."""
        async with simulator(reject=("AKIASIMULATED-day",)) as bench:
            with pytest.raises(ServiceUnusable) as caught:
                async with connect(bench.to(role=ROLE, profile="day")):
                    pass
        text = str(caught.value)
        assert text.startswith(f'The role {ROLE} cannot be assumed with the profile "day": ')
        assert "trust policy" not in text
        assert text.endswith("run the same command again.")

    async def test_nobody_who_could_assume_it(self, monkeypatch):
        """Without credentials there is no role; a bearer token cannot assume one."""
        monkeypatch.setattr("batchgen.bedrock.connection.SIMULATORS", ())
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-secret")
        async with simulator() as bench:
            with pytest.raises(ServiceUnusable) as caught:
                async with connect(bench.to(role=ROLE)):
                    pass
        assert str(caught.value) == (
            f"The role {ROLE} cannot be assumed: Unable to locate credentials. {CREDENTIAL_ADVICE}"
        )

    async def test_a_profile_that_does_not_exist(self, monkeypatch, tmp_path):
        """The profile is named, not the role that it was to assume."""
        monkeypatch.setattr("batchgen.bedrock.connection.SIMULATORS", ())
        config = tmp_path / "config"
        config.write_text("[profile day]\nregion = us-west-2\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        async with simulator() as bench:
            with pytest.raises(ServiceUnusable, match=r'^There is no profile "night"\. '):
                async with connect(bench.to(role=ROLE, profile="night")):
                    pass

    async def test_a_renewal_that_fails_leaves_the_old_client(self):
        """Who cannot assume the role again goes on with what there is."""
        async with (
            simulator(expire=(("AKIASIMULATED", 1),)) as bench,
            connect(bench.to(role=ROLE)) as client,
        ):
            with pytest.raises(ServiceUnusable, match="cannot be assumed: AssumeRole: Expired"):
                await client.renew()
            await client.invoke(CORE, BODY)
        assert bench.told("outcome") == ["generated"]

    async def test_no_service_for_tokens(self):
        """Where STS cannot be reached the sentence is about the network."""
        url = f"http://127.0.0.1:{free_port()}"
        connection = Connection(region="us-west-2", url=url, calls_in_flight=1, role=ROLE)
        with pytest.raises(ServiceUnusable, match=rf"^The role {ROLE} .*Check the network"):
            async with connect(connection):
                pass


class TestRefreshThatFails:
    @pytest.mark.parametrize("fault", [resets(), cuts(), cuts(b"HTTP/1.1 200 OK\r\nContent-L")])
    async def test_a_call_that_got_no_signature_was_not_sent(self, fault):
        """However STS breaks, the call itself cannot have been billed."""
        soon = datetime.now(UTC) + timedelta(minutes=5)  # too soon to sign one more call with them
        async with serving() as loopback:
            loopback.respond = sends(assumed(soon.strftime("%Y-%m-%dT%H:%M:%SZ")))
            connection = Connection(
                region="us-west-2", url=loopback.url, calls_in_flight=1, role=ROLE
            )
            async with connect(connection) as client:
                loopback.respond = fault
                with pytest.raises(NeverSent) as caught:
                    await client.invoke(CORE, BODY)
        assert caught.value.advice
        assert {post.target for post in loopback.posts} == {"/"}


class TestProfiles:
    async def test_two_profiles_are_two_accounts(self):
        """A simulator knows accounts by their keys, and each profile has keys of its own."""
        async with simulator(account=(("AKIASIMULATED-day", ACCOUNT),)) as bench:
            for profile in ("day", "night", "Nacht & Nebel/2, ü=1", None):
                async with connect(bench.to(profile=profile)) as client:
                    await client.invoke(CORE, BODY)
        day, night, odd, nobody = bench.told("account")
        assert day == ACCOUNT
        assert len({day, night, odd, nobody}) == 4
        assert nobody == account_of("AKIASIMULATED")

    @pytest.mark.parametrize("role", [None, ROLE])
    @pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_CA_BUNDLE"])
    async def test_a_broken_configuration_does_not_keep_from_a_simulator(
        self, variable, role, tmp_path, monkeypatch
    ):
        """A profile that is gone, a file that is none: whoever has no AWS must not care."""
        (tmp_path / "config").write_text("[default\nx")
        broken = {"AWS_PROFILE": "gone", "AWS_CA_BUNDLE": "/no/such/file"}
        monkeypatch.setenv(variable, broken.get(variable, str(tmp_path / "config")))
        async with simulator() as bench, connect(bench.to(role=role)) as client:
            await client.invoke(CORE, BODY)
        assert bench.told("status") == [200]

    async def test_made_up_keys_will_not_change(self):
        """Renewing has no point for them."""
        async with simulator() as bench, connect(bench.to(profile="day")) as client:
            assert await client.renew() is False


class TestAccount:
    async def test_who_the_role_is(self):
        """An account that is asked answers as the role, and says when its keys expire."""
        async with simulator() as bench, open_account(bench.to(role=ROLE)) as account:
            found = await account.credentials()
            identity = await account.identity()
        assert (found.source, found.temporary, found.renewable) == ("assume-role", True, True)
        assert found.expires_at is not None
        assert identity.account == ACCOUNT

    async def test_its_own_quota(self):
        """Service Quotas is asked as the role, whatever API key the environment has."""
        async with (
            simulator(requests_per_minute=45.0) as bench,
            open_account(bench.to(role=ROLE)) as account,
        ):
            assert await account.quotas_of([CORE]) == {CORE: 45.0}

    async def test_an_api_key_is_not_the_role(self, monkeypatch):
        """Where the environment has one, it is not told as the route's credentials."""
        monkeypatch.setattr("batchgen.bedrock.connection.SIMULATORS", ())
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-secret")
        connection = Connection(region="us-west-2", calls_in_flight=1, profile="nobody")
        async with open_account(connection) as account:
            with pytest.raises(AccountError) as caught:
                await account.credentials()
        assert caught.value.reason is AccountErrorReason.NO_CREDENTIALS

    @pytest.mark.parametrize("question", ["credentials", "identity", "quotas", "reach"])
    async def test_a_role_that_is_denied(self, question):
        """Every question ends in the same: there are no credentials, and why."""
        async with simulator(deny=("sts",)) as bench, open_account(bench.to(role=ROLE)) as account:
            with pytest.raises(AccountError) as caught:
                await getattr(account, question)()
        assert caught.value.reason is AccountErrorReason.NO_CREDENTIALS
        assert str(caught.value).startswith("AssumeRole: AccessDenied: ")
        assert "trust policy" in caught.value.advice

    async def test_no_service_for_tokens(self):
        """The network's fault is told as one, and no credentials are had."""
        url = f"http://127.0.0.1:{free_port()}"
        connection = Connection(region="us-west-2", url=url, calls_in_flight=1, role=ROLE)
        async with open_account(connection) as account:
            with pytest.raises(AccountError) as caught:
                await account.reach()
        assert caught.value.reason is AccountErrorReason.NO_CREDENTIALS
        assert "network" in caught.value.advice
