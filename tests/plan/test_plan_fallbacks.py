"""Which models and prompts a task may fall back on, and that none of them is a surprise."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import Item, Job, parse

CORE = "stability.stable-image-core-v1:1"
ULTRA = "stability.stable-image-ultra-v1:1"
SD3 = "stability.sd3-large-v1:0"
SD3_5 = "stability.sd3-5-large-v1:0"
SDXL = "stability.stable-diffusion-xl-v1"
CUSTOM = "arn:aws:bedrock:us-west-2:123456789012:provisioned-model/abc"
PROMPT = "job catalog: on_filtered.fallback_prompt: "


def job_of(*items, **changes):
    given_ = {"name": "catalog", "endpoint": "simulator", "model": CORE, "prompt": "a mug"}
    return Job(**{**given_, **changes}, items=items or (Item(id="mug"), Item(id="lamp")))


def prompted(text, *items, **changes):
    """A job with a prompt to fall back on."""
    return job_of(*items, on_filtered={"fallback_prompt": text}, **changes)


def complaints(job, *, against_aws=None):
    with pytest.raises(JobError) as error:
        plan.check(job, against_aws=against_aws)
    return str(error.value).splitlines()


class TestExpand:
    def test_an_items_own_fallback_wins_and_its_own_model_is_none(self):
        """An empty list switches it off; the order is the job's."""
        items = [
            Item(id="a"),
            Item(id="b", fallback=[]),
            Item(id="c", fallback=[SDXL, CORE]),
            Item(id="d", model=SD3_5),
        ]
        tasks = plan.expand(job_of(*items, fallback=[ULTRA, SD3_5]))

        assert [t.fallback for t in tasks] == [(ULTRA, SD3_5), (), (SDXL,), (ULTRA,)]

    def test_a_job_that_says_nothing_has_no_fallback(self):
        """Each only when the job says so."""
        task = next(plan.expand(job_of()))

        assert (task.fallback, task.fallback_prompt) == ((), None)

    def test_the_fallback_prompt_has_the_items_placeholders_filled_in(self):
        """Live ones differ by variant; what it takes is among the task's variables."""
        item = Item(id="mug", vars={"thing": "cup", "colour": "red", "unused": "x"}, variants=2)
        job = prompted("{thing} {id} {variant} {seed} {model} {{x}}", item, seed=7)

        one, two = plan.expand(job)

        assert one.fallback_prompt == f"cup mug 1 7 {CORE} {{x}}"
        assert two.fallback_prompt == f"cup mug 2 8 {CORE} {{x}}"
        assert one.vars == {"thing": "cup"}
        assert one.request["prompt"] == "a mug"

    @given(
        fallback=st.lists(st.sampled_from([CORE, ULTRA, SD3_5, SDXL]), unique=True),
        own=st.none() | st.lists(st.sampled_from([CORE, ULTRA]), unique=True),
        text=st.sampled_from(["plain", "{id} {variant}", "{thing}"]),
        seed=st.sampled_from(["derived", 5]),
        prompt=st.sampled_from(["a mug", "a {thing} {variant}"]),
    )
    def test_ids_do_not_depend_on_any_of_it(self, fallback, own, text, seed, prompt):
        """A job that gets a fallback makes nothing again."""
        common = {"seed": seed, "prompt": prompt, "vars": {"thing": "cup"}, "variants": 3}
        plain = job_of(Item(id="a"), Item(id="b", model=SDXL), **common)
        items = [Item(id="a", fallback=own), Item(id="b", model=SDXL, fallback=own)]
        more = prompted(text, *items, **common, fallback=fallback)

        ids = [task.id for task in plan.expand(plain)]
        assert ids == [task.id for task in plan.expand(more)]
        assert ids == list(plan.task_ids(plain)) == list(plan.task_ids(more))

    def test_an_item_without_a_variable_of_the_prompt_is_raised_when_its_turn_comes(self):
        """As for any other prompt."""
        items = [Item(id="a", vars={"thing": "x"}), Item(id="b")]
        tasks = plan.expand(prompted("{thing}", *items))

        assert next(tasks).fallback_prompt == "x"
        with pytest.raises(JobError, match=r"on_filtered\.fallback_prompt needs it"):
            next(tasks)


