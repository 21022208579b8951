"""What is peculiar to SDXL."""

import json
from datetime import date
from decimal import Decimal

import pytest
from documented import IMAGE, image

from batchgen.models import LifeCycle, Prompts, find, sdxl

CAT = Prompts(prompt="a cat", negative_prompt=None)
NOTHING = Prompts(prompt=None, negative_prompt=None)
V1 = find("stability.stable-diffusion-xl-v1")
SMALL = image(512, 512)
WEIGHTED = [{"text": "a cat", "weight": 0.7}, {"text": "a dog"}]


def complaints(parameters, prompts=CAT):
    """The texts of all problems."""
    return [problem.text for problem in sdxl.problems(V1, prompts, parameters)]


class TestFacts:
    @pytest.mark.parametrize(
        ("model_id", "price", "ended"),
        [
            ("stability.stable-diffusion-xl-v1", "0.04", date(2025, 5, 20)),
            ("stability.stable-diffusion-xl-v0", "0.036", None),
            ("stability.stable-diffusion-xl", "0.036", None),
        ],
    )
    def test_every_version_is_retired(self, model_id, price, ended):
        """The day is on record for 1.0 only; the id without a version is an alias of 0.8."""
        model = find(model_id)
        assert (model.life_cycle, model.end_of_life) == (LifeCycle.RETIRED, ended)
        assert model.price_usd == Decimal(price)
        assert model.output_formats == ("png",)

    def test_more_than_fifty_steps_cost_twice_as_much(self):
        """Fifty are still at the price of thirty, the default; an overridden price doubles too."""
        for steps, price in ((10, "0.04"), (50, "0.04"), (51, "0.08"), (150, "0.08")):
            assert sdxl.price(V1, sdxl.build(V1, CAT, {"steps": steps}, 7)) == Decimal(price)
        assert sdxl.price(V1, sdxl.build(V1, CAT, {}, 7)) == Decimal("0.04")
        v0 = find("stability.stable-diffusion-xl")
        assert sdxl.price(v0, sdxl.build(V1, CAT, {"steps": 51}, 7)) == Decimal("0.072")


class TestBuild:
    def test_an_items_texts_become_weighted_prompts(self):
        """The prompt weighs 1, the negative prompt -1, whichever place it came from."""
        expected = [{"text": "a cat", "weight": 1}, {"text": "blur", "weight": -1}]
        prompts = Prompts(prompt="a cat", negative_prompt="blur")
        assert sdxl.build(V1, prompts, {}, 7) == {"text_prompts": expected, "seed": 7}
        assert sdxl.build(V1, CAT, {"negative_prompt": "blur"}, 7) == {
            "text_prompts": expected,
            "seed": 7,
        }

    def test_own_text_prompts_are_sent_with_all_weights(self):
        """An omitted weight is the documented 1."""
        assert complaints({"text_prompts": WEIGHTED}, NOTHING) == []
        body = sdxl.build(V1, NOTHING, {"text_prompts": WEIGHTED}, 7)
        assert body["text_prompts"] == [
            {"text": "a cat", "weight": 0.7},
            {"text": "a dog", "weight": 1},
        ]

    def test_one_request_has_one_writing(self):
        """7 and 7.0, 1 and 1.0 and an omitted weight make the same bytes, so the same task id."""
        bodies = [
            sdxl.build(V1, NOTHING, {"cfg_scale": scale, "text_prompts": [prompt]}, 7)
            for scale, prompt in (
                (7, {"text": "a cat"}),
                (7.0, {"text": "a cat", "weight": 1.0}),
                (7, {"weight": 1, "text": "a cat"}),
            )
        ]
        assert len({json.dumps(body) for body in bodies}) == 1

    def test_numbers_that_are_not_whole_stay_as_they_are(self):
        """Nothing is rounded, and a float too large to be exact is not spelt out."""
        for scale in (7.5, 0.1, 1e300):
            assert sdxl.build(V1, CAT, {"cfg_scale": scale}, 7)["cfg_scale"] is scale


