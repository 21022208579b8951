import asyncio
import gc
import random
import sys
from decimal import Decimal

import pytest
from fakes import ERRORS, ULTRA, error_of, make_generation, make_task
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run, virtual_time

from batchgen.attempt import Attempt, Failed, Substitute
from batchgen.errors import (
    AnswerLost,
    AttemptError,
    BatchgenFault,
    CredentialsRefused,
    Filtered,
    InputChanged,
    Misconfigured,
    ModelDenied,
    NeverSent,
    NoRoute,
    NotStarted,
    Permanent,
    QuotaExhausted,
    Rejected,
    RouteDenied,
    ServiceFault,
    StorageError,
    Throttled,
    Unavailable,
    UnusableReply,
)
from batchgen.policies.retry import (
    NOT_BILLED,
    AttemptCounts,
    Retry,
    RetryBudget,
    RetryPolicy,
    retryable,
    should_retry,
    with_retry,
)

FREE = (Throttled, Unavailable, NeverSent, CredentialsRefused, RouteDenied)
LOST = (AnswerLost, UnusableReply)


class Script:
    """A `Generate` that meets these errors in turn and then succeeds; it notes its attempts."""

    def __init__(self, *outcomes, lasts=0.0):
        self.outcomes = list(outcomes)
        self.lasts = lasts
        self.attempts = []
        self.starts = []

    async def __call__(self, attempt: Attempt):
        self.attempts.append(attempt.number)
        self.starts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.lasts)
        outcome = self.outcomes.pop(0) if self.outcomes else make_generation()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def made_by(script, policy=None, *, draw=max, sleep=asyncio.sleep, task=None):
    """What becomes of one task in virtual time, the retries that were told of, and the time."""

    async def main():
        retries = []
        loop = asyncio.get_running_loop()
        make = with_retry(
            script,
            policy or RetryPolicy(),
            sleep=sleep,
            on_retry=retries.append,
            draw=draw,
            clock=loop.time,
        )
        made = await make(task or make_task())
        return made, retries, loop.time()

    return run(main())


def errors(kind, count):
    """That many errors of a class."""
    return [ERRORS[kind]] * count


class TestPolicy:
    def test_the_defaults(self):
        """Three attempts, half an hour, an ambiguous call once more."""
        policy = RetryPolicy()
        assert (policy.attempts, policy.max_elapsed, policy.ambiguous) == (3, 1800.0, True)
        assert policy.lost_again == 1
        assert (policy.wait_first, policy.wait_most) == (1.0, 60.0)


CALLS = {
    # error: (calls by default, with ambiguous=False, with attempts=1); None: until time is up
    Throttled: (None, None, None),
    Unavailable: (None, None, None),
    NeverSent: (None, None, None),
    CredentialsRefused: (None, None, None),
    RouteDenied: (None, None, None),
    AnswerLost: (2, 1, 1),
    UnusableReply: (2, 1, 1),
    ServiceFault: (3, 1, 1),
    BatchgenFault: (1, 1, 1),
    Filtered: (1, 1, 1),
    Permanent: (1, 1, 1),
    Rejected: (1, 1, 1),
    InputChanged: (1, 1, 1),
    Misconfigured: (1, 1, 1),
    ModelDenied: (1, 1, 1),
    QuotaExhausted: (1, 1, 1),
    NoRoute: (1, 1, 1),
}
POLICIES = [RetryPolicy(), RetryPolicy(ambiguous=False), RetryPolicy(attempts=1)]


