"""What is peculiar to Stable Image: Core, Ultra, SD3 Large and SD3.5 Large."""

import json
from decimal import Decimal

import pytest
from documented import IMAGE, image

from batchgen.models import (
    LifeCycle,
    Prompts,
    ReplyError,
    UnusableImage,
    find,
    stable_image,
)

CAT = Prompts(prompt="a cat", negative_prompt=None)
CORE = find("stability.stable-image-core-v1:1")
ULTRA = find("stability.stable-image-ultra-v1:1")
SD3_5 = find("stability.sd3-5-large-v1:0")
SD3 = find("stability.sd3-large-v1:0")
FILTER = "Filter reason: output image"
ONE, TWO = "MQ==", "Mg=="


def complaints(parameters, model=CORE, prompts=CAT):
    """The texts of all problems."""
    return [problem.text for problem in stable_image.problems(model, prompts, parameters)]


def parsed(**reply):
    """What the family makes of a body with these keys."""
    return stable_image.parse(json.dumps(reply).encode())


class TestFacts:
    @pytest.mark.parametrize(
        ("model_id", "price", "quota", "life_cycle", "formats"),
        [
            ("stability.stable-image-core-v1:1", "0.04", 90, "active", ("png", "jpeg", "webp")),
            ("stability.stable-image-core-v1:0", "0.04", 90, "retired", ("png", "jpeg", "webp")),
            ("stability.stable-image-ultra-v1:1", "0.14", 10, "active", ("png", "jpeg")),
            ("stability.stable-image-ultra-v1:0", "0.14", 10, "retired", ("png", "jpeg")),
            ("stability.sd3-5-large-v1:0", "0.08", 15, "active", ("png", "jpeg", "webp")),
            ("stability.sd3-large-v1:0", "0.08", 15, "retired", ("png", "jpeg")),
        ],
    )
    def test_each_model_is_what_aws_publishes(self, model_id, price, quota, life_cycle, formats):
        """Price, quota, state and formats of November 2026; all of them live in one Region."""
        model = find(model_id)
        assert (model.price_usd, model.requests_per_minute) == (Decimal(price), quota)
        assert (model.life_cycle, model.end_of_life) == (LifeCycle(life_cycle), None)
        assert (model.output_formats, model.regions) == (formats, ("us-west-2",))

    def test_only_sd3_5_ends_its_seeds_one_earlier(self):
        """SD3.5 Large takes seeds to 4,294,967,294, the others to 4,294,967,295."""
        largest = {model.id: model.seed_max for model in stable_image.MODELS.values()}
        assert largest.pop("stability.sd3-5-large-v1:0") == 4_294_967_294
        assert set(largest.values()) == {4_294_967_295}


class TestBuild:
    def test_the_format_is_always_sent_and_the_mode_only_if_given(self):
        """What the service would choose by itself is not documented; Core 1.1 dropped `mode`."""
        body = stable_image.build(CORE, CAT, {}, 7)
        assert body == {"prompt": "a cat", "seed": 7, "output_format": "png"}
        body = stable_image.build(CORE, CAT, {"mode": "text-to-image", "output_format": "webp"}, 7)
        assert body == {
            "prompt": "a cat",
            "seed": 7,
            "output_format": "webp",
            "mode": "text-to-image",
        }

    def test_an_image_stands_in_the_body_by_path_and_hash(self):
        """SD3.5 is told the mode, as its page asks; Ultra's page knows no such mode."""
        from_image = {"image": IMAGE, "strength": 1.0}
        named = {"path": "photos/mug.png", "sha256": "ab" * 32}
        body = {"prompt": "a cat", "seed": 7, "output_format": "png", "image": named, "strength": 1}
        assert stable_image.build(ULTRA, CAT, from_image, 7) == body
        assert stable_image.build(SD3_5, CAT, from_image, 7) == body | {"mode": "image-to-image"}

    def test_the_format_asked_for_is_read_from_the_request(self):
        """A request's format is the one in its body."""
        for name in ("png", "jpeg", "webp"):
            body = stable_image.build(CORE, CAT, {"output_format": name}, 7)
            assert stable_image.image_format(body) == name


