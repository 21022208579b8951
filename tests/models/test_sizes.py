"""Whether a picture has the size that was asked for."""

import pytest
from documented import every_family, few, right_requests
from hypothesis import given
from hypothesis import strategies as st

from batchgen.models import FAMILIES, missed_size

STABLE = {"prompt": "a cat", "seed": 7, "output_format": "png"}
TEXTS = {"text_prompts": [{"text": "a cat", "weight": 1}], "seed": 7}


@pytest.mark.parametrize(
    ("more", "size", "missed"),
    [
        ({"aspect_ratio": "16:9"}, (1344, 768), None),
        ({"aspect_ratio": "16:9"}, (1536, 864), None),
        ({"aspect_ratio": "21:9"}, (1536, 640), None),
        ({"aspect_ratio": "4:5"}, (896, 1088), None),
        ({"aspect_ratio": "16:9"}, (1024, 1024), "16:9"),
        ({"aspect_ratio": "16:9"}, (768, 1344), "16:9"),
        ({"aspect_ratio": "3:2"}, (1344, 768), "3:2"),
        ({}, (1024, 1024), None),
        ({}, (1216, 832), "1:1"),
    ],
)
def test_a_shape_that_was_asked_for_by_its_ratio(more, size, missed):
    """The size in pixels is the service's business, the shape is not."""
    assert missed_size({**STABLE, **more}, "stable-image", size) == missed


@pytest.mark.parametrize(
    ("more", "size", "missed"),
    [
        ({"width": 1344, "height": 768}, (1344, 768), None),
        ({"width": 1344, "height": 768}, (1536, 864), "1344x768"),
        ({"width": 1024, "height": 1024}, (512, 512), "1024x1024"),
        ({}, (512, 512), None),
        ({}, (1024, 512), "1024:1024"),
    ],
)
def test_a_size_that_was_asked_for_in_pixels(more, size, missed):
    """It is that size and no other; where none was asked for, any square is right."""
    assert missed_size({**TEXTS, **more}, "sdxl", size) == missed


@every_family
@few
@given(data=st.data())
def test_the_shape_of_any_request_is_that_of_itself(name, data):
    """A picture of exactly the shape that was asked for is never warned of."""
    model, prompts, parameters = data.draw(right_requests(name))
    body = FAMILIES[name].build(model, prompts, parameters, 7)
    assert missed_size(body, name, FAMILIES[name].parts(body).shape or (1, 9)) is None