class TestModels:
    def test_models_that_only_stand_in_are_told_apart(self):
        """They have no tasks and cost nothing until they are needed; their prices are the job's."""
        items = [Item(id="a"), Item(id="b", model=ULTRA)]
        summary = plan.check(job_of(*items, fallback=[ULTRA, SD3_5], prices={SD3_5: 0.5}))

        assert [each.model_id for each in summary.models] == [CORE, ULTRA]
        (only,) = summary.fallbacks
        assert (only.model_id, only.tasks, only.price_usd) == (SD3_5, 0, Decimal(0))
        assert only.model.price_usd == Decimal("0.5")
        assert summary.tasks == 2
        assert plan.check(job_of()).fallbacks == ()

    def test_a_fallback_that_no_item_can_come_to_needs_no_pace(self):
        """Every item brings its own list."""
        job = job_of(Item(id="a", fallback=[ULTRA]), fallback=[SD3_5])

        assert [each.model_id for each in plan.check(job).fallbacks] == [ULTRA]

    def test_the_price_of_any_fallback_may_be_given(self):
        """Of one that no item can come to, too."""
        profile = f"us.{SD3_5}"
        job = job_of(Item(id="a", fallback=[]), fallback=[profile], prices={profile: 1})

        assert plan.check(job).tasks == 1

    def test_an_unknown_model_is_told_where_it_stands(self):
        """With the nearest name, in the job's list and in an item's."""
        job = job_of(Item(id="a", fallback=[ULTRA, SD3_5[:-2]]), fallback=[CORE[:-2]])

        assert complaints(job) == [
            (
                f'job catalog: fallback[0]: "{CORE[:-2]}" is not a model that batchgen knows; did '
                f'you mean "{CORE}"? Otherwise name a known model and, under models of a route, '
                "what the service calls it"
            ),
            (
                'job catalog: items[0].fallback[1]: "stability.sd3-5-large-v1" is not a model '
                f'that batchgen knows; did you mean "{SD3_5}"? Otherwise name a known model and, '
                "under models of a route, what the service calls it"
            ),
        ]

    @pytest.mark.parametrize("name", ["arn:aws:nothing", "no/é"])
    def test_what_is_no_id_at_all_is_said_to_be_none(self, name):
        """In the words that any model has for it."""
        assert ": fallback[0]: " in complaints(job_of(fallback=[name]))[0]
        assert "is no " in complaints(job_of(fallback=[name]))[0]

    @pytest.mark.parametrize("family", ["stable-image", CORE])
    def test_an_id_that_does_not_tell_has_the_family_that_an_item_gives_it(self, family):
        """The job's own family is that of its own model alone."""
        items = [Item(id="a"), Item(id="b", model=CUSTOM, family=family)]

        assert plan.check(job_of(*items, fallback=[CUSTOM])).tasks == 2
        named = {"model": CUSTOM, "fallback": [CUSTOM]}
        items = [Item(id="a", model=CORE), Item(id="b")]
        assert plan.check(job_of(*items, **named, family=family)).tasks == 2
        items = [Item(id="a", model=CORE), Item(id="b", family=family)]
        assert plan.check(job_of(*items, **named)).tasks == 2
        (only,) = complaints(job_of(family=family, fallback=[CUSTOM]))
        assert f'fallback[0]: "{CUSTOM}" does not tell which model it runs: name a known' in only

    def test_a_budget_needs_the_price_of_every_fallback(self):
        """A call for it must not be a surprise."""
        items = [Item(id="a"), Item(id="b", model=CUSTOM, family="sdxl", fallback=[])]
        job = {"fallback": [CUSTOM], "limits": {"budget_usd": 5}}

        (only,) = complaints(job_of(*items, **job))
        assert f"limits.budget_usd: cannot be kept: nobody knows the price of {CUSTOM}" in only
        assert plan.check(job_of(*items, **job, prices={CUSTOM: 0.5})).tasks == 2
        profile = f"us.{SD3_5}"
        known = plan.check(job_of(fallback=[profile], prices={profile: 1}))
        assert known.fallbacks[0].model.price_usd == 1


