"""What is sent when a task cannot be made as it asks: what the job allows, and never more."""

import base64
import io
import itertools
import json
from decimal import Decimal

import pytest
from fake_models import BUSY, DENIED, REFUSED, SD3_5, WITHHELD, Models, job_of, run_of
from fakes import CORE, ERRORS, ULTRA, picture, reply
from PIL import Image
from virtual_time import virtual_time

from batchgen.errors import (
    AnswerLost,
    CredentialsRefused,
    NeverSent,
    Permanent,
    Rejected,
    ServiceFault,
    Throttled,
    Unavailable,
    UnusableReply,
)

SDXL = "stability.stable-diffusion-xl-v1"
EVERYTHING = {
    "fallback": [ULTRA, SD3_5],
    "on_filtered": {"retry_with_new_seed": 2, "fallback_prompt": "a plain mug"},
}


def on_filtered(seeds=0, prompt=None):
    return {"on_filtered": {"retry_with_new_seed": seeds, "fallback_prompt": prompt}}


def seeds_of(models):
    return [call.request["seed"] for call in models.calls]


class TestModeration:
    @pytest.mark.parametrize("prompt", [None, "a plain mug"])
    @pytest.mark.parametrize("seeds", range(4))
    @virtual_time
    async def test_as_many_new_seeds_as_the_job_says_and_then_the_prompt_once(
        self, tmp_path, seeds, prompt
    ):
        """Each with another seed; the prompt with the task's own; then it stays refused."""
        models = Models({CORE: REFUSED})
        ran = await run_of(job_of(tmp_path, **on_filtered(seeds, prompt)), models)

        calls = models.calls
        assert len(calls) == 1 + seeds + (prompt is not None)
        assert len(set(seeds_of(models)[: seeds + 1])) == seeds + 1
        assert {call.request["prompt"] for call in calls[: seeds + 1]} == {"mug 0"}
        if prompt is not None:
            assert calls[-1].request == {**calls[0].request, "prompt": prompt}
        record = ran.record()
        assert (record["status"], record["attempts"]) == ("filtered", len(calls))
        assert record["request"] == calls[0].request
        served = record.get("served")
        assert (served and served["request"]) == (calls[-1].request if len(calls) > 1 else None)
        assert (record["maybe_billed"], ran.summary.maybe_billed_usd) == (0, 0)

    @pytest.mark.parametrize("refusals", range(4))
    @virtual_time
    async def test_the_first_image_is_the_last_call(self, tmp_path, refusals):
        """What is asked stands at the top of the record, what served beside it."""
        models = Models({CORE: [REFUSED] * refusals})
        ran = await run_of(job_of(tmp_path, **on_filtered(2, "a plain mug")), models)

        assert len(models.calls) == refusals + 1
        record, last = ran.record(), models.calls[-1].request
        assert (record["status"], record["cost_usd"]) == ("succeeded", 0.04)
        assert record["request"] == models.calls[0].request
        assert record["images"][0]["seed"] == last["seed"]
        assert [line["attempt"] for line in ran.lines("attempt")] == [*range(1, refusals + 2)]
        if not refusals:
            assert "served" not in record
            assert "served" not in ran.lines("attempt")[0]
            return
        assert record["served"] == {
            "reason": "filtered",
            "model_id": CORE,
            "seed": last["seed"],
            "request": last,
        }
        assert record["model_id"] == CORE
        assert [line.get("served") for line in ran.lines("attempt")][-1] == record["served"]

    @virtual_time
    async def test_a_refusal_that_came_with_an_image_may_be_billed(self, tmp_path):
        """Each once: in the attempt lines, in the record and in the budget."""
        models = Models({CORE: [WITHHELD, REFUSED, WITHHELD]})
        ran = await run_of(job_of(tmp_path, **on_filtered(2, "a plain mug")), models)

        lines = ran.lines("attempt")
        assert [line["maybe_billed"] for line in lines] == [0, 1, 1, 2]
        assert [line.get("maybe_billed_usd") for line in lines] == [0, 0.04, 0.04, 0.08]
        record = ran.record()
        assert (record["maybe_billed"], record["maybe_billed_usd"]) == (2, 0.08)
        assert record["cost_usd"] == 0.04
        money = (ran.summary.billed_usd, ran.summary.maybe_billed_usd)
        assert money == (Decimal("0.04"), Decimal("0.08"))

    @virtual_time
    async def test_the_last_refusal_counts_as_well(self, tmp_path):
        """A task that stays refused: all of its pictures may have been billed."""
        models = Models({CORE: WITHHELD})
        ran = await run_of(job_of(tmp_path, **on_filtered(1, "a plain mug")), models)

        record = ran.record()
        assert (record["status"], record["cost_usd"]) == ("filtered", 0)
        assert (record["maybe_billed"], record["maybe_billed_usd"]) == (3, 0.12)
        assert ran.summary.maybe_billed_usd == Decimal("0.12") == models.may_cost()

    @virtual_time
    async def test_a_prompt_that_is_the_items_own_is_not_sent_again(self, tmp_path):
        """The same request would be refused again, and perhaps paid for again."""
        models = Models({CORE: WITHHELD})
        job = job_of(tmp_path, tasks=2, **on_filtered(0, "mug 1"))
        ran = await run_of(job, models)

        prompts = sorted(call.request["prompt"] for call in models.calls)
        assert prompts == ["mug 0", "mug 1", "mug 1"]
        assert len({json.dumps(call.request) for call in models.calls}) == 3
        assert ran.summary.maybe_billed_usd == Decimal("0.12")

    @virtual_time
    async def test_the_next_model_goes_on_where_the_refusals_ended(self, tmp_path):
        """What moderation refused is not sent to another model, and no seed counts twice."""
        models = Models({CORE: [REFUSED, DENIED], ULTRA: REFUSED})
        job = job_of(tmp_path, fallback=[ULTRA], **on_filtered(2, "a plain mug"))
        ran = await run_of(job, models)

        assert models.sent() == [CORE, CORE, ULTRA, ULTRA, ULTRA]
        asked, _, *by_ultra = models.calls
        seeds = [call.request["seed"] for call in by_ultra]
        assert asked.request["seed"] not in seeds[:2]
        assert len(set(seeds)) == 3
        assert [call.request["prompt"] for call in by_ultra] == ["mug 0", "mug 0", "a plain mug"]
        served = ran.record()["served"]
        assert (served["reason"], served["model_id"]) == ("filtered", ULTRA)

    @virtual_time
    async def test_another_model_is_none_of_the_answers(self, tmp_path):
        """A refusal by moderation says nothing against the model."""
        models = Models({CORE: REFUSED})
        await run_of(job_of(tmp_path, fallback=[ULTRA], **on_filtered(1)), models)

        assert models.sent() == [CORE, CORE]


