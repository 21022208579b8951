"""One mistake hides no other: what can be judged is judged, and what only follows is not said."""

import pytest

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import parse

CORE = "stability.stable-image-core-v1:1"


def wrong(*lines):
    """(line, key, text) of each complaint of `validate`."""
    with pytest.raises(JobError) as caught:
        plan.check(parse("j.yaml", "\n".join(lines).encode(), defer=True))
    return [(it["line"], it["key"], it["text"]) for it in caught.value.to_json()]


def places(*lines):
    return [(line, key) for line, key, _ in wrong(*lines)]


def test_a_misspelt_model_hides_no_other_complaint():
    """The rest is judged as if the nearest model stood there, of which nothing is said."""
    found = places(
        "name: a",
        f"model: {CORE.replace('image', 'imge')}",
        'prompt: "a {colour} mug"',
        "items:",
        "- {id: a}",
        '- {id: b, vars: {colour: red}, parameters: {aspect_ratio: "9:1"}}',
        "- {id: b, vars: {colour: red}}",
    )
    assert found == [
        (2, "model"),
        (5, "items[0].vars"),
        (6, "items[1].parameters.aspect_ratio"),
        (7, "items[2].id"),
    ]


def test_a_model_that_is_like_none_hides_no_placeholder():
    found = places("name: a", "model: zzz", 'prompt: "{colour}"', "items: [{id: a}]")
    assert found == [(2, "model"), (3, "prompt")]


def test_a_wrong_item_hides_no_other_complaint():
    """Neither its own ones nor those of other items or of the job."""
    found = places(
        "name: a",
        f"model: {CORE}",
        "items:",
        '- {id: a, prompt: 3, seed: 0, parameters: {aspect_ratio: "9:1", nosuch: 1}}',
        "- lamp",
        "- {prompt: a lamp}",
        '- {id: c, prompt: "{nope}", parameters: {mode: x}}',
        "file_name: '{nope}'",
    )
    assert [line for line, _ in found] == [4, 4, 4, 4, 5, 6, 7, 7, 8]
    assert (7, "items[3].parameters.mode") in found


def test_a_misspelt_key_is_judged_as_the_one_that_was_meant():
    """Its value, and what would be missing without it; the line is that of the key as written."""
    found = wrong(
        "nam: a",
        f"model: {CORE}",
        'promt: "a {colour} mug"',
        "limts: {concurrency: 0}",
        "items: [{id: a, sede: 0, vars: {color: red}}]",
    )
    assert [(line, key) for line, key, _ in found] == [
        (1, "nam"),
        (3, "promt"),
        (3, "prompt"),
        (4, "limts"),
        (4, "limts.concurrency"),
        (5, "items[0].sede"),
        (5, "items[0].sede"),
    ]
    assert not [text for _, _, text in found if "is missing" in text]


def test_what_only_follows_is_not_said():
    """A wrong endpoint is not AWS, and a wrong name or text is not a missing one."""
    found = places(
        "name: a b",
        "endpoint: simulater",
        f"model: {CORE}",
        "prompt: 7",
        "simulator: {latency: 1}",
        "items: [{id: a}, {id: b, prompt: 8}]",
    )
    assert found == [(1, "name"), (2, "endpoint"), (4, "prompt"), (6, "items[1].prompt")]


def test_a_list_of_allowed_keys_is_said_once():
    """At the first key that is none, in the order of the file."""
    texts = [
        text
        for _, _, text in wrong(
            "name: a",
            f"model: {CORE}",
            "prompt: a mug",
            "xyz: 1",
            "zyx: 1",
            "items:",
            "- {id: a, xyz: 1, parameters: {xyz: 1}}",
            "- {id: b, zyx: 1, parameters: {zyx: 1}}",
            "- 7",
        )
    ]
    assert len(texts) == 7
    said = "\n".join(texts)
    assert said.count("name, endpoint, region") == 1
    assert said.count("id, prompt, negative_prompt") == 1
    assert said.count("aspect_ratio, mode") == 1


def test_equal_names_in_a_shared_mapping_are_said_where_they_stand():
    """What came by an alias is mended once, for all that use it."""
    found = places(
        "name: a",
        f"model: {CORE}",
        "prompt: a mug",
        "items:",
        "- {id: a, parameters: &p {1x: 3, seed: x}}",
        "- {id: b, parameters: *p}",
    )
    assert {line for line, _ in found} == {5}


def test_wrong_variables_hide_no_other_complaint():
    """Of an item, of the job, or of a matrix."""
    item = '- {id: b, prompt: "{", parameters: {mode: x}}'
    for wrong_key, where in (("vars: blue", "vars"), ("matrix: {colour: red}", "matrix.colour")):
        found = places(
            "name: a",
            f"model: {CORE}",
            'prompt: "{colour}"',
            wrong_key,
            "items:",
            "- {id: a}",
            item,
        )
        assert found == [
            (4, where),
            (7, "items[1].prompt"),
            (7, "items[1].parameters.mode"),
        ]
    found = places(
        "name: a", f"model: {CORE}", 'prompt: "{colour}"', "items:", "- {id: a, vars: blue}", item
    )
    assert found == [
        (5, "items[0].vars"),
        (6, "items[1].prompt"),
        (6, "items[1].parameters.mode"),
    ]