class TestTable:
    @pytest.mark.parametrize("column", range(3), ids=["default", "fail", "one attempt"])
    @pytest.mark.parametrize("error", CALLS)
    def test_how_often_an_error_that_stays_is_tried(self, error, column):
        """The table at the top of the module, for every class and three policies."""
        wanted = CALLS[error][column]
        script = Script(*errors(error, 50))
        made, retries, _ = made_by(script, POLICIES[column])
        assert error_of(made) is ERRORS[error]
        assert isinstance(made, Failed)
        if wanted is None:
            assert len(script.attempts) > 30  # half an hour of waits of at most a minute
        else:
            assert len(script.attempts) == wanted
        assert script.attempts == list(range(1, len(script.attempts) + 1))
        assert made.attempts == len(script.attempts)
        assert len(retries) == len(script.attempts) - 1
        billed = error in (*LOST, ServiceFault)
        assert made.maybe_billed == (len(script.attempts) if billed else 0)

    @pytest.mark.parametrize("error", CALLS)
    def test_an_error_that_passes(self, error):
        """Where an error is tried again at all, one success is enough."""
        script = Script(ERRORS[error])
        made, retries, _ = made_by(script)
        if CALLS[error][0] == 1:
            assert error_of(made) is ERRORS[error]
            assert retries == []
        else:
            assert (error_of(made), made.attempts) == (None, 2)
            assert made.generation == make_generation()
            assert [retry.error for retry in retries] == [ERRORS[error]]
        assert made.maybe_billed == (error in (*LOST, ServiceFault))

    def test_the_classes_are_complete(self):
        """Every error that an attempt can end with stands in the table."""
        leaves = {leaf for leaf in every_subclass(AttemptError) if not leaf.__subclasses__()} | {
            ModelDenied,
            Permanent,
        }
        assert leaves == set(CALLS)


def every_subclass(kind):
    """All subclasses, theirs included."""
    for each in kind.__subclasses__():
        yield each
        yield from every_subclass(each)