class TestNever:
    @pytest.mark.parametrize(
        "error", [Rejected, Permanent, AnswerLost, ServiceFault, UnusableReply]
    )
    @virtual_time
    async def test_other_failures_have_no_substitute(self, tmp_path, error):
        """A wrong request would be wrong again; what may have been paid for is not paid thrice."""
        models = Models({CORE: ERRORS[error]})
        ran = await run_of(job_of(tmp_path, **EVERYTHING), models)

        assert set(models.sent()) == {CORE}
        assert len({json.dumps(call.request) for call in models.calls}) == 1
        assert "served" not in ran.record()
        assert ran.record()["error"]["type"] == error.__name__

    @pytest.mark.parametrize("error", [NeverSent, CredentialsRefused])
    @virtual_time
    async def test_a_service_that_is_not_reached_or_does_not_know_us_is_no_models_fault(
        self, tmp_path, error
    ):
        """Every model would meet the same; the run ends and can be resumed."""
        models = Models({CORE: ERRORS[error]})
        ran = await run_of(job_of(tmp_path, tasks=3, **EVERYTHING), models)

        assert set(models.sent()) == {CORE}
        assert (ran.summary.exit_code, ran.lines("record")) == (4, [])

    @virtual_time
    async def test_a_failure_of_the_substitute_ends_it(self, tmp_path):
        """It was sent to one model more, and that one's answer holds."""
        models = Models({CORE: DENIED, ULTRA: ERRORS[Rejected]})
        ran = await run_of(job_of(tmp_path, **EVERYTHING), models)

        assert models.sent() == [CORE, ULTRA]
        record = ran.record()
        assert (record["error"]["type"], record["served"]["model_id"]) == ("Rejected", ULTRA)
        assert (record["status"], record["cost_usd"]) == ("failed", 0)

    @pytest.mark.parametrize("step", [DENIED, REFUSED, WITHHELD, ERRORS[Rejected]])
    @virtual_time
    async def test_nothing_that_the_job_does_not_say(self, tmp_path, step):
        """One call, one model."""
        models = Models({CORE: step})
        ran = await run_of(job_of(tmp_path), models)

        assert models.sent() == [CORE]
        assert "served" not in ran.record()

    @virtual_time
    async def test_each_only_when_it_is_said(self, tmp_path):
        """A fallback model is no new seed, and the other way round; an item's [] switches off."""
        refused, denied, off = (Models({CORE: step}) for step in (REFUSED, DENIED, DENIED))
        await run_of(job_of(tmp_path / "a", fallback=[ULTRA]), refused)
        await run_of(job_of(tmp_path / "b", **on_filtered(3, "a plain mug")), denied)
        items = [{"id": "mug", "prompt": "mug", "fallback": []}]
        await run_of(job_of(tmp_path / "c", fallback=[ULTRA], items=items), off)

        assert refused.sent() == denied.sent() == off.sent() == [CORE]


