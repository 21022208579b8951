"""What a job file may say of its routes: each slip has its line, its key and what is allowed."""

import pytest

from batchgen import job
from batchgen.errors import JobError

HEAD = "name: a\nmodel: m\nitems: [{id: a}]\n"
ROLE = "arn:aws:iam::111122223333:role/night"
OTHER = "arn:aws:iam::444455556666:role/night"


def parsed(*routes):
    """The job with these routes, each on a line of its own, from line 5 on."""
    text = HEAD + "routes:\n" + "".join(f"- {route}\n" for route in routes)
    return job.parse("j.yaml", text.encode())


def wrong(*routes):
    """(path, line, text) of each complaint."""
    with pytest.raises(JobError) as caught:
        parsed(*routes)
    return [(each.path, each.line, each.text) for each in caught.value.complaints]


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("region", "us", "a Region such as us-west-2"),
        ("region", "3", "a Region such as us-west-2"),
        ("requests_per_minute", "0", "above 0"),
        ("requests_per_minute", "-5", "above 0"),
        ("requests_per_minute", ".nan", "above 0"),
        ("requests_per_minute", "fast", "auto"),
        ("concurrency", "0", "from 1 to 1,000"),
        ("concurrency", "1.5", "from 1 to 1,000"),
        ("role", "night", "the ARN of a role, such as arn:aws:iam::123456789012:role/images"),
        ("role", "arn:aws:iam::12345:role/x", "the ARN of a role"),
        ("role", "arn:aws:iam::123456789012:user/x", "the ARN of a role"),
        ("profile", '""', "the name of an AWS profile"),
        ("profile", "3", "quotes"),
        ("name", '""', "1 to 100 letters"),
        ("name", "a b", "1 to 100 letters"),
        ("models", "[]", "a mapping"),
    ],
)
def test_a_wrong_value(key, value, allowed):
    """Path, line and what is allowed."""
    ((path, line, text),) = wrong("{profile: a}", f"{{{key}: {value}}}")
    assert (path, line) == (("routes", 1, key), 6)
    assert allowed in text


def test_an_unknown_key_names_the_nearest():
    """As everywhere in a job."""
    ((path, line, text),) = wrong("{profile: a}", "{profil: b}")
    assert (path, line) == (("routes", 1, "profil"), 6)
    assert 'did you mean "profile"?' in text


@pytest.mark.parametrize("written", ["us-west-2", "3", "~", "[]", "[profile]"])
def test_a_route_that_is_no_mapping(written):
    """What a route is made of is named."""
    ((path, line, text),) = wrong("{profile: a}", written)
    assert (path, line) == (("routes", 1), 6)
    assert "profile" in text


@pytest.mark.parametrize("written", ["[]", "{}", "night", "~", "3"])
def test_no_list_of_routes(written):
    """Leaving the key out is how a job has none."""
    with pytest.raises(JobError) as caught:
        job.parse("j.yaml", (HEAD + f"routes: {written}\n").encode())
    (complaint,) = caught.value.complaints
    assert (complaint.path, complaint.line) == (("routes",), 4)
    assert any(words in complaint.text for words in ("a list", "no value", "name at least one"))


def test_a_name_stands_once():
    """It is what messages and records call a route."""
    found = wrong("{name: x, profile: a}", "{name: y, profile: b}", "{name: x, profile: c}")
    text = '"x" is the name of routes[0] already: give this route another one'
    assert found == [(("routes", 2, "name"), 7, text)]


def test_a_name_that_nobody_gave_stands_once_too():
    """Routes without a name are called by account and Region."""
    routes = (f"{{role: '{ROLE}', models: {{m: {called}}}}}" for called in "xy")
    ((path, line, text),) = wrong(*routes)
    assert (path, line) == (("routes", 1, "name"), 6)
    assert text.startswith('"111122223333@us-west-2" is the name of routes[0] already: give this')


def test_an_account_in_one_region_has_one_quota():
    """Two routes by one profile, or by roles of one account, take it from each other."""
    for routes in (
        ("{profile: a}", "{profile: a, region: us-west-2}"),
        (f"{{role: '{ROLE}'}}", f"{{role: '{ROLE}-2'}}"),
        ("{name: a}", "{name: b}"),
    ):
        ((path, line, text),) = wrong(*routes)
        assert (path, line) == (("routes", 1), 6)
        assert text.startswith("is the same account and Region as routes[0]: they share one quota")


def test_what_has_quotas_of_its_own():
    """Other profiles, other accounts, other Regions, other models or profiles of models."""
    made = parsed(
        "{}",
        "{profile: a}",
        "{profile: b}",
        "{profile: a, region: us-east-1}",
        f"{{role: '{ROLE}'}}",
        f"{{role: '{OTHER}', models: {{m: x}}}}",
        f"{{name: own, role: '{OTHER}', models: {{m: y}}}}",
    )
    assert [route.name for route in made.effective_routes[:5]] == [
        "default@us-west-2",
        "a@us-west-2",
        "b@us-west-2",
        "a@us-east-1",
        "111122223333@us-west-2",
    ]


def test_all_that_is_wrong_comes_at_once():
    """From the top down."""
    found = wrong("{region: us}", "{concurrency: 0, role: x}", "{requests_per_minute: 0, nme: z}")
    assert [(path, line) for path, line, _ in found] == [
        (("routes", 0, "region"), 5),
        (("routes", 1, "role"), 6),
        (("routes", 1, "concurrency"), 6),
        (("routes", 2, "requests_per_minute"), 7),
        (("routes", 2, "nme"), 7),
    ]
