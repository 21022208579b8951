import time

import pytest

from batchgen import plan
from batchgen.bedrock.routes import Endpoint, OpenRoute, unknown_quotas
from batchgen.errors import ServiceUnusable
from batchgen.job import Item, Job
from batchgen.policies.quotas import open_quotas, require_quotas

CORE = "stability.stable-image-core-v1:1"
ULTRA = "stability.stable-image-ultra-v1:1"


class Account:
    """Answers with these quotas, and remembers that it was asked."""

    def __init__(self, **quotas):
        self.quotas = {CORE: quotas.get("core"), ULTRA: quotas.get("ultra")}
        self.asked = []

    async def __call__(self, model_ids):
        self.asked.append(list(model_ids))
        return {model_id: self.quotas[model_id] for model_id in model_ids}


async def allowed(limits, account):
    """Model -> calls a minute that its pacer starts from."""
    job = Job(
        name="two",
        endpoint="simulator",
        prompt="a mug",
        items=[Item(id="a", model=CORE), Item(id="b", model=ULTRA)],
        limits=limits,
    )
    outline = plan.check(job)
    opened = OpenRoute(service=None, renew=None, quotas=account, route=job.effective_routes[0])
    quotas = await open_quotas(job, opened, outline, time.monotonic)
    require_quotas(job, outline, Endpoint(routes=(opened,)), [quotas], print)
    return {model_id: state.allowed_per_minute for model_id, state in quotas.state().items()}


async def test_the_documented_quota_without_a_word_of_the_job():
    """Each model has a pacer of its own, and nobody is asked."""
    account = Account(core=12.0)

    assert await allowed({}, account) == {CORE: 90.0, ULTRA: 10.0}
    assert account.asked == []


async def test_the_jobs_own_word_wins():
    """A number in the job holds for every model."""
    assert await allowed({"requests_per_minute": 42}, Account(core=12.0)) == {CORE: 42, ULTRA: 42}


async def test_auto_asks_the_account_once():
    """What Service Quotas say, and the documented quota of a model that they do not list."""
    account = Account(core=12.0)

    assert await allowed({"requests_per_minute": "auto"}, account) == {CORE: 12.0, ULTRA: 10.0}
    assert account.asked == [[CORE, ULTRA]]


async def test_auto_where_unknown_quotas():
    """An account that may not ask runs at the documented quotas."""
    found = await allowed({"requests_per_minute": "auto"}, unknown_quotas)

    assert found == {CORE: 90.0, ULTRA: 10.0}


async def test_a_quota_of_none_at_all_is_said_before_any_call():
    """An account with 0 calls a minute cannot make the job; waiting would not help."""
    with pytest.raises(ServiceUnusable, match=r"quota of .*core.* in us-west-2 is 0"):
        await allowed({"requests_per_minute": "auto"}, Account(core=0.0))


async def test_a_model_that_only_stands_in_is_not_called_faster_than_is_usual():
    """A number of the job means the models that it asks for."""
    job = Job(
        name="one",
        endpoint="simulator",
        prompt="a mug",
        items=[Item(id="a", model=CORE)],
        fallback=[ULTRA],
        limits={"requests_per_minute": 42},
    )
    opened = OpenRoute(service=None, renew=None, route=job.effective_routes[0])

    quotas = await open_quotas(job, opened, plan.check(job), time.monotonic)

    found = {name: state.allowed_per_minute for name, state in quotas.state().items()}
    assert found == {CORE: 42, ULTRA: 10}