class TestDenied:
    @virtual_time
    async def test_a_denied_task_goes_to_the_next_model_at_once(self, tmp_path):
        """Without a wait; after three denials nobody asks for the model any more."""
        models = Models({CORE: DENIED})
        job = job_of(tmp_path, tasks=20, fallback=[ULTRA], limits={"concurrency": 1})
        ran = await run_of(job, models)

        assert models.sent().count(ULTRA) == 20
        assert models.sent().count(CORE) == 3
        assert next(call.at for call in models.calls if call.model_id == ULTRA) < 1
        assert ran.summary.exit_code == 0
        for record in ran.lines("record"):
            assert record["served"]["reason"] == "denied"
            assert record["served"]["model_id"] == ULTRA
            assert (record["model_id"], record["cost_usd"]) == (CORE, 0.14)

    @virtual_time
    async def test_down_the_chain(self, tmp_path):
        """The reason is that of the model asked for; attempts are numbered on."""
        models = Models({CORE: DENIED, ULTRA: DENIED})
        ran = await run_of(job_of(tmp_path, fallback=[ULTRA, SD3_5]), models)

        assert models.sent() == [CORE, ULTRA, SD3_5]
        record = ran.record()
        assert (record["attempts"], record["cost_usd"]) == (3, 0.08)
        assert record["served"]["model_id"] == SD3_5
        assert [line["attempt"] for line in ran.lines("attempt")] == [1, 2, 3]
        assert [line["price_usd"] for line in ran.lines("attempt")] == [0.04, 0.14, 0.08]

    @virtual_time
    async def test_a_chain_that_is_denied_as_a_whole(self, tmp_path):
        """Exit 4; at most the tasks that were on their way fail, the rest stays open."""
        models = Models({CORE: DENIED, ULTRA: DENIED})
        job = job_of(tmp_path, tasks=100, fallback=[ULTRA], limits={"concurrency": 1})
        ran = await run_of(job, models)

        assert ran.summary.exit_code == 4
        assert len(models.calls) <= 40
        assert len(ran.lines("record")) < 20

        ran = await run_of(job, good := Models())
        assert (ran.summary.exit_code, len(good.calls)) == (0, 100)

    @virtual_time
    async def test_money_of_two_prices(self, tmp_path):
        """What may have been billed is counted at the price of what was sent."""
        models = Models({CORE: [ERRORS[AnswerLost], DENIED], ULTRA: [WITHHELD]})
        ran = await run_of(job_of(tmp_path, fallback=[ULTRA], **on_filtered(1)), models)

        assert models.sent() == [CORE, CORE, ULTRA, ULTRA]
        record = ran.record()
        assert (record["maybe_billed"], record["maybe_billed_usd"]) == (2, 0.18)
        assert record["cost_usd"] == 0.14
        assert ran.summary.maybe_billed_usd == Decimal("0.18")
        lines = ran.lines("attempt")
        assert [line["maybe_billed"] for line in lines] == [0, 1, 1, 2]
        assert [line.get("maybe_billed_usd") for line in lines] == [0, 0.04, 0.04, 0.18]

    @virtual_time
    async def test_repeats_are_not_multiplied_by_the_chain(self, tmp_path):
        """A lost answer is made again once for a task, whatever model it was."""
        lost = ERRORS[AnswerLost]
        models = Models({CORE: [lost, DENIED], ULTRA: lost})
        ran = await run_of(job_of(tmp_path, fallback=[ULTRA]), models)

        assert models.sent() == [CORE, CORE, ULTRA]
        assert (ran.record()["status"], ran.record()["maybe_billed"]) == ("failed", 2)

    @virtual_time
    async def test_a_dearer_substitute_stays_within_the_budget(self, tmp_path):
        """Its own price is reserved."""
        models = Models({CORE: DENIED})
        limits = {"budget_usd": Decimal("1.00"), "concurrency": 8}
        ran = await run_of(job_of(tmp_path, tasks=30, fallback=[ULTRA], limits=limits), models)

        assert ran.summary.exit_code == 3
        assert models.sent().count(ULTRA) == 7
        assert models.may_cost() == ran.summary.billed_usd == Decimal("0.98")