class TestEndOfLife:
    def test_a_fallback_past_its_end_is_refused_by_aws_alone_and_unless_allowed(self):
        """Elsewhere it is a warning."""
        text = f"job catalog: fallback[1]: {SD3} is past its end of life and AWS refuses it: choose"

        (only,) = complaints(job_of(fallback=[ULTRA, SD3]), against_aws=True)
        assert only == f"{text} another one, or set allow_retired: true"
        for job, aws in (
            (job_of(fallback=[SD3]), None),
            (job_of(fallback=[SD3], allow_retired=True), True),
        ):
            (warning,) = plan.check(job, against_aws=aws).warnings
            assert warning == f"{SD3} is past its end of life: AWS refuses it"

    def test_a_fallback_past_its_end_is_told_where_it_stands_first(self):
        """The job's list comes before those of items."""
        items = [Item(id="a"), Item(id="b", fallback=[SD3])]

        (only,) = complaints(job_of(*items, fallback=[SD3]), against_aws=True)
        assert only.startswith("job catalog: fallback[0]: ")

    def test_a_model_past_its_end_may_have_others_make_all_its_images(self):
        """Which ones is said; without a fallback for one item it is refused."""
        items = [Item(id="a"), Item(id="b", fallback=[SDXL, ULTRA])]

        job = job_of(*items, model=SD3, fallback=[CORE], allow_retired=False)
        found = complaints(job, against_aws=True)
        assert len(found) == 1
        assert "items[1].fallback[0]: " + SDXL in found[0]
        right = job_of(Item(id="a"), Item(id="b", fallback=[ULTRA]), model=SD3, fallback=[CORE])
        (warning,) = plan.check(right, against_aws=True).warnings
        ended = f"{SD3} is past its end of life and AWS refuses it"
        assert warning == f"{ended}: its images will be made by {CORE} or {ULTRA}"
        for own in ([], [SD3], [SDXL]):
            lacking = job_of(Item(id="a"), Item(id="b", fallback=own), model=SD3, fallback=[CORE])
            assert any(
                "catalog: model: " + SD3 in it for it in complaints(lacking, against_aws=True)
            )

    def test_a_model_past_its_end_is_warned_of_once(self):
        """Though it has tasks and stands in as well."""
        job = job_of(Item(id="a"), Item(id="b", model=SD3), fallback=[SD3])

        assert len(plan.check(job).warnings) == 1


class TestParameters:
    def test_what_all_items_share_is_said_once(self):
        """However many they are."""
        items = [Item(id=f"x{n}") for n in range(1_000)]
        job = job_of(*items, fallback=[SD3_5, ULTRA], parameters={"output_format": "webp"})

        assert complaints(job) == [
            (
                f"job catalog: fallback[1]: {ULTRA} cannot stand in for {CORE}: "
                '"output_format" cannot be "webp"; allowed: png, jpeg'
            )
        ]

    def test_what_an_item_brings_is_told_with_the_item(self):
        """Twenty of them; the rest is a number."""
        webp = {"output_format": "webp"}
        items = [Item(id=f"x{n}", parameters=webp) for n in range(50)]
        found = complaints(job_of(*items, fallback=[ULTRA]))

        assert found[3].endswith(
            '"output_format" cannot be "webp"; allowed: png, jpeg (in items[3])'
        )
        assert len(found) == 21
        assert found[-1] == "job catalog: ... and 30 more about fallback[]"

    def test_an_item_that_says_the_same_as_the_job_is_told_too(self):
        """An edit of the job's parameters would not help it."""
        webp = {"output_format": "webp"}
        items = [Item(id="a"), Item(id="b", parameters=webp)]
        found = complaints(job_of(*items, fallback=[ULTRA], parameters=webp))

        assert [line.partition("png, jpeg")[2] for line in found] == ["", " (in items[1])"]

    def test_an_items_own_list_is_told_where_it_stands(self):
        """With its line in the file."""
        text = f"""name: n
model: {SDXL}
prompt: p
parameters: {{steps: 30}}
allow_retired: true
items:
- id: a
- id: b
  fallback:
  - {SDXL}
  - {CORE}
"""
        with pytest.raises(JobError) as error:
            plan.check(parse("j.yaml", text.encode()))

        (only,) = error.value.complaints
        assert (only.line, only.path) == (11, ("items", 1, "fallback", 1))
        what = f"{CORE} cannot stand in for {SDXL}: Stable Image Core 1.1 does not take"
        assert only.text == f'{what} "steps": leave it out'

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"prompt": "x" * 2_001}, '"prompt" has 2,001 characters; at most 2,000 fit'),
            ({"prompt": "x" * 1_999 + "{id}"}, "2,002 characters; at most 2,000 fit (in items[0])"),
            ({"parameters": {"negative_prompt": "x" * 2_001}}, '"negative_prompt" has 2,001'),
            ({"parameters": {"output_format": "{f}"}, "vars": {"f": "jpeg"}}, "png (in items[0])"),
            ({"prompt": "x" * 1_999 + "{variant}", "variants": 10}, '"prompt" has 2,001'),
        ],
    )
    def test_another_family_refuses_what_it_has_no_room_or_word_for(self, changes, words):
        """Before any call."""
        found = complaints(job_of(fallback=[SDXL], **changes))

        assert words in found[0]

    def test_only_seeds_and_numbers_that_the_plan_has_count(self):
        """A text that would be too long with a longer number is right without one."""
        right = {"prompt": "x" * 1_999 + "{variant}", "variants": 9, "fallback": [SDXL]}

        assert plan.check(job_of(**right)).tasks == 18
        text = "x" * 1_999 + "{seed}"
        assert plan.check(prompted(text, seed=1, fallback=[SDXL], variants=2, prompt="{id}")).tasks
        assert complaints(prompted(text, seed=9, fallback=[SDXL], variants=2, prompt="{id}"))

    def test_parameters_that_differ_by_variant_are_checked_for_each(self):
        """The first that is wrong is told."""
        items = [Item(id="a", variants=3, seed=1, parameters={"negative_prompt": "x{variant}"})]
        assert plan.check(job_of(*items, fallback=[SDXL])).tasks == 3
        long = {"negative_prompt": "x" * 1_999 + "{variant}"}
        right = job_of(Item(id="a", variants=9, parameters=long), fallback=[SDXL])
        assert plan.check(right).tasks == 9
        wrong = job_of(Item(id="a", variants=10, parameters=long), fallback=[SDXL])
        assert len(complaints(wrong)) == 1


