"""Another model, seed or prompt in place of a task's own: always the same, always accepted."""

from dataclasses import replace
from decimal import Decimal
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import Item, Job
from batchgen.models import FAMILIES, MODELS, Prompts, find
from batchgen.plan.substitutes import Substitutes
from batchgen.task import task_id

CORE = "stability.stable-image-core-v1:1"
ULTRA = "stability.stable-image-ultra-v1:1"
SD3_5 = "stability.sd3-5-large-v1:0"
SDXL = "stability.stable-diffusion-xl-v1"
CUSTOM = "arn:aws:bedrock:us-west-2:123456789012:provisioned-model/abc"
OURS = ("label", "item_id", "variant", "vars", "file_stem", "fallback", "fallback_prompt")
"""What a substitute takes from its task."""


def job_of(*items, **changes):
    given_ = {"name": "catalog", "endpoint": "simulator", "model": CORE, "prompt": "a {id}"}
    return Job(**{**given_, **changes}, items=items or (Item(id="mug"),))


def first(job):
    return Substitutes(job), next(plan.expand(job))


def accepts(call):
    """Whether the call is a right one for its model, by its family's own checks."""
    rest = {key: value for key, value in call.request.items() if key not in ("prompt", "seed")}
    prompts = Prompts(prompt=call.request.get("prompt"), negative_prompt=None)
    model = find(call.model_id, call.family)
    right = not list(FAMILIES[call.family].problems(model, prompts, rest))
    return right and call.seed == call.request["seed"] and 1 <= call.seed <= model.seed_max


def test_another_model_gets_the_same_picture_to_make():
    """Its body, its family, its price and its id; the item, the label and the file stay."""
    parameters = {"aspect_ratio": "16:9", "negative_prompt": "fog"}
    job = job_of(fallback=[SDXL], seed=7, parameters=parameters)
    substitutes, task = first(job)

    call = substitutes.of_model(task, task, SDXL)

    assert call.request == {
        "text_prompts": [{"text": "a mug", "weight": 1}, {"text": "fog", "weight": -1}],
        "width": 1344,
        "height": 768,
        "seed": 7,
    }
    assert (call.model_id, call.family, call.seed) == (SDXL, "sdxl", 7)
    assert call.id == task_id(SDXL, call.request) != task.id
    assert call.price_usd == MODELS[SDXL].price_usd
    assert all(getattr(call, name) == getattr(task, name) for name in OURS)


def test_the_jobs_prices_hold_for_fallback_models():
    """As for any other."""
    substitutes, task = first(job_of(fallback=[SD3_5], prices={SD3_5: 0.5}))

    assert substitutes.of_model(task, task, SD3_5).price_usd == Decimal("0.5")


def test_the_format_of_a_substitute_is_that_of_its_body():
    """A model of the same family takes the format as it is."""
    substitutes, task = first(job_of(fallback=[ULTRA], parameters={"output_format": "jpeg"}))

    assert substitutes.of_model(task, task, ULTRA).image_format == "jpeg"


def test_a_model_whose_id_does_not_tell_has_the_family_that_an_item_gives_it():
    """Whether the item or the job says it."""
    job = job_of(Item(id="a"), Item(id="b", model=CUSTOM, family=SD3_5), fallback=[CUSTOM])
    substitutes, task = first(job)

    assert substitutes.of_model(task, task, CUSTOM).family == "stable-image"
    assert substitutes.of_model(replace(task, seed=2**32 - 1), task, CUSTOM).seed == task.seed


def test_a_call_is_of_the_family_that_its_own_item_gives():
    """Though another item may give the same id another one."""
    job = job_of(
        Item(id="a", model=CUSTOM, family="sdxl"),
        Item(id="b", model=CUSTOM, family="stable-image", fallback=[SDXL]),
    )
    substitutes = Substitutes(job)
    _, task = plan.expand(job)

    call = substitutes.of_model(task, task, SDXL)
    assert call.request["text_prompts"] == [{"text": "a b", "weight": 1}]


