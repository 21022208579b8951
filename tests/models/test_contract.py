"""One suite for every model of every family: what `models.base.Family` promises of requests."""

import copy
import json
from dataclasses import replace
from decimal import Decimal
from itertools import product
from types import MappingProxyType

from documented import (
    CAT,
    DOCUMENTED,
    NO_PROMPTS,
    any_requests,
    completed,
    every_family,
    every_model,
    family_of,
    few,
    fewer,
    found,
    minimal,
    of_model,
    right_requests,
)
from hypothesis import given
from hypothesis import strategies as st

from batchgen.models import FAMILIES, MODELS, Model, Prompts


class TestFacts:
    @every_family
    def test_a_family_is_entered_under_its_own_name(self, name):
        """The key in FAMILIES is NAME, and every model says so too, under its own id."""
        family = FAMILIES[name]
        assert name == family.NAME
        assert family.MODELS
        assert {name} == {model.family for model in family.MODELS.values()}
        assert all(model_id == model.id for model_id, model in family.MODELS.items())

    @every_family
    def test_its_limits_are_stated_here(self, name):
        """This suite's documented values are of parameters that a model of the family has."""
        taken = {key for model in FAMILIES[name].MODELS.values() for key in model.parameters}
        assert DOCUMENTED[name].parameters.keys() <= taken

    @every_model
    def test_prompt_and_seed_are_no_parameters(self, model):
        """Parameters are sorted, and leave what an item has keys for to the item."""
        names = list(model.parameters)
        assert sorted(names) == names
        assert not {"prompt", "seed"} & set(names)

    @every_model
    def test_the_images_of_a_family_are_known(self, model):
        """`IMAGE_PARAMETERS` names those that are images, and no others."""
        images = {name for name, each in model.parameters.items() if each.kind == "image"}
        assert images == family_of(model).IMAGE_PARAMETERS & model.parameters.keys()

    @every_model
    def test_each_default_is_a_value_that_the_model_takes(self, model):
        """What is documented as a default is itself within the limits."""
        for name, parameter in model.parameters.items():
            assert parameter.default is None or not parameter((name,), parameter.default)

    def test_no_two_families_claim_one_id(self):
        """Every id belongs to one family."""
        assert len(MODELS) == sum(len(family.MODELS) for family in FAMILIES.values())

    @every_model
    def test_the_facts_of_a_model_can_be_true(self, model):
        """Prices are exact and positive; Regions, quota, formats and seeds are there."""
        assert isinstance(model.price_usd, Decimal)
        assert model.price_usd > 0
        assert model.requests_per_minute > 0
        assert model.regions
        assert model.title
        assert model.quota_title.startswith(("Stability.ai ", "Stable Image "))
        assert set(model.output_formats) <= {"png", "jpeg", "webp"}
        assert 2**31 < model.seed_max < 2**32

    @every_family
    def test_a_model_that_only_its_family_is_known_of_has_no_invented_facts(self, name):
        """Its id stands as given; price, quota and Regions are unknown; limits are the loosest."""
        family = FAMILIES[name]
        model = family.generic("arn:anything")
        assert (model.id, model.family) == ("arn:anything", name)
        assert (model.price_usd, model.requests_per_minute, model.regions) == (None, None, ())
        assert family.price(model, {"output_format": "png", "steps": 150}) is None
        for known in family.MODELS.values():
            assert set(known.output_formats) <= set(model.output_formats)
            assert known.seed_max <= model.seed_max


