from batchgen import plan
from batchgen.job import Item, Job

SDXL = "stability.stable-diffusion-xl-v1"
OWN = [{"text": "a forest", "weight": 1.0}, {"text": "fog", "weight": 0.5}]


def test_an_items_own_text_prompts_replace_the_jobs_prompt():
    """The job's prompt is for items that bring none, and text prompts are a prompt."""
    job = Job(
        name="mixed",
        endpoint="simulator",
        model=SDXL,
        prompt="a castle",
        items=[Item(id="plain"), Item(id="own", parameters={"text_prompts": OWN})],
    )

    plain, own = plan.expand(job)

    assert plain.request["text_prompts"] == [{"text": "a castle", "weight": 1}]
    assert own.request["text_prompts"] == OWN