class TestProblems:
    @pytest.mark.parametrize(
        ("ratio", "meant"),
        [
            ("1:2", "9:16"),
            ("16x9", "16:9"),
            ("16:10", "3:2"),
            ("4:3", "5:4"),
            ("3/4", "4:5"),
            ("1:100", "9:21"),
            ("0:1", "1:1"),
            ("32:9", "21:9"),
            ("1 : 1", "1:1"),
            ("16.9", "16:9"),
            (969, "16:9"),
            (61, "1:1"),
        ],
    )
    def test_a_wrong_ratio_finds_the_nearest_shape(self, ratio, meant):
        """Nearness is that of the picture; an unquoted ratio that YAML made a number counts."""
        [text] = complaints({"aspect_ratio": ratio})
        assert text.endswith(f'did you mean "{meant}"?')
        assert "allowed: 16:9, 1:1, 21:9, 2:3, 3:2, 4:5, 5:4, 9:16, 9:21;" in text

    @pytest.mark.parametrize(
        "ratio", ["wide", "", None, 1.5, True, [16, 9], -61, 0, 3600, [10**5000]]
    )
    def test_what_is_no_ratio_gets_the_list_only(self, ratio):
        """Nothing is guessed from what has no shape."""
        [text] = complaints({"aspect_ratio": ratio})
        assert "did you mean" not in text

    def test_a_number_too_long_to_write_is_refused_like_any_other(self):
        """Python would not even print it."""
        [text] = complaints({"aspect_ratio": 10**5000})
        assert text.startswith('"aspect_ratio" cannot be a number too long to show; allowed: ')

    def test_of_two_formats_the_nearest_is_named(self):
        """Ultra makes PNG and JPEG."""
        [text] = complaints({"output_format": "jpg"}, find("stability.stable-image-ultra-v1:1"))
        assert text.endswith('allowed: png, jpeg; did you mean "jpeg"?')

    @pytest.mark.parametrize(("name", "meant"), [("PNG", "png"), ("jpg", "jpeg"), ("JPG", "jpeg")])
    def test_a_format_is_spelt_as_listed(self, name, meant):
        """Another case or spelling is refused with the name that is meant."""
        [text] = complaints({"output_format": name})
        assert text == (
            f'"output_format" cannot be "{name}"; allowed: png, jpeg, webp; did you mean "{meant}"?'
        )

    def test_where_one_name_is_allowed_nothing_else_was_meant(self):
        """Image-to-image is not a misspelt text-to-image, and Core has no other mode."""
        assert complaints({"mode": "image-to-image"}) == [
            '"mode" cannot be "image-to-image"; allowed: text-to-image'
        ]

    def test_a_format_belongs_to_the_model(self):
        """Ultra makes no webp; a profile or a custom id of it does not either."""
        for model_id in ("stability.stable-image-ultra-v1:1", "us.stability.sd3-large-v1:0"):
            [text] = complaints({"output_format": "webp"}, find(model_id))
            assert text.startswith('"output_format" cannot be "webp"; allowed: png, jpeg')
        assert complaints({"output_format": "webp"}, find("mine", "stable-image")) == []

    @pytest.mark.parametrize(
        ("model", "parameters", "words"),
        [
            (CORE, {"image": IMAGE}, 'Core 1.1 does not take "image" (Stable Image Ultra 1.1, '),
            (ULTRA, {"strength": 0.5}, '"strength" needs "image" beside it'),
            (ULTRA, {"mode": "image-to-image"}, '"image-to-image" needs "image" beside it'),
            (ULTRA, {"image": IMAGE, "mode": "text-to-image"}, 'cannot stand beside "image"'),
            (ULTRA, {"image": IMAGE, "aspect_ratio": "1:1"}, '"aspect_ratio" cannot stand beside'),
            (SD3_5, {"image": IMAGE}, '"strength" is missing'),
            (SD3_5, {"image": image(63, 64), "strength": 0}, "allowed: 64 or more pixels a side"),
            (SD3, {"image": image(640, 1537), "strength": 1}, "allowed: 640 to 1,536 pixels a s"),
            (ULTRA, {"image": image(4096, 2305)}, "allowed: at most 9,437,184 pixels in all"),
            (ULTRA, {"image": image(64, 64, "gif")}, "allowed: jpeg, png, webp"),
            (ULTRA, {"image": UnusableImage("there is no file")}, '"image": there is no file'),
            (ULTRA, {"image": 5}, "allowed: the path of an image file"),
            (ULTRA, {"image": image(64, 64, "png", 18_749_000)}, None),
            (ULTRA, {"image": image(64, 64, "png", 18_750_000)}, "at most 25,000,000 can be sent"),
            (ULTRA, {"image": image(4096, 2304)}, None),
            (ULTRA, {"image": IMAGE}, None),
            (SD3_5, {"image": IMAGE, "strength": 0.5, "mode": "image-to-image"}, None),
        ],
    )
    def test_image_to_image_is_checked(self, model, parameters, words):
        """The image's facts, what needs it, what it bars, and the size of the whole request."""
        texts = complaints(parameters, model)
        assert len(texts) == (words is not None)
        assert words is None or words in texts[0]

    def test_a_text_of_full_length_fits(self):
        """10,000 characters are the limit of either text, counted as characters, not bytes."""
        long = "é" * 10_000
        prompts = Prompts(prompt=long, negative_prompt=long)
        assert complaints({"negative_prompt": long}, prompts=prompts) == []


