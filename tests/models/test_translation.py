"""A body for one model becomes the body for another one, or every reason against it is told."""

import copy
from dataclasses import replace

import pytest
from documented import DOCUMENTED, family_of, few, right_requests
from hypothesis import assume, given
from hypothesis import strategies as st

from batchgen.models import (
    FAMILIES,
    MODELS,
    Untranslatable,
    prompt_of,
    sdxl,
    seed_within,
    translate,
    with_prompt,
    with_seed,
)

CORE = MODELS["stability.stable-image-core-v1:1"]
ULTRA = MODELS["stability.stable-image-ultra-v1:1"]
SD3_5 = MODELS["stability.sd3-5-large-v1:0"]
XL = MODELS["stability.stable-diffusion-xl-v1"]
XL_0_8 = MODELS["stability.stable-diffusion-xl-v0"]

SHAPES = [
    ("16:9", (1344, 768)),
    ("1:1", (1024, 1024)),
    ("21:9", (1536, 640)),
    ("2:3", (832, 1216)),
    ("3:2", (1216, 832)),
    ("4:5", (896, 1152)),
    ("5:4", (1152, 896)),
    ("9:16", (768, 1344)),
    ("9:21", (640, 1536)),
]
every_pair = pytest.mark.parametrize(
    ("source", "target"), [(one, other) for one in FAMILIES for other in FAMILIES]
)


def picture(**more):
    """A body of Stable Image."""
    return {"prompt": "a cat", "seed": 7, "output_format": "png", **more}


def artifact(*texts, **more):
    """A body of SDXL."""
    said = [{"text": text, "weight": weight} for text, weight in texts or [("a cat", 1)]]
    return {"text_prompts": said, "seed": 7, **more}


def outcome(request, source, target):
    """The body, or the refusal."""
    try:
        return translate(request, source, target)
    except Untranslatable as error:
        return error


def refused(request, source, target):
    with pytest.raises(Untranslatable) as error:
        translate(request, source, target)
    assert str(error.value) == "; ".join(problem.text for problem in error.value.problems)
    return [(problem.key, problem.text) for problem in error.value.problems]


@every_pair
@few
@given(data=st.data())
def test_what_comes_out_is_within_the_documented_limits_of_the_target(source, target, data):
    """Any accepted body and any two models: a body that the other one takes, or a refusal."""
    model, prompts, parameters = data.draw(right_requests(source))
    other = data.draw(st.sampled_from(list(FAMILIES[target].MODELS.values())))
    seed = data.draw(st.integers(1, model.seed_max) | st.just(model.seed_max))
    body = family_of(model).build(model, prompts, parameters, seed)
    before = copy.deepcopy(body)
    made = outcome(body, model, other)
    if isinstance(made, Untranslatable):
        assert made.problems
        assert all(problem.text.isprintable() for problem in made.problems)
    else:
        assert DOCUMENTED[target].within_limits(other, made)
        assert made == translate(made, other, other) == translate(body, model, other)
        if source == target:
            assert {**made, "seed": seed} == {**body, "seed": seed}
    assert before == body


@pytest.mark.parametrize(("ratio", "size"), SHAPES)
def test_every_shape_has_its_counterpart_and_comes_back(ratio, size):
    """None is further off than 3 %."""
    made = translate(picture(aspect_ratio=ratio), CORE, XL)

    width, height = map(int, ratio.split(":"))
    assert (made["width"], made["height"]) == size
    assert 1 / 1.03 < (size[0] / size[1]) / (width / height) < 1.03
    assert translate(made, XL, CORE) == picture(aspect_ratio=ratio)


def test_a_shape_that_is_not_near_is_refused(monkeypatch):
    """More than 12 % is another picture."""
    monkeypatch.setattr(sdxl, "SIZES", ((1024, 1024),))

    [(_, text)] = refused(picture(aspect_ratio="5:4"), CORE, XL)
    assert text == "SDXL 1.0 makes no picture of the shape 5:4"
    [(_, text)] = refused(artifact(width=1024, height=128), XL, CORE)
    assert text == "Stable Image Core 1.1 makes no picture of the shape 1024:128"


def test_a_square_is_what_a_body_without_a_shape_asks_for():
    """Either family's default is one, and it is written out."""
    assert translate(picture(), CORE, XL) == artifact(width=1024, height=1024)
    assert translate(artifact(), XL, CORE) == picture(aspect_ratio="1:1")


def test_prompts_are_text_prompts_of_weight_1_and_minus_1():
    """And the other way round, in any order."""
    body = picture(negative_prompt="fog", mode="text-to-image")
    made = translate(body, CORE, XL)

    assert made["text_prompts"] == [{"text": "a cat", "weight": 1}, {"text": "fog", "weight": -1}]
    for texts in ([("a cat", 1), ("fog", -1)], [("fog", -1), ("a cat", 1)]):
        back = translate(artifact(*texts, samples=1), XL, CORE)
        assert back == picture(negative_prompt="fog", aspect_ratio="1:1")


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_a_format_that_the_other_family_does_not_have_is_refused(name):
    """A picture is never made in another format than the one asked for."""
    expected = f'"output_format" cannot be "{name}"; allowed: png'
    assert refused(picture(output_format=name), CORE, XL) == [(("output_format",), expected)]