def test_new_seeds_never_change():
    """Golden values: with others, a run that goes on would pay for the same pictures again."""
    substitutes, task = first(job_of())

    seeds = [substitutes.of_seed(task, number).seed for number in (1, 2, 3)]
    assert seeds == [2390225833, 1206358432, 22491031]


def test_a_new_seed_is_the_only_thing_that_changes():
    """And the id that goes with it."""
    substitutes, task = first(job_of(prompt="a {id} {seed}"))

    call = substitutes.of_seed(task, 1)

    assert call.request == {**task.request, "seed": call.seed}
    assert call == replace(
        task, id=task_id(CORE, call.request), request=call.request, seed=call.seed
    )


@given(
    seed=st.integers(1, 4_294_967_294),
    model=st.sampled_from([CORE, SD3_5, SDXL]),
    prompt=st.sampled_from(["a", "b"]),
)
def test_new_seeds_differ_from_each_other_and_from_the_calls_own(seed, model, prompt):
    """For every number that a job may ask for, and within the model's range."""
    substitutes, task = first(job_of(model=model, seed=seed, prompt=prompt))

    calls = [substitutes.of_seed(task, number) for number in range(1, 11)]
    assert len({seed, *(call.seed for call in calls)}) == 11
    assert all(map(accepts, calls))


def test_a_call_that_has_a_new_seed_by_chance_takes_the_next_one():
    """Its own seed is passed over, wherever it comes in the order."""
    substitutes, task = first(job_of())
    order = [substitutes.of_seed(task, number).seed for number in range(1, 12)]

    for place, seed in enumerate(order[:10]):
        same_id = replace(task, seed=seed)
        rest = [substitutes.of_seed(same_id, number).seed for number in range(1, 11)]
        assert rest == [*order[:place], *order[place + 1 :]]


def test_the_fallback_prompt_takes_the_place_of_the_prompt_alone():
    """For the task's own model, and for one that stands in for it."""
    job = job_of(fallback=[SDXL], on_filtered={"fallback_prompt": "a plain {id}"})
    substitutes, task = first(job)
    there = substitutes.of_model(task, task, SDXL)

    here = substitutes.of_prompt(task, task)
    both = substitutes.of_prompt(task, there)

    assert here.request == {**task.request, "prompt": "a plain mug"}
    assert here.id == task_id(CORE, here.request)
    assert both.request["text_prompts"] == [{"text": "a plain mug", "weight": 1}]
    assert (both.model_id, both.seed) == (SDXL, task.seed)
    assert both == substitutes.of_model(task, here, SDXL)


def test_a_call_keeps_its_prompt_and_its_seed_on_the_way_to_a_third_model():
    """Whatever the model in between took of them."""
    job = job_of(
        seed=4_294_967_295,
        fallback=[SD3_5, SDXL, ULTRA],
        on_filtered={"fallback_prompt": "a plain {id}"},
    )
    substitutes, task = first(job)
    there = substitutes.of_model(task, task, SD3_5)
    prompted = substitutes.of_prompt(task, there)
    reseeded = substitutes.of_seed(prompted, 2)

    assert there.seed == 1
    assert substitutes.of_model(task, there, ULTRA).request == task.request
    last = substitutes.of_model(task, reseeded, ULTRA)
    assert last.request == {**task.request, "prompt": "a plain mug", "seed": reseeded.seed}
    assert substitutes.of_model(task, prompted, ULTRA).seed == task.seed


def test_text_prompts_go_through_another_family_and_come_back():
    """However they were ordered: what is sent is made of the task's own request."""
    texts = [{"text": "fog", "weight": -1}, {"text": "a cat", "weight": 1}]
    job = job_of(model=SDXL, prompt=None, parameters={"text_prompts": texts})
    substitutes, task = first(job)
    there = substitutes.of_model(task, task, CORE)
    other = "stability.stable-diffusion-xl-v0"

    assert there.request["prompt"] == "a cat"
    assert substitutes.of_model(task, there, other).request == task.request