class TestPrompt:
    def test_an_unknown_placeholder_is_told_once(self):
        """With the nearest name."""
        job = prompted("{produkt}", vars={"product": "x"})

        (only,) = complaints(job)
        assert only.startswith(f'{PROMPT}"{{produkt}}" has no value; allowed: ')
        assert 'did you mean "{product}"?' in only
        assert complaints(prompted("x{")) == [
            f"{PROMPT}the {{ at character 2 has no partner; write {{{{ for the brace itself"
        ]

    def test_an_item_without_the_variable_is_named(self):
        """Where other items have it."""
        job = prompted("{thing}", Item(id="a", vars={"thing": "x"}), Item(id="b"))

        (only,) = complaints(job)
        assert only.startswith('job catalog: items[1].vars: "{thing}" has no value')
        assert only.endswith("; the job's on_filtered.fallback_prompt needs it")

    def test_an_empty_one_is_refused(self):
        """And one that is empty for an item, with the item."""
        empty = f'{PROMPT}{CORE} cannot take it: "fallback_prompt" is empty; write what to draw'

        assert complaints(prompted(" ")) == [empty]
        items = [Item(id="a", vars={"p": "x"}), Item(id="b", vars={"p": ""})]
        assert complaints(prompted("{p}", *items)) == [f"{empty} (in items[1])"]

    def test_one_that_is_too_long_is_refused_for_each_model_that_would_get_it(self):
        """The task's own, and those that stand in."""
        long = '"fallback_prompt" has 10,001 characters; at most'

        assert complaints(prompted("x" * 10_001, fallback=[SDXL, ULTRA])) == [
            f"{PROMPT}{CORE} cannot take it: {long} 10,000 fit",
            f"{PROMPT}{SDXL} cannot take it: {long} 2,000 fit",
            f"{PROMPT}{ULTRA} cannot take it: {long} 10,000 fit",
        ]
        (only,) = complaints(prompted("x" * 2_001, fallback=[SDXL, ULTRA]))
        assert only.startswith(f"{PROMPT}{SDXL} cannot take it: ")
        assert plan.check(prompted("x" * 2_001, fallback=[ULTRA])).tasks == 2

    def test_an_items_own_fault_is_not_said_again_of_the_prompt(self):
        """What a fallback does not take of the item has nothing to do with the prompt."""
        job = prompted("plain", fallback=[ULTRA], parameters={"output_format": "webp"})

        assert len(complaints(job)) == 1

    def test_it_cannot_stand_beside_text_prompts(self):
        """Which of them it would replace is a guess."""
        text = {"text_prompts": [{"text": "a cat"}]}
        said = f'{PROMPT}cannot stand beside "text_prompts": use prompts, or leave it out'

        job = prompted("plain", Item(id="a", parameters=text), Item(id="b"), model=SDXL)
        assert complaints(job) == [f"{said} (in items[0])"]
        assert complaints(prompted("x", model=SDXL, prompt=None, parameters=text)) == [said]
        assert plan.check(prompted("plain", model=SDXL)).tasks == 2