def busy_until(moment):
    return lambda at: BUSY if at < moment else None


class TestThrottledOut:
    @pytest.mark.parametrize(
        ("error", "reason"), [(Throttled, "throttled"), (Unavailable, "unavailable")]
    )
    @virtual_time
    async def test_after_half_of_what_the_run_bears(self, tmp_path, error, reason):
        """Not before; then all tasks are made by the next model."""
        models = Models({CORE: ERRORS[error]})
        job = job_of(tmp_path, tasks=12, fallback=[ULTRA], limits={"give_up_after": "20m"})
        ran = await run_of(job, models)

        first = next(call.at for call in models.calls if call.model_id == ULTRA)
        assert first >= 600
        assert ran.summary.exit_code == 0
        assert {record["served"]["reason"] for record in ran.lines("record")} == {reason}
        assert models.sent().count(ULTRA) == 12
        assert any("has refused every call for 10 min" in text for text in ran.notices)

    @virtual_time
    async def test_any_answer_of_the_model_keeps_its_tasks(self, tmp_path):
        """A wrong request, too, tells that the model is there: the patience begins anew."""
        answers = iter([700.0, 1_300.0])
        due = [next(answers)]

        def rejects_now_and_then(at):
            if at >= due[0]:
                due[0] = next(answers, 1e9)
                return ERRORS[Rejected]
            return BUSY if at < 1_700 else None

        models = Models({CORE: rejects_now_and_then})
        job = job_of(tmp_path, tasks=6, fallback=[ULTRA])
        ran = await run_of(job, models)

        assert set(models.sent()) == {CORE}
        assert len(ran.lines("record")) == 6

    @virtual_time
    async def test_its_tasks_return_when_it_is_back(self, tmp_path):
        """One task asks again every ten minutes; the answer brings all others back."""
        models = Models({CORE: busy_until(2_000), ULTRA: 40.0})
        job = job_of(tmp_path, tasks=150, fallback=[ULTRA], limits={"concurrency": 2})
        ran = await run_of(job, models)

        assert ran.summary.exit_code == 0
        ultra = [call.at for call in models.calls if call.model_id == ULTRA]
        back = [call.at for call in models.calls if call.model_id == CORE and call.step is None]
        scouts = [
            call.at
            for call in models.calls
            if call.model_id == CORE and call.step is BUSY and call.at > ultra[4]
        ]
        assert len(scouts) <= 2
        assert all(later - one >= 590 for one, later in itertools.pairwise(scouts))
        assert 2_000 <= back[0] <= 2_700
        assert max(ultra) <= back[0] + 250  # who waited for it already is made by it
        assert any(text == f"{CORE} is back: its tasks go to it again." for text in ran.notices)
        by_core = [line for line in ran.lines("record") if "served" not in line]
        assert len(by_core) == len(back) > 40

    @pytest.mark.parametrize("step", [BUSY, DENIED])
    @virtual_time
    async def test_a_chain_that_is_gone_as_a_whole(self, tmp_path, step):
        """The run gives up; no task is recorded for it, and a later run makes all of them."""
        models = Models({CORE: BUSY, ULTRA: step})
        job = job_of(tmp_path, tasks=20, fallback=[ULTRA])
        ran = await run_of(job, models)

        assert (ran.summary.exit_code, ran.lines("record")) == (3, [])
        assert ULTRA in models.sent()
        assert ran.summary.billed_usd + ran.summary.maybe_billed_usd == 0
        ran = await run_of(job, good := Models())
        assert (ran.summary.exit_code, good.sent()) == (0, [CORE] * 20)

    @virtual_time
    async def test_a_denied_model_stands_in_for_nobody(self, tmp_path):
        """It is not called for each task in turn: they wait for their own model."""
        models = Models({CORE: busy_until(1_700), ULTRA: DENIED})
        ran = await run_of(job_of(tmp_path, tasks=20, fallback=[ULTRA]), models)

        assert ran.summary.exit_code == 0
        assert all("served" not in record for record in ran.lines("record"))