class TestProblems:
    def test_only_the_nine_pairs_go_together(self):
        """Every other pair of multiples of 64 is refused, at `width`."""
        sides = range(512, 1664, 64)
        pairs = {(w, h) for w in sides for h in sides if not complaints({"width": w, "height": h})}
        assert pairs == {
            (1024, 1024),
            (1152, 896),
            (1216, 832),
            (1344, 768),
            (1536, 640),
            (640, 1536),
            (768, 1344),
            (832, 1216),
            (896, 1152),
        }

    @pytest.mark.parametrize(
        ("parameters", "near"),
        [
            ({"width": 1920, "height": 1080}, "1344x768, 1216x832, 1536x640"),
            ({"width": 512, "height": 512}, "1024x1024, 896x1152, 1152x896"),
            ({"width": -1, "height": 10**5000}, "640x1536, 768x1344, 832x1216"),
        ],
    )
    def test_a_wrong_pair_finds_the_nearest_shapes(self, parameters, near):
        """Nearness is that of the picture's shape."""
        [text] = complaints(parameters)
        assert "do not go together" in text
        assert text.endswith(near)

    @pytest.mark.parametrize(
        ("parameters", "words"),
        [
            ({"width": 1344}, ('"width" needs "height"', "1344x768, 1216x832, 1152x896")),
            ({"height": 1500}, ('"height" needs "width"', "640x1536, 768x1344, 832x1216")),
        ],
    )
    def test_one_side_alone_is_refused(self, parameters, words):
        """The missing side is named, with the sizes nearest by the side that is there."""
        [text] = complaints(parameters)
        for word in words:
            assert word in text

    def test_a_side_of_a_wrong_type_is_one_problem(self):
        """The pair is not judged before both sides are whole numbers."""
        [text] = complaints({"width": "1024", "height": 1024})
        assert text == '"width" cannot be "1024"; allowed: a whole number'

    @pytest.mark.parametrize(
        ("parameters", "text"),
        [
            ({"cfg_scale": 35.01}, '"cfg_scale" cannot be 35.01; allowed: a number from 0 to 35'),
            ({"cfg_scale": -0.1}, '"cfg_scale" cannot be -0.1; allowed: a number from 0 to 35'),
            ({"steps": 9}, '"steps" cannot be 9; allowed: a whole number from 10 to 150'),
            ({"steps": 151}, '"steps" cannot be 151; allowed: a whole number from 10 to 150'),
            ({"steps": 30.0}, '"steps" cannot be 30.0; allowed: a whole number from 10 to 150'),
            (
                {"samples": 4},
                '"samples" cannot be 4; allowed: 1; for more images give the item more variants',
            ),
        ],
    )
    def test_a_number_outside_its_limits_is_refused(self, parameters, text):
        """The value and the limits, in one sentence."""
        assert complaints(parameters) == [text]

    @pytest.mark.parametrize(
        "parameters", [{"cfg_scale": 0}, {"cfg_scale": 35.0}, {"steps": 10}, {"steps": 150}]
    )
    def test_the_ends_of_the_limits_are_allowed(self, parameters):
        """From and to include both."""
        assert complaints(parameters) == []

    @pytest.mark.parametrize(
        ("parameters", "meant"),
        [
            ({"sampler": "euler"}, "K_EULER"),
            ({"style_preset": "Photographic"}, "photographic"),
            ({"clip_guidance_preset": "fast-blue"}, "FAST_BLUE"),
        ],
    )
    def test_a_wrong_name_finds_the_right_one(self, parameters, meant):
        """Names are spelt as the service does; another spelling finds them."""
        [text] = complaints(parameters)
        assert f'did you mean "{meant}"?' in text

    @pytest.mark.parametrize(
        ("text_prompts", "key", "words"),
        [
            ([], (), "a list of one or more"),
            ("a cat", (), "a list of one or more"),
            (["a cat"], (0,), "a mapping of text, weight"),
            ([{"weight": 1}], (0, "text"), "is missing"),
            ([{"text": " "}], (0, "text"), "is empty"),
            ([{"text": "x" * 2001}], (0, "text"), "2,001 characters"),
            ([{"text": "x", "weight": "1"}], (0, "weight"), "a finite number"),
            ([{"text": "x", "weight": True}], (0, "weight"), "a finite number"),
            ([{"text": "x", "weight": float("inf")}], (0, "weight"), "a finite number"),
            ([{"text": "x"}, {"text": "y", "wieght": 1}], (1, "wieght"), 'did you mean "weight"?'),
        ],
    )
    def test_each_text_prompt_is_checked_in_its_place(self, text_prompts, key, words):
        """The key of a problem leads to the member and its field."""
        [problem] = sdxl.problems(V1, NOTHING, {"text_prompts": text_prompts})
        assert problem.key == ("text_prompts", *key)
        assert words in problem.text

    @pytest.mark.parametrize(
        ("prompts", "parameters", "key", "own"),
        [
            (CAT, {}, "prompt", True),
            (Prompts(prompt=None, negative_prompt="blur"), {}, "negative_prompt", True),
            (NOTHING, {"negative_prompt": "blur"}, "negative_prompt", False),
        ],
    )
    def test_text_prompts_stand_alone(self, prompts, parameters, key, own):
        """A prompt or negative prompt beside them is refused: which one counts would be a guess."""
        [problem] = sdxl.problems(V1, prompts, {"text_prompts": WEIGHTED, **parameters})
        assert (problem.key, problem.of_prompts) == ((key,), own)
        assert 'cannot stand beside "text_prompts"' in problem.text

    def test_a_prompt_is_shorter_here(self):
        """SDXL takes 2,000 characters where Stable Image takes 10,000."""
        assert complaints({}, Prompts(prompt="é" * 2000, negative_prompt="é" * 2000)) == []
        [text] = complaints({}, Prompts(prompt="x" * 2001, negative_prompt=None))
        assert text == '"prompt" has 2,001 characters; at most 2,000 fit'

    @pytest.mark.parametrize(
        ("parameters", "key", "words"),
        [
            ({"image_strength": 0.5}, "image_strength", 'needs "init_image" beside it'),
            ({"init_image_mode": "STEP_SCHEDULE"}, "init_image_mode", 'needs "init_image"'),
            ({"init_image": IMAGE, "width": 1024, "height": 1024}, "width", "cannot stand beside"),
            ({"init_image": IMAGE, "mask_image": IMAGE}, "mask_image", 'needs "mask_source"'),
            (
                {"init_image": IMAGE, "mask_source": "MASK_IMAGE_BLACK"},
                "mask_source",
                'needs "mask_image"',
            ),
            (
                {"init_image": IMAGE, "mask_image": SMALL, "mask_source": "MASK_IMAGE_BLACK"},
                "mask_image",
                "has 512x512 pixels; allowed: 1024x1024",
            ),
        ],
    )
    def test_what_goes_together_is_checked(self, parameters, key, words):
        """An image to start from, its strength, its mask of the same size, and no other size."""
        problems = list(sdxl.problems(V1, CAT, parameters))
        assert problems[0].key == (key,)
        assert words in problems[0].text

    def test_the_alpha_of_the_image_is_a_mask_by_itself(self):
        """`INIT_IMAGE_ALPHA` needs no second image."""
        assert complaints({"init_image": IMAGE, "mask_source": "INIT_IMAGE_ALPHA"}) == []

    def test_extras_must_survive_json(self):
        """What JSON would refuse or change is refused: dates, NaN, number keys, cycles, depth."""
        cycle: dict[str, object] = {}
        cycle["self"] = cycle
        deep: dict[str, object] = {}
        for _ in range(5_000):
            deep = {"in": deep}
        odd = [date(2026, 1, 1), float("nan"), {1: 2}, b"x", cycle, deep, 10**5000, "\ud800", {1}]
        for value in odd:
            [text] = complaints({"extras": {"x": value}})
            assert text.startswith('"extras" cannot be sent as JSON')
        assert complaints({"extras": {"x": [1, 2.5, None, True, {"y": "é"}]}}) == []