def test_a_format_that_another_model_of_the_family_does_not_have_is_refused():
    """By the family's own check."""
    [(key, text)] = refused(picture(output_format="webp"), CORE, ULTRA)
    assert key == ("output_format",)
    assert 'cannot be "webp"; allowed: png, jpeg' in text
    assert translate(picture(output_format="webp"), CORE, SD3_5) == picture(output_format="webp")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cfg_scale", 7),
        ("clip_guidance_preset", "NONE"),
        ("extras", {"a": 1}),
        ("sampler", "DDIM"),
        ("steps", 30),
        ("style_preset", "anime"),
    ],
)
def test_what_sdxl_alone_has_is_refused_by_name(name, value):
    """Nothing is left out in silence, not even a default."""
    expected = f'Stable Image Core 1.1 does not take "{name}": leave it out'
    assert refused(artifact(**{name: value}), XL, CORE) == [((name,), expected)]
    assert translate(artifact(**{name: value}), XL, XL_0_8) == artifact(**{name: value})


@pytest.mark.parametrize(
    ("texts", "key", "words"),
    [
        ([("a", 1), ("b", 0.5)], ("text_prompts", 1, "weight"), "cannot be 0.5; allowed: 1 or -1"),
        ([("a", 1), ("b", 1)], ("text_prompts",), "has 2 texts of weight 1; Stable Image Core 1.1"),
        (
            [("b", -1)],
            ("text_prompts",),
            "has 0 texts of weight 1; Stable Image Core 1.1 takes one",
        ),
        ([("a", 1), ("b", -1), ("c", -1)], ("text_prompts",), "takes at most one negative prompt"),
    ],
)
def test_text_prompts_that_are_no_prompt_and_negative_prompt_are_refused(texts, key, words):
    """Their weights have no counterpart."""
    [(found, text)] = refused(artifact(*texts), XL, CORE)
    assert found == key
    assert words in text
    assert translate(artifact(*texts), XL, XL_0_8) == artifact(*texts)


def test_a_negative_prompt_is_never_taken_for_the_prompt():
    """Where it stands first, no prompt can replace it."""
    body = artifact(("fog", -1), ("a cat", 1))

    assert prompt_of(body, "sdxl") is None
    with pytest.raises(Untranslatable):
        with_prompt(body, "sdxl", "a dog")


def test_a_prompt_that_is_too_long_for_the_other_family_is_refused():
    """The limits are the family's own, for either text."""
    body = picture(prompt="x" * 2_001, negative_prompt="y" * 2_001)

    assert [key for key, _ in refused(body, CORE, XL)] == [("prompt",), ("negative_prompt",)]
    assert translate(body, CORE, ULTRA) == body


def test_everything_that_is_wrong_is_said_at_once():
    """In the order of the body."""
    keys = [key for key, _ in refused(artifact(steps=30, cfg_scale=7), XL, CORE)]
    assert keys == [("steps",), ("cfg_scale",)]


@given(seed=st.integers(1, 2**40), most=st.integers(1, 2**33))
def test_a_seed_is_brought_into_the_range_and_kept_where_it_is_in_it(seed, most):
    """It is never 0, which would ask the service for any."""
    within = seed_within(seed, replace(CORE, seed_max=most))

    assert 1 <= within <= most
    assert within == seed or seed > most


def test_the_largest_seed_of_one_model_is_one_that_the_other_takes():
    """4,294,967,295 is one more than SD3.5 takes."""
    made = translate(picture(seed=CORE.seed_max), CORE, SD3_5)
    assert made == picture(seed=1)


@pytest.mark.parametrize("name", FAMILIES)
@few
@given(data=st.data())
def test_another_prompt_and_another_seed_change_nothing_else(name, data):
    """Text prompts with weights are no single prompt, so none can take their place."""
    model, prompts, parameters = data.draw(right_requests(name))
    body = family_of(model).build(model, prompts, parameters, 7)
    before = copy.deepcopy(body)

    assert with_seed(body, 8) == ({**body, "seed": 8} if model.takes_seed else body)
    if "text_prompts" in parameters and prompt_of(body, name) is None:
        with pytest.raises(Untranslatable, match="text prompts with weights"):
            with_prompt(body, name, "a dog")
        return
    made = with_prompt(body, name, "a dog")
    assert before == body
    assert prompt_of(made, name) == "a dog"
    assume(prompts.prompt is not None)
    assert made == family_of(model).build(model, replace(prompts, prompt="a dog"), parameters, 7)
