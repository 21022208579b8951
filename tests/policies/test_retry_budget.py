from fakes import ERRORS, error_of, make_generation, make_task
from virtual_time import virtual_time

from batchgen.errors import ServiceFault, Throttled
from batchgen.policies.retry import RetryBudget, RetryPolicy, with_retry


async def no_wait(seconds):
    return None


def make_with(answers):
    """A `Make` whose attempts take one answer after another, and the list of calls it made."""
    calls = []

    async def generate(attempt):
        calls.append(attempt)
        answer = answers(len(calls))
        if answer is not None:
            raise answer
        return make_generation()

    make = with_retry(generate, RetryPolicy(), sleep=no_wait, on_retry=lambda _: None)
    return make, calls


@virtual_time
async def test_a_service_that_fails_everything_is_not_paid_three_times_for_ever():
    """Repeats end when the run's tokens are used up; from then on each task costs one call."""
    make, calls = make_with(lambda _: ERRORS[ServiceFault])
    repeats = RetryBudget.CAPACITY // RetryBudget.COST
    tasks = 300

    for _ in range(tasks):
        await make(make_task())

    assert len(calls) == tasks + repeats


@virtual_time
async def test_successes_earn_repeats():
    """Five images pay for one repeat: a service that fails now and then is always tried again."""
    make, calls = make_with(lambda n: ERRORS[ServiceFault] if n % 7 == 0 else None)

    made = [await make(make_task()) for _ in range(1000)]

    assert {error_of(each) for each in made} == {None}
    assert len(calls) > 1100


@virtual_time
async def test_what_is_not_billed_is_free():
    """Throttled calls take nothing from the budget: the pacer and the breaker govern those."""
    make, calls = make_with(lambda n: None if n % 500 == 0 else ERRORS[Throttled])

    made = [await make(make_task()) for _ in range(3)]

    assert [error_of(each) for each in made] == [None, None, None]
    assert len(calls) == 1500


def test_tokens_do_not_pile_up():
    """A long good time does not buy more repeats than the capacity."""
    budget = RetryBudget()
    for _ in range(10_000):
        budget.succeed()

    allowed = sum(budget.allow(ERRORS[ServiceFault]) for _ in range(1000))

    assert allowed == RetryBudget.CAPACITY // RetryBudget.COST
