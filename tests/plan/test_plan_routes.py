"""Routes serve every model of the job, and no others."""

import pytest

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import Item, Job, parse

CORE = "stability.stable-image-core-v1:1"
ULTRA = "stability.stable-image-ultra-v1:1"
SD3_5 = "stability.sd3-5-large-v1:0"


def job_of(*routes, **changes):
    given = {"name": "catalog", "endpoint": "simulator", "model": CORE, "prompt": "a mug"}
    return Job(**{"items": (Item(id="mug"), Item(id="lamp")), **given, **changes}, routes=routes)


def route(profile, *models, region="us-west-2", **called):
    """A route that serves these models, or all."""
    served = dict.fromkeys(models, f"us.{profile}")
    return {"profile": profile, "region": region, "models": served | called.get("own", {})}


def complaints(*routes, **changes):
    with pytest.raises(JobError) as error:
        plan.check(job_of(*routes, **changes))
    return str(error.value).splitlines()


def test_every_model_needs_a_route_that_serves_it():
    """Fallback models too, and those of single items."""
    items = [Item(id="a"), Item(id="b", model=ULTRA)]
    missing = "job catalog: routes: none of them serves {}: name it under models of one of them, "
    missing += "or leave models out of one"

    assert complaints(route("a", CORE), items=items, fallback=[SD3_5]) == [
        missing.format(ULTRA),
        missing.format(SD3_5),
    ]
    shared = route("a", CORE), route("b", ULTRA, SD3_5)
    assert plan.check(job_of(*shared, items=items, fallback=[SD3_5])).tasks == 2
    one_for_all = route("a", CORE), route("b")
    assert plan.check(job_of(*one_for_all, items=items, fallback=[SD3_5])).tasks == 2


def test_a_route_must_not_name_what_no_item_comes_to():
    """With the nearest name, as it is probably a slip of the pen."""
    (only,) = complaints(route("a"), route("b", CORE, SD3_5), fallback=[ULTRA])
    assert only.startswith(f"job catalog: routes[1].models.{SD3_5}: no model of this job has that")
    (only,) = complaints(route("a"), route("b", CORE[:-1] + "2"))
    assert only.endswith(f'no model of this job has that name; did you mean "{CORE}"?')


def test_a_model_that_is_wrong_is_not_said_to_be_without_a_route():
    """One mistake, one complaint."""
    (only,) = complaints(route("a", CORE), fallback=["stability.nothing"])

    assert only.startswith("job catalog: fallback[0]: ")
    assert len(complaints(route("a", "nope"), model="nope")) == 1


def test_a_region_that_does_not_serve_a_model_is_a_complaint_about_the_route():
    """Only where it is called by its own id, and only of AWS."""
    routes = [
        route("a"),
        route("b", region="eu-west-1"),
        route("c", CORE, region="eu-west-1"),
        route("d", region="us-east-1", own={ULTRA: ULTRA}),
    ]
    job = job_of(*routes, fallback=[ULTRA])

    with pytest.raises(JobError) as caught:
        plan.check(job, against_aws=True)
    advice = "choose another Region, or list under models what this route serves"
    assert [(it.path, it.text) for it in caught.value.complaints] == [
        (("routes", 1, "region"), f"{CORE} is in us-west-2, not in eu-west-1: {advice}"),
        (("routes", 1, "region"), f"{ULTRA} is in us-west-2, not in eu-west-1: {advice}"),
        (("routes", 3, "region"), f"{ULTRA} is in us-west-2, not in us-east-1: {advice}"),
    ]
    assert plan.check(job).warnings == ()


def test_without_routes_the_region_of_the_job_is_the_one_that_is_wrong():
    """Fallback models count, and the file is named with the line; a profile is called anywhere."""
    text = f"""\
name: n
model: us.{CORE}
region: eu-west-1
prompt: p
fallback: [{SD3_5}]
items: [{{id: a}}]
"""
    with pytest.raises(JobError) as caught:
        plan.check(parse("j.yaml", text.encode()))
    (found,) = caught.value.complaints
    assert (found.line, found.path) == (3, ("region",))
    assert found.text == f"{SD3_5} is in us-west-2, not in eu-west-1: choose another Region"
    plan.check(parse("j.yaml", text.encode()), against_aws=False)