def test_what_a_check_would_have_refused_is_refused_here_too():
    """With a text that says what and why."""
    substitutes, task = first(job_of(parameters={"output_format": "webp"}))

    with pytest.raises(ValueError, match=r"ultra-v1:1 cannot stand in for .* at mug/1: .*webp"):
        substitutes.of_model(task, task, ULTRA)
    with pytest.raises(ValueError, match="is not a model that batchgen knows"):
        substitutes.of_model(task, task, "nobody.knows")
    with pytest.raises(ValueError, match="mug/1 has no prompt to fall back on"):
        substitutes.of_prompt(task, task)
    with pytest.raises(ValueError, match="count from 1"):
        substitutes.of_seed(task, 0)


IDS = [CORE, ULTRA, SD3_5, SDXL, "stability.stable-diffusion-xl-v0"]
TEXTS = st.lists(
    st.sampled_from([("a", 1), ("b", -1), ("c", 1), ("d", 0.5)]).map(
        lambda pair: {"text": pair[0], "weight": pair[1]}
    ),
    min_size=1,
    max_size=3,
)
NEGATIVE = st.sampled_from(["fog", "fog {variant}", ""])
PICTURE = st.fixed_dictionaries(
    {},
    optional={
        "aspect_ratio": st.sampled_from(["16:9", "4:5", "{shape}"]),
        "negative_prompt": NEGATIVE,
        "output_format": st.sampled_from(["png", "png", "jpeg", "webp"]),
    },
)
ARTIFACT = st.fixed_dictionaries(
    {}, optional={"negative_prompt": NEGATIVE, "steps": st.just(30), "samples": st.just(1)}
).map(lambda chosen: {**chosen, "width": 1216, "height": 832})
PROMPT = st.sampled_from(["a cat", "a {id} {seed} {variant}", "x" * 1_997 + "{variant}"])


def items_of(models, parameters, prompt=PROMPT):
    """Items of one family."""
    return st.builds(
        Item,
        id=st.sampled_from(["a", "b", "c"]),
        model=st.sampled_from(models),
        fallback=st.none() | st.lists(st.sampled_from(IDS), unique=True, max_size=3),
        variants=st.sampled_from([None, 1, 10]),
        parameters=parameters,
        prompt=prompt,
        negative_prompt=st.sampled_from([None, "", "mist"]),
    )


ITEMS = st.one_of(
    items_of(IDS[:3], PICTURE),
    items_of(IDS[3:], ARTIFACT),
    items_of(IDS[3:], st.fixed_dictionaries({"text_prompts": TEXTS}), st.none()),
)
JOBS = st.builds(
    lambda items, changes: job_of(*items, **changes, vars={"shape": "3:2"}),
    st.lists(ITEMS, min_size=1, max_size=2, unique_by=lambda item: item.id),
    st.fixed_dictionaries(
        {"seed": st.sampled_from(["derived", 5, 4_294_967_285])},
        optional={
            "fallback": st.lists(st.sampled_from(IDS), unique=True, max_size=3),
            "on_filtered": st.fixed_dictionaries(
                {"retry_with_new_seed": st.integers(0, 3)},
                optional={"fallback_prompt": st.sampled_from(["plain", "{variant} {id}"]) | PROMPT},
            ),
        },
    ),
)


def calls_of(substitutes, task, new_seeds):
    """Every call that a run may send in place of a task."""
    reached = [task, *(substitutes.of_model(task, task, name) for name in task.fallback)]
    for call in list(reached):
        reached += [substitutes.of_seed(call, number + 1) for number in range(new_seeds)]
    if task.fallback_prompt is not None:
        reached += [substitutes.of_prompt(task, call) for call in list(reached)]
    for call in list(reached):
        for name in (task.model_id, *task.fallback):
            reached.append(substitutes.of_model(task, call, name))
    return reached


@settings(max_examples=300)
@given(JOBS)
def test_whatever_a_check_accepts_has_all_its_substitutes(job):
    """Each is built, by any way that leads to it, and is one that its model takes."""
    try:
        plan.check(job)
    except JobError:
        return
    substitutes = Substitutes(job)
    for task in islice(plan.expand(job), 3):
        for call in calls_of(substitutes, task, job.on_filtered.retry_with_new_seed):
            assert accepts(call)
            assert call.id == task_id(call.model_id, call.request)
            assert all(getattr(call, name) == getattr(task, name) for name in OURS)
