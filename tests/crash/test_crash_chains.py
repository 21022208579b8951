"""A kill in the middle of a chain: what is there goes on record, and the rest is made once."""

from collections import Counter

from crashing import lines_of
from interposer import Fault

CORE = "stability.stable-image-core-v1:1"
STEPS = [
    {"id": "generate"},
    {
        "id": "cut",
        "model": "us.stability.stable-image-remove-background-v1:0",
        "parameters": {"image": "@generate"},
    },
    {
        "id": "large",
        "model": "us.stability.stable-fast-upscale-v1:0",
        "parameters": {"image": "@cut"},
    },
]
POINTS = 9


def scene_of(yard):
    items = [{"id": "mug", "prompt": "a blue mug", "seed": 11}]
    return yard.scene([], items=items, steps=STEPS)


def test_a_kill_at_any_step_of_a_chain(yard):
    """At most the call in flight is paid again; every record has the image it was made of."""
    steps = len(scene_of(yard).run().steps)
    for step in range(1, steps + 1, max(1, steps // POINTS)):
        scene = scene_of(yard)
        scene.run(Fault(step=step))
        before = scene.charges()
        told = scene.run()
        charges = scene.charges()
        posts = Counter(charge.body_sha256 for charge in charges)

        assert told.summary["exit_code"] == 0, step
        assert len(posts) == 3, step
        assert len(charges) <= 4, step
        again = [body for body, times in posts.items() if times > 1]
        assert all(before and body == before[-1].body_sha256 for body in again), step
        records = [line for line in lines_of(scene.folder) if line and line["kind"] == "record"]
        made = {record["task_id"]: record["images"][0]["sha256"] for record in records}
        taken = [r["request"]["image"] for r in records if "image" in r["request"]]
        assert len(taken) == 2, step
        assert all(image["sha256"] == made[image["task"]] for image in taken), step
        assert scene.run().summary["succeeded"] == 0
        assert len(scene.charges()) == len(charges)
        yard.discard(scene)