class TestParse:
    def test_absent_reasons_are_null(self):
        """Without finish reasons every image is good."""
        for reply in ({"images": [ONE]}, {"images": [ONE], "finish_reasons": None}):
            parsed_reply = parsed(**reply)
            assert parsed_reply.finish_reasons == (None,)
            assert [image.data for image in parsed_reply.images] == [b"1"]

    def test_a_refusal_may_come_without_images_and_seeds(self):
        """AWS's own example of a filtered reply holds finish reasons only."""
        for extra in ({}, {"images": None, "seeds": None}, {"images": [], "seeds": [0]}):
            reply = parsed(finish_reasons=["Filter reason: prompt"], **extra)
            assert (reply.filtered, reply.images, reply.withheld) == (True, (), 0)

    @pytest.mark.parametrize(
        ("reply", "seeds"),
        [
            ({"images": [ONE, TWO, ONE], "finish_reasons": [None, FILTER, None]}, [5, 6, 7]),
            ({"images": [ONE, ONE], "finish_reasons": [None, FILTER, None]}, [5, 6, 7]),
            ({"images": [ONE, ONE], "finish_reasons": [None, FILTER, None]}, [5, 7]),
        ],
    )
    def test_of_a_partly_filtered_reply_the_good_images_stay(self, reply, seeds):
        """Each with its own seed, whether or not the refused ones hold a place in the lists."""
        kept = parsed(**reply, seeds=seeds)
        assert [(image.data, image.seed) for image in kept.images] == [(b"1", 5), (b"1", 7)]
        assert kept.finish_reasons == (None, FILTER, None)
        assert not kept.filtered
        assert kept.withheld == (len(reply["images"]) == 3)

    @pytest.mark.parametrize("seeds", [[], [1, 2, 3], "12", 7, {"a": 1}, [None]])
    def test_seeds_that_fit_no_image_are_unknown(self, seeds):
        """A list of another length, or no list, says nothing about the image."""
        [image] = parsed(images=[ONE], finish_reasons=[None], seeds=seeds).images
        assert image.seed is None

    @pytest.mark.parametrize(
        "reply",
        [
            {"images": [ONE, TWO], "finish_reasons": [FILTER]},
            {"images": [ONE, TWO], "finish_reasons": [None]},
            {"images": [ONE], "finish_reasons": [None, None]},
        ],
    )
    def test_lists_that_do_not_fit_are_a_reply_error(self, reply):
        """An image is not kept where the reason beside it may be another one's."""
        with pytest.raises(ReplyError, match="which belongs to which is not clear"):
            parsed(**reply)

    @pytest.mark.parametrize(
        "reply",
        [
            {"images": ONE},
            {"images": {"0": ONE}},
            {"images": [ONE], "finish_reasons": "SUCCESS"},
            {"images": [ONE], "finish_reasons": [0]},
            {"finish_reasons": [None]},
            {"images": [None], "finish_reasons": [None]},
            {"images": [], "finish_reasons": []},
        ],
    )
    def test_wrong_types_and_nothing_at_all_are_reply_errors(self, reply):
        """A list that is none, a reason that is no text, neither image nor reason."""
        with pytest.raises(ReplyError):
            parsed(**reply, seeds=[1])


def test_half_of_a_character_in_a_reason_is_text():
    """The image beside it was paid for: a reply that some parsers refuse is no broken one."""
    for escaped in (r"\ud800", r"Filter reason: \udfff prompt"):
        body = b'{"seeds": [1], "finish_reasons": ["%s"], "images": [null]}' % escaped.encode()
        reply = stable_image.parse(body)
        assert reply.finish_reasons == (json.loads(f'"{escaped}"'),)
        assert reply.filtered is escaped.startswith("Filter")