class TestCounts:
    def test_what_costs_nothing_is_not_counted(self):
        """Throttled and unsent attempts leave all three for those that may have cost something."""
        script = Script(*errors(Throttled, 9), *errors(ServiceFault, 2))
        made, _, _ = made_by(script)
        assert (error_of(made), made.attempts, made.maybe_billed) == (None, 12, 2)

    def test_lost_answers_and_faults_share_the_attempts(self):
        """One lost answer and one fault are borne together; the third attempt is the last."""
        mixed = [ERRORS[AnswerLost], ERRORS[ServiceFault]]
        made, _, _ = made_by(Script(*mixed))
        assert (error_of(made), made.attempts, made.maybe_billed) == (None, 3, 2)
        made, _, _ = made_by(Script(*mixed, ERRORS[ServiceFault]))
        assert (error_of(made), made.attempts) == (ERRORS[ServiceFault], 3)

    def test_lost_and_unusable_are_one_kind(self):
        """A lost answer and an unusable one share the one retry: both were probably paid."""
        made, _, _ = made_by(Script(ERRORS[AnswerLost], ERRORS[UnusableReply]))
        assert (error_of(made), made.attempts, made.maybe_billed) == (ERRORS[UnusableReply], 2, 2)

    @pytest.mark.parametrize(("attempts", "calls"), [(1, 1), (2, 2), (3, 3), (4, 4), (20, 20)])
    def test_attempts_bound_what_may_cost_something(self, attempts, calls):
        """Never more attempts that count than the policy says, whatever their kinds."""
        policy = RetryPolicy(attempts=attempts)
        made, _, _ = made_by(Script(*errors(ServiceFault, 50)), policy)
        assert made.attempts == calls

    @pytest.mark.parametrize("often", [0, 1, 3])
    def test_the_limits_are_those_of_the_policy(self, often):
        """`lost_again` is a number of retries."""
        policy = RetryPolicy(lost_again=often, attempts=20)
        made, _, _ = made_by(Script(*errors(AnswerLost, 9)), policy)
        assert made.attempts == often + 1

    def test_a_success_at_once_is_one_attempt(self):
        """Nothing went wrong: one attempt, nothing maybe billed, no time."""
        task = make_task()
        made, retries, elapsed = made_by(Script(), task=task)
        assert (made.task, made.attempts, made.maybe_billed) == (task, 1, 0)
        assert (retries, elapsed) == ([], 0)

    @given(st.lists(st.sampled_from(sorted(ERRORS, key=str)), max_size=12))
    def test_counting_is_adding_up(self, kinds):
        """`AttemptCounts` counts each error once, by its kind."""
        tries = AttemptCounts()
        for kind in kinds:
            tries.note(ERRORS[kind], Decimal("0.04"))
        lost = sum(kind in LOST for kind in kinds)
        faults = kinds.count(ServiceFault)
        assert (tries.lost, tries.faults, tries.maybe_billed) == (lost, faults, lost + faults)
        assert tries.counted == sum(kind not in FREE for kind in kinds)
        assert tries.maybe_billed_usd == (lost + faults) * Decimal("0.04")

    def test_a_price_that_nobody_knows_adds_nothing(self):
        """The attempt counts; what it may have cost is not known."""
        tries = AttemptCounts()
        tries.note(ERRORS[AnswerLost], None)
        assert (tries.maybe_billed, tries.maybe_billed_usd) == (1, 0)

    def test_a_refusal_that_is_followed_by_another_try_may_have_been_billed(self):
        """It is counted beside lost answers and faults, and bounds no attempts."""
        tries = AttemptCounts()
        tries.note(ERRORS[AnswerLost], Decimal("0.14"))
        for price in (Decimal("0.04"), Decimal("0.08"), None):
            tries.set_aside(price)
        assert (tries.refused, tries.maybe_billed, tries.counted) == (3, 4, 1)
        assert tries.maybe_billed_usd == Decimal("0.26")

    @given(
        st.integers(1, 8), st.integers(0, 8), st.integers(0, 8), st.booleans(), st.integers(0, 9)
    )
    def test_again_is_a_function_of_the_counts(
        self, attempts, lost, faults, ambiguous, counted
    ):  # one drawn value each
        """The decision by itself, at every count."""
        policy = RetryPolicy(attempts=attempts, ambiguous=ambiguous)
        tries = AttemptCounts(attempts=20, counted=counted, lost=lost, faults=faults)
        for kind, error in ERRORS.items():
            bounded = ambiguous and counted < attempts
            wanted = (
                kind in FREE
                or (kind in LOST and bounded and lost <= 1)
                or (kind is ServiceFault and bounded)
            )
            assert should_retry(policy, tries, error) is wanted

    @pytest.mark.parametrize("error", [ValueError(), NotStarted(), StorageError(), KeyError()])
    def test_nothing_else_is_tried_again(self, error):
        """Programming errors, a stop and a broken disk are not retried."""
        assert should_retry(RetryPolicy(), AttemptCounts(), error) is False


class TestWaits:
    @given(
        st.integers(0, 2**32),
        st.floats(0.01, 10),
        st.floats(0.01, 500),
        st.integers(1, 40),
    )
    def test_full_jitter(self, seed, first, most, count):
        """Wait n is drawn from 0 to first·2ⁿ⁻¹, at most the cap, and it is what is waited."""
        policy = RetryPolicy(wait_first=first, wait_most=most, max_elapsed=1e9)
        bounds, slept = [], []
        dice = random.Random(seed)  # jitter, not a secret  # jitter, not a secret

        def draw(low, high):
            bounds.append((low, high))
            return dice.uniform(low, high)

        async def sleep(seconds):
            slept.append(seconds)
            await asyncio.sleep(seconds)

        made, retries, elapsed = made_by(
            Script(*errors(Throttled, count)), policy, draw=draw, sleep=sleep
        )
        assert made.attempts == count + 1
        assert bounds == [(0.0, min(most, first * 2.0**n)) for n in range(count)]
        assert all(0 <= wait <= high for wait, (_, high) in zip(slept, bounds, strict=True))
        assert [retry.wait for retry in retries] == slept
        assert elapsed == pytest.approx(sum(slept))

    def test_the_longest_waits_by_default(self):
        """1, 2, 4, … 32 s and then a minute each."""
        _, retries, _ = made_by(Script(*errors(Throttled, 9)))
        assert [retry.wait for retry in retries] == [1, 2, 4, 8, 16, 32, 60, 60, 60]

    def test_a_thousand_retries_do_not_overflow(self):
        """The doubling ends long before the numbers do."""
        policy = RetryPolicy(max_elapsed=1e9, wait_most=1e300)
        _, retries, _ = made_by(Script(*errors(Throttled, 1_100)), policy, draw=min)
        assert len(retries) == 1_100

    @virtual_time
    async def test_drawn_at_random_by_default(self):
        """Without being told how to draw, waits differ: no two clients in lockstep."""
        retries = []
        make = with_retry(
            Script(*errors(Throttled, 6)),
            RetryPolicy(),
            sleep=asyncio.sleep,
            on_retry=retries.append,
        )
        await make(make_task())
        waits = [retry.wait for retry in retries]
        assert len(set(waits)) == 6
        assert all(0 < wait < 2.0**n for n, wait in enumerate(waits))