class TestResume:
    async def served_by_ultra(self, folder):
        await run_of(job_of(folder, fallback=[ULTRA]), Models({CORE: DENIED}))

    @pytest.mark.parametrize("changes", [{"fallback": [ULTRA]}, {}, {"fallback": [SD3_5]}])
    @virtual_time
    async def test_a_task_that_a_substitute_served_is_done(self, tmp_path, changes):
        """Nothing is called again, whatever the job says of substitutes now."""
        await self.served_by_ultra(tmp_path)
        ran = await run_of(job_of(tmp_path, **changes), models := Models())

        assert (models.calls, ran.summary.exit_code) == ([], 0)
        assert ran.record()["served"]["model_id"] == ULTRA

    @virtual_time
    async def test_fresh_makes_it_again(self, tmp_path):
        """As it was asked for; the older image is kept."""
        await self.served_by_ultra(tmp_path)
        ran = await run_of(job_of(tmp_path, fallback=[ULTRA]), models := Models(), fresh=True)

        assert models.sent() == [CORE]
        assert "served" not in ran.lines("record")[-1]
        assert len(list(tmp_path.glob("superseded/*.png"))) == 1

    @virtual_time
    async def test_what_was_refused_gets_its_new_seeds_when_it_is_asked_for_again(self, tmp_path):
        """They were allowed later: the task is the same, and left alone until then."""
        await run_of(job_of(tmp_path), Models({CORE: REFUSED}))
        job = job_of(tmp_path, **on_filtered(2))
        ran = await run_of(job, models := Models())
        assert models.calls == []

        ran = await run_of(job, models := Models({CORE: [REFUSED]}), retry_filtered=True)

        assert len(models.calls) == 2
        record = ran.lines("record")[-1]
        assert (record["status"], record["served"]["reason"]) == ("succeeded", "filtered")
        ran = await run_of(job_of(tmp_path), models := Models(), retry_filtered=True)
        assert models.calls == []


def sdxl_reply(data):
    artifact = {"seed": 3, "base64": base64.b64encode(data).decode(), "finishReason": "SUCCESS"}
    return json.dumps({"result": "success", "artifacts": [artifact]}).encode()


class TestImage:
    @virtual_time
    async def test_the_extension_is_that_of_the_bytes(self, tmp_path):
        """A substitute may answer in another format; nothing is made again for it."""
        models = Models({CORE: DENIED, ULTRA: reply(picture("webp"))})
        job = job_of(tmp_path, fallback=[ULTRA])
        ran = await run_of(job, models)

        (image,) = ran.record()["images"]
        assert (image["path"], image["format"]) == ("images/mug-0-1.webp", "webp")
        with Image.open(io.BytesIO((tmp_path / image["path"]).read_bytes())) as found:
            assert found.format == "WEBP"
        await run_of(job, models := Models())
        assert models.calls == []

    @virtual_time
    async def test_a_model_of_another_family(self, tmp_path):
        """Its own request goes out and its own reply is read."""
        models = Models({CORE: DENIED, SDXL: sdxl_reply(picture())})
        ran = await run_of(job_of(tmp_path, fallback=[SDXL]), models)

        record = ran.record()
        assert record["status"] == "succeeded"
        assert record["served"]["request"]["text_prompts"] == [{"text": "mug 0", "weight": 1}]
        assert record["served"]["request"] == models.calls[-1].request
        assert record["request"]["prompt"] == "mug 0"
