"""What is peculiar to the replies of SDXL."""

import json

import pytest

from batchgen.models import ReplyError, sdxl


def parsed(**reply):
    """What the family makes of a body with these keys."""
    return sdxl.parse(json.dumps(reply).encode())


def artifact(reason="SUCCESS", image="MQ==", seed=7):
    """One of a reply's artifacts."""
    return {"seed": seed, "base64": image, "finishReason": reason}


class TestParse:
    def test_a_blurred_image_of_a_filtered_artifact_is_not_kept(self):
        """CONTENT_FILTERED still carries an image; it counts as withheld."""
        reply = parsed(result="success", artifacts=[artifact("CONTENT_FILTERED")])
        assert (reply.filtered, reply.images, reply.withheld) == (True, (), 1)

    def test_of_several_artifacts_the_good_ones_stay(self):
        """All finish reasons are listed in the service's words."""
        reply = parsed(
            artifacts=[artifact("ERROR", None), artifact(), artifact("CONTENT_FILTERED")]
        )
        assert [image.finish_reason for image in reply.images] == ["SUCCESS"]
        assert reply.finish_reasons == ("ERROR", "SUCCESS", "CONTENT_FILTERED")
        assert not reply.filtered

    def test_moderation_outweighs_a_failure(self):
        """Where nothing is kept, a filter among the reasons makes it final."""
        reply = parsed(artifacts=[artifact("ERROR"), artifact("CONTENT_FILTERED")])
        assert (reply.filtered, reply.inference_error) == (True, False)

    @pytest.mark.parametrize(
        ("error", "reason", "filtered"),
        [
            (
                {"id": "1", "name": "invalid_prompts", "message": "contains filtered words"},
                "invalid_prompts: contains filtered words",
                True,
            ),
            ({"name": "server_error", "message": None}, "server_error", False),
            ("out of memory", "out of memory", False),
            ({}, "error", False),
            (None, "error", False),
            ([1], "error", False),
        ],
    )
    def test_an_error_instead_of_artifacts_is_a_reason(self, error, reason, filtered):
        """The error's own words tell moderation from a failed generation."""
        reply = parsed(result="error", error=error)
        assert reply.finish_reasons == (reason,)
        assert (reply.filtered, reply.inference_error) == (filtered, not filtered)

    @pytest.mark.parametrize(
        "reply",
        [
            {"result": "success"},
            {"result": "success", "artifacts": []},
            {"artifacts": artifact()},
            {"artifacts": ["MQ=="]},
            {"artifacts": [None]},
            {"artifacts": [{}]},
            {"artifacts": [artifact(["SUCCESS"])]},
            {"artifacts": [artifact(image=None)]},
        ],
    )
    def test_wrong_types_and_nothing_at_all_are_reply_errors(self, reply):
        """No artifacts, artifacts that are none, a reason that is no text."""
        with pytest.raises(ReplyError):
            parsed(**reply)