class TestElapsed:
    @pytest.mark.parametrize("lasts", [0.0, 7.0, 100.0])
    def test_a_failure_after_the_time_is_the_last(self, lasts):
        """Half an hour after the first attempt began, the next failure ends the task."""
        script = Script(*errors(Throttled, 500), lasts=lasts)
        made, _, elapsed = made_by(script)
        assert error_of(made) is ERRORS[Throttled]
        assert 1800.0 <= elapsed < 1800.0 + 60.0 + lasts
        assert script.starts[-2] + lasts < 1800.0

    def test_the_end_of_the_time_is_included(self):
        """A failure at the very end is the last; a moment before, it is not."""
        script = Script(*errors(Throttled, 5))
        made_by(script, RetryPolicy(max_elapsed=3.0))
        assert script.starts == [0, 1, 3]
        script = Script(*errors(Throttled, 5))
        made_by(script, RetryPolicy(max_elapsed=3.01))
        assert script.starts == [0, 1, 3, 7]

    def test_no_time_is_one_attempt(self):
        """The first attempt is always made."""
        script = Script(*errors(Throttled, 5))
        made, retries, _ = made_by(script, RetryPolicy(max_elapsed=0.0))
        assert (made.attempts, retries) == (1, [])

    def test_each_task_has_its_own_time(self):
        """The clock of a task starts with its first attempt, not with the run's."""

        async def main():
            make = with_retry(
                Script(*errors(Throttled, 10)),
                RetryPolicy(max_elapsed=2.0),
                sleep=asyncio.sleep,
                on_retry=lambda _: None,
                draw=max,
                clock=asyncio.get_running_loop().time,
            )
            return [(await make(make_task())).attempts for _ in range(3)]

        assert run(main()) == [3, 3, 3]


