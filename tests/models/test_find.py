"""Which model an id, an inference profile or an ARN means."""

from dataclasses import replace

import pytest

from batchgen.models import FAMILIES, MODELS, UnknownModel, find

CORE = "stability.stable-image-core-v1:1"
XL = "stability.stable-diffusion-xl-v1"
ACCOUNT = "arn:aws:bedrock:us-west-2:123456789012"
PROVISIONED = f"{ACCOUNT}:provisioned-model/a1b2c3d4e5f6"


class TestNamesThatTell:
    def test_a_known_id_is_its_model(self):
        """The facts of each known id are given as they stand."""
        assert all(find(model_id) is model for model_id, model in MODELS.items())

    @pytest.mark.parametrize("prefix", ["us.", "us-gov.", "eu.", "apac.", "global."])
    @pytest.mark.parametrize("arn", ["", f"{ACCOUNT}:inference-profile/"])
    def test_a_profile_has_the_facts_of_its_model(self, arn, prefix):
        """All but the id, which stays as the job named it, and the Regions, which it widens."""
        named = f"{arn}{prefix}{CORE}"
        assert find(named) == replace(MODELS[CORE], id=named, regions=())

    @pytest.mark.parametrize("partition", ["aws", "aws-us-gov", "aws-cn"])
    def test_a_foundation_model_arn_is_its_model(self, partition):
        """Only the id differs: the Region of such an ARN is the model's own."""
        named = f"arn:{partition}:bedrock:us-west-2::foundation-model/{XL}"
        assert find(named) == replace(MODELS[XL], id=named)

    def test_naming_the_right_family_too_changes_nothing(self):
        """A family beside an id that tells by itself is allowed where it is right."""
        assert find(CORE, "stable-image") is MODELS[CORE]
        assert find(CORE, "stability.sd3-5-large-v1:0") is MODELS[CORE]


class TestNamesThatDoNotTell:
    @pytest.mark.parametrize(
        "named",
        [
            PROVISIONED,
            f"{ACCOUNT}:application-inference-profile/abc123",
            f"{ACCOUNT}:custom-model/mine/abc",
            "stability.stable-image-core-v9:0",
            "a1b2c3",
        ],
    )
    def test_a_family_makes_any_id_usable(self, named):
        """With a family its generic facts hold; with a known id, all the facts of that model."""
        assert find(named, "sdxl") == FAMILIES["sdxl"].generic(named)
        assert find(named, CORE) == replace(MODELS[CORE], id=named, regions=())
        with pytest.raises(UnknownModel, match="name its family"):
            find(named)


class TestComplaints:
    @pytest.mark.parametrize(
        ("model_id", "family", "words"),
        [
            ("stability.stable-image-core", None, [f'did you mean "{CORE}"?', "name its family"]),
            ("stability.stable_image_core-v1:1", None, [f'did you mean "{CORE}"?']),
            ("amazon.nova-canvas-v1:0", None, ["not a model that batchgen knows", CORE]),
            (f"uk.{CORE}", None, [f'did you mean "{CORE}"?']),
            (f"{ACCOUNT}:foundation-model/{CORE}x", None, [f'did you mean "{CORE}"?']),
            (
                PROVISIONED,
                None,
                ["does not tell which model", "stable-image or sdxl or image-services"],
            ),
            (PROVISIONED, "sdlx", ['"sdlx" is no model family', 'did you mean "sdxl"?']),
            (PROVISIONED, "", ['"" is no model family', "stable-image, sdxl, image-services"]),
            (CORE, "sdxl", ["is of the family stable-image, not sdxl"]),
            (
                "arn:aws:bedrock:us-west-2",
                "sdxl",
                ["is no ARN of a Bedrock model", "expected arn:"],
            ),
            (f"arn:aws:s3:::bucket/{CORE}", None, ["is no ARN of a Bedrock model"]),
            ("", "sdxl", ['"" is no model id']),
            ("two words", "sdxl", ["is no model id", "only letters"]),
            ("a\x1b[31m\n", "sdxl", [r'"a\x1b[31m\n" is no model id']),
            ("x" * 2049, "sdxl", ["is no model id"]),
        ],
    )
    def test_a_complaint_says_what_to_name_instead(self, model_id, family, words):
        """The name as given and harmless, the nearest known one, and the families."""
        with pytest.raises(UnknownModel) as caught:
            find(model_id, family)
        assert str(caught.value).isprintable()
        for word in words:
            assert word in str(caught.value)
