import asyncio
from itertools import pairwise

import pytest
from fakes import ERRORS, make_attempt, make_generation, settle
from virtual_time import virtual_time

from batchgen.errors import (
    AnswerLost,
    CredentialsRefused,
    NotStarted,
    ServiceUnusable,
    StorageError,
    Throttled,
)
from batchgen.policies.credential_refresh import (
    PATIENCE,
    PAUSES,
    SKEW_NOTICED,
    CredentialRefresh,
    describe,
)
from batchgen.policies.stop import Stop, StopCause

EXPIRED = CredentialsRefused(
    "The security token included in the request is expired",
    code="ExpiredTokenException",
    advice="Renew them.",
)


class Account:
    """A service whose credentials expire, and a way to renew them that may not help."""

    def __init__(self, *, lasts=3.0, helps_after=1, renewable=True):
        self.valid = True
        self.lasts = lasts
        self.helps_after = helps_after
        self.renewable = renewable
        self.calls = []
        """(start, end, accepted) of each call."""
        self.renewals = []
        self.outcome = None
        """Raised by calls whose credentials are good."""
        self.stop = Stop()
        self.told = []
        self.generate = CredentialRefresh(
            self.call,
            self.renew,
            self.stop,
            notify=self.told.append,
            clock=asyncio.get_running_loop().time,
        )

    async def call(self, attempt):
        now = asyncio.get_running_loop().time
        start, valid = now(), self.valid
        await asyncio.sleep(self.lasts if valid else 0.1)
        self.calls.append((start, now(), valid))
        if not valid:
            raise EXPIRED
        if self.outcome is not None:
            raise self.outcome
        return make_generation(request_id=str(attempt.number))

    async def renew(self):
        self.renewals.append(asyncio.get_running_loop().time())
        if len(self.renewals) >= self.helps_after:
            self.valid = True
        return self.renewable

    @property
    def refused(self):
        return sum(not accepted for _, _, accepted in self.calls)


class TestGood:
    @virtual_time
    async def test_good_credentials_change_nothing(self):
        """Calls run beside each other as if nobody looked."""
        account = Account()
        made = await asyncio.gather(*(account.generate(make_attempt(None, n)) for n in range(9)))
        assert [each.request_id for each in made] == [str(n) for n in range(9)]
        assert asyncio.get_running_loop().time() == 3.0
        assert account.renewals == []

    @pytest.mark.parametrize("kind", [Throttled, AnswerLost, NotStarted, StorageError, ValueError])
    @virtual_time
    async def test_other_errors_pass(self, kind):
        """Only refused credentials are dealt with here."""
        account = Account()
        account.outcome = ERRORS.get(kind) or kind("words")
        with pytest.raises(kind) as caught:
            await account.generate(make_attempt())
        assert caught.value is account.outcome
        assert account.renewals == []