class TestOthers:
    @pytest.mark.parametrize(
        "error", [NotStarted("stop"), StorageError("disk"), ValueError("bug"), KeyError("bug")]
    )
    def test_what_is_no_outcome_of_the_task_passes_through(self, error):
        """A stop, a broken disk and a bug leave at once, as they are."""
        script = Script(ERRORS[Throttled], error)
        with pytest.raises(type(error)) as caught:
            made_by(script)
        assert caught.value is error
        assert script.attempts == [1, 2]

    def test_a_stop_while_waiting_ends_the_task(self):
        """`NotStarted` out of the sleep leaves: the task stays open."""

        async def stopped(_):
            raise NotStarted("the run is stopping")

        script = Script(ERRORS[Throttled])
        with pytest.raises(NotStarted, match="the run is stopping"):
            made_by(script, sleep=stopped)
        assert script.attempts == [1]

    @virtual_time
    async def test_a_cancelled_task_is_cancelled(self):
        """Cancellation is not retried."""
        script = Script(lasts=10)
        make = with_retry(script, RetryPolicy(), sleep=asyncio.sleep, on_retry=lambda _: None)
        making = asyncio.create_task(make(make_task()))
        await asyncio.sleep(1)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        assert script.attempts == [1]

    def test_a_retry_is_told_of_before_its_wait(self):
        """Who watches hears task, number of the attempt, wait and error."""
        task, order = make_task(), []

        async def sleep(seconds):
            order.append(seconds)

        async def main():
            make = with_retry(
                Script(ERRORS[Throttled], ERRORS[ServiceFault]),
                RetryPolicy(),
                sleep=sleep,
                on_retry=order.append,
                draw=max,
            )
            await make(task)

        run(main())
        assert order == [
            Retry(task=task, attempt=1, wait=1.0, error=ERRORS[Throttled]),
            1.0,
            Retry(task=task, attempt=2, wait=2.0, error=ERRORS[ServiceFault]),
            2.0,
        ]

    async def test_an_unusable_reply_is_let_go_before_the_wait(self):
        """Neither its error nor a frame that it passed holds the bytes until the next attempt."""
        body, held = bytes(1_000), []

        def parse(text):
            raise ValueError(text[:1])

        async def generate(attempt):
            reply = body
            if attempt.number == 1:
                try:
                    parse(reply)
                except ValueError as error:
                    raise UnusableReply("torn", body=reply) from error
            return make_generation()

        async def sleep(_):
            held.append(sys.getrefcount(body) - before)

        before = sys.getrefcount(body)
        make = with_retry(generate, RetryPolicy(), sleep=sleep, on_retry=lambda _: None)
        await make(make_task())
        assert held == [0]

    async def test_one_that_ends_its_task_is_let_go_at_once(self):
        """The error goes on into the record, and its traceback is a circle: nothing frees it."""
        body = bytes(1_000)

        async def generate(_):
            reply = body
            raise UnusableReply("torn", body=reply)

        before = sys.getrefcount(body)
        gc.disable()
        try:
            make = with_retry(
                generate,
                RetryPolicy(lost_again=0),
                sleep=asyncio.sleep,
                on_retry=lambda _: None,
            )
            made = await make(make_task())
            assert sys.getrefcount(body) == before
        finally:
            gc.enable()
        assert made.error.message == "torn"

    @virtual_time
    async def test_tasks_do_not_share_their_counts(self):
        """Many tasks at once are each tried by their own counts."""
        scripts = {}

        async def generate(attempt):
            script = scripts.setdefault(attempt.task.id, Script(*errors(ServiceFault, 2), lasts=3))
            return await script(attempt)

        make = with_retry(generate, RetryPolicy(), sleep=asyncio.sleep, on_retry=lambda _: None)
        made = await asyncio.gather(*(make(make_task()) for _ in range(20)))
        assert {(each.attempts, each.maybe_billed, error_of(each)) for each in made} == {
            (3, 2, None)
        }