class TestBuild:
    @every_family
    @few
    @given(data=st.data())
    def test_documented_requests_are_accepted_and_built(self, name, data):
        """Any documented values together are no problem, and all of them reach the body."""
        model, prompts, parameters = data.draw(right_requests(name))
        assert found(model, prompts, parameters) == []
        body = FAMILIES[name].build(model, prompts, parameters, 7)
        assert DOCUMENTED[name].within_limits(model, body)
        assert "prompt" not in body or prompts.prompt == body["prompt"]
        named = parameters.keys() - {"negative_prompt", "text_prompts"}
        assert {key: parameters[key] for key in named} == {key: body[key] for key in named}

    @every_family
    @few
    @given(data=st.data())
    def test_what_is_accepted_becomes_a_body_within_the_documented_limits(self, name, data):
        """No text and no parameter that `problems` lets pass makes a request the model refuses."""
        model, prompts, parameters = data.draw(any_requests(name))
        if not found(model, prompts, parameters):
            check_request(model, prompts, parameters, data.draw(st.integers(1, model.seed_max)))

    @every_family
    @few
    @given(data=st.data())
    def test_texts_and_parameters_are_judged_apart(self, name, data):
        """A plan looks at the parameters that its items share once, whatever their texts are."""
        model, prompts, parameters = data.draw(any_requests(name))
        _, others, _ = data.draw(any_requests(name))
        family = FAMILIES[name]
        if not (family.PROMPT_PARAMETERS | family.IMAGE_PARAMETERS).isdisjoint(parameters):
            return
        judged = found(model, prompts, parameters)
        of_texts = [each for each in judged if each.of_prompts]
        assert of_texts == list(family.text_problems(model, prompts))
        again = found(model, others, parameters)
        assert [each for each in again if not each.of_prompts] == [
            each for each in judged if not each.of_prompts
        ]

    @every_model
    @fewer
    @given(data=st.data())
    def test_each_documented_value_is_accepted(self, model, data):
        """Each parameter by itself, at any documented value, is no problem."""
        name = data.draw(st.sampled_from(list(model.parameters)))
        parameters = completed(model, {name: data.draw(of_model(model)[name])})
        takes_prompt = model.prompt is not None and name != "text_prompts"
        assert found(model, CAT if takes_prompt else NO_PROMPTS, parameters) == []

    @every_family
    @few
    @given(data=st.data())
    def test_building_is_pure(self, name, data):
        """The same arguments give the same body, and are left as they were."""
        model, prompts, parameters = data.draw(right_requests(name))
        before = copy.deepcopy(parameters)
        first = json.dumps(FAMILIES[name].build(model, prompts, MappingProxyType(parameters), 7))
        assert first == json.dumps(FAMILIES[name].build(model, prompts, parameters, 7))
        assert before == parameters

    @every_model
    def test_the_ends_of_the_seed_range_are_sent_as_they_are(self, model):
        """A seed is never changed on its way into the body."""
        for seed in (1, model.seed_max):
            check_request(model, *minimal(model), seed)

    @every_model
    def test_an_items_own_negative_prompt_wins(self, model):
        """It takes the place of the one among the parameters; an empty one takes that away."""
        family = family_of(model)
        prompts, least = minimal(model)
        if "negative_prompt" not in model.parameters:
            [problem] = found(model, replace(prompts, negative_prompt="blur"), least)
            assert (problem.key, problem.of_prompts) == (("negative_prompt",), True)
            return
        parameters = {**least, "negative_prompt": "watermark"}

        def built(negative: str | None) -> str:
            prompts = Prompts(prompt="a cat", negative_prompt=negative)
            assert found(model, prompts, parameters) == []
            return json.dumps(family.build(model, prompts, parameters, 7))

        assert "watermark" in built(None)
        assert "watermark" not in built("blur")
        assert "blur" in built("blur")
        plain = family.build(model, prompts, least, 7)
        assert json.dumps(plain) == built("")

    @every_model
    def test_the_price_can_be_overridden(self, model):
        """A price that a job gives takes the place of ours; no price stays none."""
        family = family_of(model)
        body = family.build(model, *minimal(model), 7)
        assert family.price(model, body) == model.price_usd
        assert family.price(replace(model, price_usd=Decimal("1.5")), body) == Decimal("1.5")
        assert family.price(replace(model, price_usd=None), body) is None


class TestParts:
    @every_family
    @few
    @given(data=st.data())
    def test_a_body_taken_apart_and_put_together_asks_for_the_same(self, name, data):
        """Nothing is lost between `parts` and `from_parts`; a default may be written out."""
        model, prompts, parameters = data.draw(right_requests(name))
        family = FAMILIES[name]
        body = family.build(model, prompts, parameters, 7)
        parts = family.parts(body)
        asked = family.from_parts(parts, model)
        assert not asked.problems
        assert found(model, asked.prompts, asked.parameters) == []
        again = family.parts(family.build(model, asked.prompts, asked.parameters, 7))
        assert replace(again, is_exact_size=parts.is_exact_size) == parts

    @every_family
    @few
    @given(data=st.data())
    def test_another_prompt_changes_the_prompt_alone(self, name, data):
        """Where a body has one prompt, it is the first text of its parts."""
        model, prompts, parameters = data.draw(right_requests(name))
        family = FAMILIES[name]
        body = family.build(model, prompts, parameters, 7)
        parts = family.parts(body)
        if parts.prompt is not None:
            changed = family.parts(family.with_prompt(body, "a dog"))
            texts = (("a dog", 1), *parts.texts[1:])
            assert changed == replace(parts, texts=texts)