class TestExpired:
    @virtual_time
    async def test_one_renewal_for_all(self):
        """Twenty calls meet an expired token: it is renewed once, and all twenty are made."""
        account = Account()
        account.valid = False
        made = await asyncio.gather(*(account.generate(make_attempt(None, n)) for n in range(20)))
        assert sorted(int(each.request_id) for each in made) == list(range(1, 21))
        assert len(account.renewals) == 1
        assert account.refused == 20
        assert len(account.calls) == 40
        assert account.stop.stopping is None

    @virtual_time
    async def test_the_others_go_on_beside_each_other(self):
        """After the renewal nobody waits for more than the first call that proves it."""
        account = Account(lasts=10.0)
        account.valid = False
        await asyncio.gather(*(account.generate(make_attempt()) for _ in range(20)))
        # 0.1 refused, 1 pause, 10 the first call, 10 all the others
        assert asyncio.get_running_loop().time() == pytest.approx(21.1)

    @virtual_time
    async def test_nobody_starts_while_they_are_refused(self):
        """Who comes during the renewal waits for its outcome, and is not refused himself."""
        account = Account(helps_after=2)
        account.valid = False
        first = asyncio.create_task(account.generate(make_attempt()))
        await asyncio.sleep(0.5)
        late = [asyncio.create_task(account.generate(make_attempt())) for _ in range(5)]
        await asyncio.gather(first, *late)
        assert account.refused == 2  # the first call, and its try after the vain renewal
        assert [start for start, _, valid in account.calls if valid][1:] == [
            account.calls[2][1]
        ] * 5

    @virtual_time
    async def test_the_pauses_grow(self):
        """1, 5, 15, 30 seconds and then a minute each lie before the renewals."""
        account = Account(helps_after=8)
        account.valid = False
        await account.generate(make_attempt())
        assert PAUSES == (1.0, 5.0, 15.0, 30.0, 60.0)
        gaps = [later - earlier for earlier, later in pairwise(account.renewals)]
        assert account.renewals[0] == pytest.approx(1.1)
        assert gaps == pytest.approx([5.1, 15.1, 30.1, 60.1, 60.1, 60.1, 60.1])

    @pytest.mark.parametrize("kind", [Throttled, AnswerLost])
    @virtual_time
    async def test_another_error_means_that_they_were_accepted(self, kind):
        """A call that fails for another reason was signed well: the others go on."""
        account = Account()
        account.valid, account.outcome = False, ERRORS[kind]
        results = await asyncio.gather(
            *(account.generate(make_attempt()) for _ in range(5)), return_exceptions=True
        )
        assert results == [ERRORS[kind]] * 5
        assert len(account.renewals) == 1

    @virtual_time
    async def test_they_may_expire_again(self):
        """Each time they expire they are renewed once."""
        account = Account()
        for number in (1, 2, 3):
            account.valid = False
            await asyncio.gather(*(account.generate(make_attempt()) for _ in range(4)))
            assert len(account.renewals) == number
            assert len(account.told) == number
        assert account.told[0] == (
            "The service refuses the credentials (The security token included in the request is "
            "expired): they are read anew."
        )

    @virtual_time
    async def test_who_is_refused_after_the_renewal_is_told(self):
        """A second refusal in a row is the retry policy's: nobody is caught in here."""
        account = Account(lasts=1.0)
        account.valid = False

        async def expire_soon():
            await asyncio.sleep(2.05)  # the first call is about to prove the new ones
            account.valid = False

        expiring = asyncio.create_task(expire_soon())
        calls = [asyncio.create_task(account.generate(make_attempt(None, n))) for n in range(3)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        await expiring
        assert results == [make_generation(request_id="1"), EXPIRED, EXPIRED]
        assert len(account.renewals) == 1


class TestHopeless:
    @virtual_time
    async def test_after_ten_minutes_the_run_ends(self):
        """Nothing helps: the run stops, says why, and every task stays open."""
        account = Account(helps_after=10**9)
        account.valid = False
        results = await asyncio.gather(
            *(account.generate(make_attempt()) for _ in range(5)), return_exceptions=True
        )
        assert [type(result) for result in results] == [NotStarted] * 5
        assert account.stop.stopping.cause is StopCause.CREDENTIALS
        assert account.stop.stopping.text == (
            "The service refuses the credentials: The security token included in the request is "
            "expired. Renew them."
        )
        assert PATIENCE == 600.0
        assert 600 < asyncio.get_running_loop().time() < 700
        assert account.refused == 5 + len(account.renewals)

    @virtual_time
    async def test_fixed_credentials_are_tried_once_more(self):
        """Keys of the environment cannot change: one try, in case the service erred."""
        account = Account(helps_after=10**9, renewable=False)
        account.valid = False
        with pytest.raises(NotStarted, match="the credentials are refused") as caught:
            await account.generate(make_attempt())
        assert caught.value.__cause__ is EXPIRED
        assert len(account.renewals) == 1
        assert asyncio.get_running_loop().time() == pytest.approx(1.2)
        assert account.stop.stopping.cause is StopCause.CREDENTIALS

    @virtual_time
    async def test_fixed_credentials_may_work_again(self):
        """A clock that was set right is enough."""
        account = Account(renewable=False)
        account.valid = False
        await account.generate(make_attempt())
        assert account.stop.stopping is None

    @virtual_time
    async def test_credentials_that_are_gone_may_come_back(self):
        """While a person logs in there are none: that is waited for as well."""
        account = Account()
        account.valid, renewals = False, []

        async def renew():
            renewals.append(1)
            if len(renewals) < 4:
                raise ServiceUnusable("No AWS credentials were found.")
            account.valid = True
            return True

        generate = CredentialRefresh(
            account.call, renew, account.stop, clock=asyncio.get_running_loop().time
        )
        await generate(make_attempt())
        assert len(renewals) == 4

    @virtual_time
    async def test_a_stop_ends_the_waiting(self):
        """Whoever stops the run need not wait for a login."""
        account = Account(helps_after=10**9)
        account.valid = False
        calls = [asyncio.create_task(account.generate(make_attempt())) for _ in range(3)]
        await asyncio.sleep(30)
        account.stop.request(StopCause.INTERRUPTED, "INT")
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [NotStarted] * 3
        assert asyncio.get_running_loop().time() == 30
        assert account.stop.stopping.cause is StopCause.INTERRUPTED

    @virtual_time
    async def test_a_stop_of_the_call_itself_is_no_proof(self):
        """`NotStarted` says nothing of the credentials: the others find out by themselves."""
        account = Account()
        account.valid = False
        account.outcome = NotStarted("stop")
        with pytest.raises(NotStarted, match=r"^stop$"):
            await account.generate(make_attempt())
        assert account.generate._accepted == 0

    @virtual_time
    async def test_a_bug_in_the_renewal_is_not_hidden(self):
        """What nobody foresaw leaves, and the lock is free for the next."""
        account = Account()
        account.valid = False

        async def renew():
            raise LookupError("a bug")

        generate = CredentialRefresh(account.call, renew, account.stop)
        for _ in range(2):
            with pytest.raises(LookupError):
                await generate(make_attempt())

    @virtual_time
    async def test_a_cancelled_renewal_frees_the_others(self):
        """The next one who was refused renews."""
        account = Account()
        account.valid = False
        first = asyncio.create_task(account.generate(make_attempt()))
        await asyncio.sleep(0.5)
        second = asyncio.create_task(account.generate(make_attempt()))
        await settle()
        first.cancel()
        await second
        assert len(account.renewals) == 1


def refused(skew=None, message="Signature expired", advice="Set the clock."):
    """A refusal with this skew."""
    return CredentialsRefused(
        message, code="InvalidSignatureException", advice=advice, clock_skew=skew
    )


class TestDescribe:
    @pytest.mark.parametrize(
        ("skew", "words"),
        [
            (420.0, "This machine's clock is 7 min ahead of the service's"),
            (-420.0, "This machine's clock is 7 min behind the service's"),
            (240.1, "This machine's clock is 4 min ahead of"),
            (-86_400.0, "This machine's clock is 24 h behind"),
        ],
    )
    def test_a_wrong_clock_is_named(self, skew, words):
        """More than four minutes off, the clock is the cause; and what to do about it."""
        text = describe(refused(skew))
        assert text.startswith(words)
        assert text.endswith(
            "so signatures are refused. Set the clock (NTP) and run the same command again."
        )

    @pytest.mark.parametrize("skew", [None, 0.0, 240.0, -240.0])
    def test_a_right_clock_is_not_blamed(self, skew):
        """Within what AWS allows the service's own words count."""
        assert SKEW_NOTICED == 240.0
        assert describe(refused(skew)) == (
            "The service refuses the credentials: Signature expired. Set the clock."
        )

    def test_sentences_end_once(self):
        """A message that brings its full stop gets no second one; no advice leaves no blank."""
        assert describe(refused(message="It is invalid.", advice="")) == (
            "The service refuses the credentials: It is invalid."
        )