class TestSubstitute:
    """A call may send something else than its task asks for, and go on with earlier counts."""

    @pytest.mark.parametrize("error", [None, ERRORS[ModelDenied]])
    def test_the_outcome_tells_task_and_substitute(self, error):
        """Each attempt sends the substitute; the record is the task's."""
        task = make_task()
        substitute = Substitute(call=make_task(ULTRA), reason="filtered")
        sent = []

        async def generate(attempt):
            sent.append((attempt.task, attempt.call))
            if error is not None:
                raise error
            return make_generation()

        make = with_retry(generate, RetryPolicy(), sleep=asyncio.sleep, on_retry=lambda _: None)
        made = run(make(task, substitute))
        assert sent == [(task, substitute.call)]
        assert (made.task, made.substitute, made.call) == (task, substitute, substitute.call)
        assert error_of(made) is error

    def test_earlier_calls_for_the_task_count(self):
        """Numbers of attempts go on, and the limit of those that may have been billed holds."""
        counts = AttemptCounts(attempts=4, counted=2, faults=2, maybe_billed_usd=Decimal("0.08"))
        script = Script(ERRORS[ServiceFault])
        make = with_retry(script, RetryPolicy(), sleep=asyncio.sleep, on_retry=lambda _: None)
        made = run(make(make_task(), counts=counts))
        assert (error_of(made), script.attempts) == (ERRORS[ServiceFault], [5])
        assert (made.attempts, made.maybe_billed) == (5, 3)
        assert made.maybe_billed_usd == Decimal("0.12")

    @pytest.mark.parametrize("kind", [Throttled, Unavailable, ServiceFault])
    def test_a_refusal_that_cost_nothing_may_be_left(self, kind):
        """Whoever calls goes elsewhere at once; what may have been billed is never asked about."""
        asked = []

        def leave(error):
            asked.append(error)
            return True

        script = Script(ERRORS[kind])
        make = with_retry(script, RetryPolicy(), sleep=asyncio.sleep, on_retry=lambda _: None)
        made = run(make(make_task(), leave=leave))
        is_free = kind in FREE
        assert asked == ([ERRORS[kind]] if is_free else [])
        assert error_of(made) is (ERRORS[kind] if is_free else None)
        assert made.attempts == (1 if is_free else 2)


def steadily(outcomes, policy=None):
    """What becomes of tasks, one after the other, in one run; each meets these errors."""

    async def main():
        async def generate(attempt):
            errors_of_task = outcomes(attempt)
            if errors_of_task is not None:
                raise errors_of_task
            return make_generation()

        make = with_retry(
            generate,
            policy or RetryPolicy(),
            sleep=asyncio.sleep,
            on_retry=lambda _: None,
            clock=asyncio.get_running_loop().time,
        )
        return [await make(make_task()) for _ in range(200)]

    return run(main())


class TestRetryBudget:
    def test_its_size(self):
        """A hundred repeats for the run, and one more for five successes, as AWS SDKs have it."""
        assert (RetryBudget.CAPACITY, RetryBudget.COST) == (500, 5)

    def test_a_service_that_only_fails_is_not_paid_twice_for_ever(self):
        """After a hundred repeats a call that may have been billed is not repeated any more."""
        made = steadily(lambda _: ERRORS[AnswerLost])
        assert [each.attempts for each in made] == [2] * 100 + [1] * 100

    def test_successes_pay_for_repeats(self):
        """Where most calls succeed, every lost answer is asked for again."""
        calls = iter(range(10**6))
        made = steadily(lambda _: ERRORS[AnswerLost] if next(calls) % 6 == 0 else None)
        assert {error_of(each) for each in made} == {None}

    def test_what_costs_nothing_takes_nothing(self):
        """Throttled calls are repeated whatever else failed."""
        made = steadily(lambda attempt: ERRORS[Throttled] if attempt.number < 5 else None)
        assert {each.attempts for each in made} == {5}

    def test_tokens(self):
        """A repeat costs five, a success brings one, and there are never more than at first."""
        budget = RetryBudget()
        for _ in range(10):
            budget.succeed()
        assert [budget.allow(ERRORS[ServiceFault]) for _ in range(101)] == [True] * 100 + [False]
        assert budget.allow(ERRORS[Throttled]) is True
        for _ in range(4):
            budget.succeed()
        assert budget.allow(ERRORS[AnswerLost]) is False
        budget.succeed()
        assert budget.allow(ERRORS[AnswerLost]) is True
        assert budget.allow(ERRORS[AnswerLost]) is False


class TestRetryable:
    @pytest.mark.parametrize("error", CALLS)
    def test_a_later_run_may_help_where_the_request_is_right(self, error):
        """What was the state of the service or the network may pass; the rest needs an edit."""
        assert retryable(ERRORS[error]) is (error in (*FREE, *LOST, ServiceFault))

    def test_what_is_surely_free(self):
        """These five cost nothing, ever."""
        assert set(NOT_BILLED) == set(FREE)