class TestProblems:
    @every_family
    @few
    @given(data=st.data())
    def test_nothing_makes_the_checks_fail(self, name, data):
        """Whatever a job file may hold, complaints are short printable sentences on one line."""
        for problem in found(*data.draw(any_requests(name))):
            assert problem.text.isprintable()
            assert len(problem.text) < 500

    @every_model
    def test_a_value_of_a_wrong_type_is_named(self, model):
        """One problem at least for each parameter, at its key, with its name and what it may be."""
        values = (None, float("nan"), float("inf"), b"x", [], True, object())
        for name, value in product(model.parameters, values):
            problems = found(model, CAT, {name: value})
            assert (name,) in [problem.key for problem in problems if not problem.of_prompts]
            text = next(problem.text for problem in problems if problem.key == (name,))
            assert name in text
            assert "allowed: " in text

    @every_model
    def test_everything_wrong_is_said_at_once(self, model):
        """One wrong value does not hide another, nor do wrong texts hide wrong parameters."""
        names = tuple(model.parameters)
        wrong = dict.fromkeys((*names, "qwerty", "seed"))
        problems = found(model, NO_PROMPTS, wrong)
        assert {(name,) for name in wrong} <= {problem.key for problem in problems}

    @every_model
    def test_an_unknown_parameter_is_refused_with_the_nearest_name(self, model):
        """A slip of the pen finds the right name; all names are listed."""
        prompts, least = minimal(model)
        for name in model.parameters:
            slip = name[1] + name[0] + name[2:].upper().replace("_", "-")
            [problem] = found(model, prompts, {**least, slip: 1})
            assert problem.key == (slip,)
            assert f'did you mean "{name}"?' in problem.text
            assert ", ".join(model.parameters) in problem.text

    def test_a_parameter_of_other_models_is_refused_with_their_names(self):
        """Whoever wants it sees which model to choose."""
        core = MODELS["stability.stable-image-core-v1:1"]
        [problem] = found(core, CAT, {"strength": 0.5})
        assert 'does not take "strength" (Stable Image Ultra 1.1, Stable Diff' in problem.text

    @every_model
    def test_keys_of_the_item_are_no_parameters(self, model):
        """`prompt` and `seed` among the parameters are refused, and the right place is named."""
        prompts, least = minimal(model)
        for name in ("prompt", "seed"):
            [problem] = found(model, prompts, {**least, name: "7"})
            assert problem.key == (name,)
            assert not problem.of_prompts
            assert "key of the item" in problem.text

    @every_model
    def test_an_items_own_texts_are_checked(self, model):
        """A text that is missing, empty, too long or broken is said to be the item's own."""
        wrong = []
        if model.prompt is not None and model.prompt.required:
            wrong += [
                (NO_PROMPTS, "prompt", "no prompt"),
                (Prompts(prompt="", negative_prompt=None), "prompt", "empty"),
                (Prompts(prompt=" \n", negative_prompt=None), "prompt", "empty"),
                (Prompts(prompt="x" * 10_001, negative_prompt=None), "prompt", "10,001 characters"),
                (Prompts(prompt="\ud800", negative_prompt=None), "prompt", "half of a character"),
            ]
        if "negative_prompt" in model.parameters:
            wrong += [
                (Prompts(prompt="x", negative_prompt="x" * 10_001), "negative_prompt", "10,001"),
                (Prompts(prompt="x", negative_prompt="a\udfff"), "negative_prompt", "character 2 "),
            ]
        for prompts, key, word in wrong:
            [problem] = found(model, prompts, completed(model, {}))
            assert problem.key == (key,)
            assert problem.of_prompts
            assert word in problem.text

    @every_model
    def test_texts_pass_as_they_are(self, model):
        """Control characters, direction marks, markup and U+2028 in a prompt are its author's."""
        prompt = "\x1b[31m \r \u202e <script> =HYPERLINK( \u2028 \x00 👩‍🎨"
        prompts = Prompts(prompt=prompt, negative_prompt=prompt)
        if "negative_prompt" not in model.parameters:
            return
        least = completed(model, {})
        assert found(model, prompts, least) == []
        body = family_of(model).build(model, prompts, least, 7)
        assert json.dumps(prompt) in json.dumps(body)


def check_request(model: Model, prompts: Prompts, parameters: dict, seed: int) -> None:
    """What must hold of every body that is built from an accepted request."""
    family = family_of(model)
    body = family.build(model, prompts, parameters, seed)
    assert DOCUMENTED[model.family].within_limits(model, body)
    assert body.get("seed") == (seed if model.takes_seed else None)
    assert json.loads(json.dumps(body, allow_nan=False)) == body
    assert family.image_format(body) in model.output_formats
    assert family.price(model, body) >= model.price_usd
