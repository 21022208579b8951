"""Credentials that are refused on one of several routes: nobody waits for them who need not."""

import asyncio

import pytest
from fake_routes import EXPIRED
from fakes import ERRORS, make_attempt, make_generation
from virtual_time import virtual_time

from batchgen.errors import CredentialsRefused, NeverSent, NotStarted
from batchgen.policies.credential_refresh import PATIENCE, CredentialRefresh
from batchgen.policies.stop import Stop, StopCause


def now():
    return asyncio.get_running_loop().time()


class Account:
    """A service that refuses until it is told not to; calls take a tenth of a second."""

    def __init__(self, *errors, elsewhere=True):
        self.errors = list(errors)
        """Of the calls, one by one; the last one for all others."""
        self.stop = Stop()
        self.calls = []
        self.generate = CredentialRefresh(
            self.call, self.renew, self.stop, others=[Stop()] * elsewhere, clock=now
        )

    async def call(self, _):
        self.calls.append(now())
        error = self.errors.pop(0) if len(self.errors) > 1 else self.errors[0]
        await asyncio.sleep(0.1)
        if error is not None:
            raise error
        return make_generation()

    async def renew(self):
        return True

    async def send(self):
        """Seconds until an attempt ended, and how."""
        start = now()
        try:
            await self.generate(make_attempt())
        except (CredentialsRefused, NeverSent, NotStarted) as error:
            return now() - start, type(error)
        return now() - start, None


@virtual_time
async def test_one_renewal_and_then_elsewhere():
    """Who meets the refusal waits a second for one renewal, then leaves with it."""
    account = Account(EXPIRED)

    assert await account.send() == (pytest.approx(1.2), CredentialsRefused)
    assert account.generate.ready_in() == pytest.approx(5)
    assert account.stop.stopping is None


@virtual_time
async def test_who_meets_a_renewal_under_way_does_not_wait_for_the_next():
    """Nor through the pause before it, however long that has become."""
    account = Account(EXPIRED)
    for _ in range(5):
        await asyncio.sleep(account.generate.ready_in())
        await account.send()
    await asyncio.sleep(account.generate.ready_in())

    first = asyncio.ensure_future(account.send())
    await asyncio.sleep(0.05)
    second = asyncio.ensure_future(account.send())

    assert await first == (pytest.approx(0.1), CredentialsRefused)
    assert await second == (pytest.approx(0.05), CredentialsRefused)


@virtual_time
async def test_without_another_route_everybody_waits():
    """As in a job without routes: attempts leave with an image."""
    account = Account(*[EXPIRED] * 4, None, elsewhere=False)

    ends = await asyncio.gather(*(account.send() for _ in range(3)))

    assert {kind for _, kind in ends} == {None}


@pytest.mark.parametrize("elsewhere", [True, False])
@virtual_time
async def test_a_network_that_is_away_says_nothing_of_them(elsewhere):
    """What never reached the service is no proof that it takes them: ten minutes stay ten."""
    account = Account(*[EXPIRED, ERRORS[NeverSent]] * 200, elsewhere=elsewhere)
    while account.stop.stopping is None:
        await account.send()
        await asyncio.sleep(min(30, account.generate.ready_in()))

    assert account.stop.stopping.cause is StopCause.CREDENTIALS
    assert PATIENCE < now() < PATIENCE + 150
