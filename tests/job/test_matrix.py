"""What makes more tasks of one item: matrix, zip, exclude, override, sample, in one fixed order."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import Complaints, Expansion, parse

CORE = "stability.stable-image-core-v1:1"
ULTRA = "stability.stable-image-ultra-v1:1"
HEAD = f"""\
name: catalog
endpoint: simulator
model: {CORE}
prompt: "{{product}}, {{style}} picture on {{backdrop}}"
vars: {{style: plain, backdrop: white}}
"""
ITEMS = """\
items:
  - {id: mug, vars: {product: blue mug}}
  - {id: lamp, vars: {product: brass lamp}}
"""


def job_of(text, head=HEAD, items=ITEMS):
    return parse("job.yaml", f"{head}{text}\n{items}".encode())


def tasks_of(text, **parts):
    job = job_of(text, **parts)
    tasks = list(plan.expand(job))
    assert plan.check(job).tasks == len(tasks)
    return tasks


def labels(text, **parts):
    return [task.label for task in tasks_of(text, **parts)]


def checked(text, items=ITEMS):
    return plan.check(parse("job.yaml", f"{HEAD}{text}\n{items}".encode(), defer=True))


def wrong(text, **parts):
    """Every complaint about the job, without the file's name."""
    with pytest.raises(JobError) as error:
        checked(text, **parts)
    return [line.removeprefix("job.yaml:") for line in str(error.value).splitlines()]


def test_a_matrix_makes_every_combination_of_each_item():
    """In the order of the items and of the axes; label, file name and record tell the values."""
    made = tasks_of("matrix: {style: [studio, outdoor], backdrop: [oak, slate]}")

    assert [task.label for task in made] == [
        f"{item}/{style}/{backdrop}/1"
        for item, style, backdrop in product(
            ("mug", "lamp"), ("studio", "outdoor"), ("oak", "slate")
        )
    ]
    assert made[1].request["prompt"] == "blue mug, studio picture on slate"
    assert made[1].file_stem == "images/mug-studio-slate-1"
    assert (made[1].item_id, made[1].vars["style"]) == ("mug", "studio")


def test_an_axis_may_be_the_model_or_a_parameter():
    """And a value of it has a placeholder: `{model}`, and the parameter's own name."""
    made = tasks_of(
        f'matrix: {{model: [{CORE}, "{ULTRA}"], parameters.aspect_ratio: ["1:1", "4:5"]}}\n'
        'file_name: "{id}-{aspect_ratio}-{model}"'
    )

    assert [(task.model_id, task.request["aspect_ratio"]) for task in made[:4]] == [
        (CORE, "1:1"),
        (CORE, "4:5"),
        (ULTRA, "1:1"),
        (ULTRA, "4:5"),
    ]
    assert made[1].file_stem == "images/mug-4-5-stability.stable-image-core-v1-1"


def test_a_value_may_be_a_mapping_with_a_name():
    """It sets variables, the model and parameters together, and is called by its name."""
    made = tasks_of(
        "matrix:\n  style:\n"
        "    - {name: studio, backdrop: slate}\n"
        f'    - {{name: hero, backdrop: oak, model: "{ULTRA}", parameters.aspect_ratio: "16:9"}}'
    )

    assert [task.label for task in made[:2]] == ["mug/studio/1", "mug/hero/1"]
    assert made[1].request["prompt"] == "blue mug, hero picture on oak"
    assert (made[1].model_id, made[1].request["aspect_ratio"]) == (ULTRA, "16:9")
    assert "aspect_ratio" not in made[0].request


def test_scalars_keep_the_text_that_they_have_in_the_file():
    """3.10 is not 3.1, and no is not false."""
    assert labels("matrix: {style: [3.10, 3.1, no, true, 007, 1e3]}")[:6] == [
        f"mug/{text}/1" for text in ("3.10", "3.1", "no", "true", "007", "1e3")
    ]


def test_zip_advances_its_lists_together():
    """After the matrix, whose combinations each get all of its rows."""
    made = labels(
        "matrix: {style: [a, b]}\nzip: {backdrop: [oak, slate], light: [day, night]}",
        head=HEAD.replace("{backdrop}", "{backdrop} by {light}"),
    )

    assert made[:4] == [
        "mug/a/oak/day/1",
        "mug/a/slate/night/1",
        "mug/b/oak/day/1",
        "mug/b/slate/night/1",
    ]


def test_lists_of_unequal_length_do_not_advance_together():
    """Their lengths are told."""
    assert wrong("zip: {style: [a, b], backdrop: [oak]}") == [
        '6: zip: lists that advance together need the same length: "style" has 2, "backdrop" has 1'
    ]


def test_exclude_leaves_out_what_matches():
    """All names of a pattern must match; values may be patterns, or lists of which one matches."""
    made = labels(
        "matrix: {style: [a, b], backdrop: [oak, slate]}\n"
        "exclude: [{id: mu*, style: b}, {style: a, backdrop: [slate, marble]}]"
    )

    assert made == ["mug/a/oak/1", "lamp/a/oak/1", "lamp/b/oak/1", "lamp/b/slate/1"]


def test_an_override_edits_what_matches_and_adds_nothing():
    """Prompt, model, parameters and variables; `when` means the combination before any edit."""
    made = tasks_of(
        "matrix: {style: [a, b]}\n"
        "override:\n"
        f'  - {{when: {{style: b}}, set: {{model: "{ULTRA}", vars: {{style: c}}}}}}\n'
        '  - {when: {style: b, id: mug}, set: {parameters: {aspect_ratio: "4:5"}}}\n'
        '  - {when: {id: lamp}, set: {prompt: "{product} alone"}}\n'
    )

    assert [task.label for task in made] == ["mug/a/1", "mug/b/1", "lamp/a/1", "lamp/b/1"]
    assert made[1].request["prompt"] == "blue mug, c picture on white"
    assert [task.model_id for task in made] == [CORE, ULTRA, CORE, ULTRA]
    assert [task.request.get("aspect_ratio") for task in made] == [None, "4:5", None, None]
    assert made[3].request["prompt"] == "brass lamp alone"


def test_the_stages_are_counted_in_their_order():
    """As `plan --explain` tells them."""
    job = job_of(
        "matrix: {style: [a, b]}\nzip: {backdrop: [oak, slate, marble]}\n"
        "exclude: [{style: a, backdrop: oak}]\noverride: [{when: {id: mug}, set: {prompt: x}}]\n"
        "sample: {count: 7}"
    )
    rows = Expansion(job, Complaints())

    assert len(list(rows)) == 7
    assert rows.counts == {
        "rows": 2,
        "matrix": 4,
        "zip": 12,
        "exclude": 10,
        "override": 10,
        "sample": 7,
    }


def test_variants_come_last():
    """A sample counts combinations, each of which then has its variants."""
    made = tasks_of("matrix: {style: [a, b]}\nsample: {count: 3}\nvariants: 2")

    assert len(made) == 6
    assert [task.variant for task in made] == [1, 2] * 3


@given(st.data())
def test_values_decide_ids_and_seeds_and_never_places(data):
    """Whatever is added or moved: what was there keeps id, seed and file name."""
    styles = data.draw(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True))
    more = data.draw(st.permutations(sorted({*styles, "g"})))
    few = tasks_of(f"matrix: {{style: {styles}}}".replace("'", ""))
    products = {"mug": "blue mug", "lamp": "brass lamp", "vase": "vase"}
    moved = "items:\n" + "".join(
        f"  - {{id: {name}, vars: {{product: {products[name]}}}}}\n"
        for name in data.draw(st.permutations(sorted(products)))
    )
    many = tasks_of(f"matrix: {{style: {list(more)}}}".replace("'", ""), items=moved)

    def identity(task):
        return task.label, task.id, task.seed, task.file_stem

    assert set(map(identity, few)) <= set(map(identity, many))
    assert len(many) == 3 * len(more)


def test_the_order_of_axes_changes_no_seed():
    """Only the order of the label."""
    one = tasks_of("matrix: {style: [a, b], backdrop: [oak]}")
    other = tasks_of("matrix: {backdrop: [oak], style: [a, b]}")

    assert {task.id for task in one} == {task.id for task in other}


def test_a_sample_is_chosen_by_values():
    """An item more takes the place of one at most; another seed chooses others."""
    axes = "matrix: {style: [a, b, c, d, e, f], backdrop: [oak, slate, marble]}\n"
    chosen = set(labels(axes + "sample: {count: 10, seed: 7}"))
    more = ITEMS + "  - {id: vase, vars: {product: vase}}\n"
    later = set(labels(axes + "sample: {count: 10, seed: 7}", items=more))

    assert len(chosen) == len(later) == 10
    assert {label for label in later if not label.startswith("vase")} <= chosen
    assert set(labels(axes + "sample: {count: 10, seed: 8}")) != chosen
    assert len(labels(axes + "sample: {count: 1000}")) == 36


def test_a_list_in_vars_or_parameters_is_a_value():
    """Nothing but the matrix and its like makes more of an item."""
    assert wrong("matrix: {}", items="items: [{id: a, vars: {product: [x, y]}}]")[0].startswith(
        "7: items[0].vars.product: cannot be"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "matrix: {stlye: [a, b]}",
            (
                "6: matrix.stlye: changes nothing: no prompt, parameter or file name has {stlye}; "
                'did you mean "style"?'
            ),
        ),
        (
            "matrix: {aspect_ratio: [a, b]}",
            (
                "6: matrix.aspect_ratio: changes nothing: no prompt, parameter or file name has "
                '{aspect_ratio}; did you mean "parameters.aspect_ratio"?'
            ),
        ),
        ("matrix: {style: []}", "6: matrix.style: is empty: an axis needs at least one value"),
        (
            "matrix: {style: studio}",
            '6: matrix.style: cannot be "studio"; allowed: a list of values',
        ),
        ("matrix: {style: [a, a]}", '6: matrix.style[1]: "a" stands there already, as the value 1'),
        (
            "matrix: {style: [a]}\nzip: {style: [b]}",
            "7: zip.style: is an axis of the matrix already",
        ),
        ("matrix: {style: [a]}\nexclude: [{style: a}]", "7: exclude: nothing is left to make"),
        (
            "matrix: {style: [a, b]}\nexclude: [{style: c}]",
            '7: exclude[0]: matches nothing: no value of style is like "c"',
        ),
        (
            "matrix: {style: [a, b]}\nexclude: [{sytle: a}]",
            (
                '7: exclude[0]: matches nothing: "sytle" is no variable or axis of the job; '
                'did you mean "style"?'
            ),
        ),
        (
            "override: [{when: {id: mgu}, set: {prompt: x}}]",
            '6: override[0].when: matches nothing: no value of id is like "mgu"; did you',
        ),
        (
            "override: [{when: {id: mug}, set: {variants: 3}}]",
            (
                '6: override[0].set.variants: "variants" is not a key here; allowed: prompt, '
                "negative_prompt, model, family, parameters, vars"
            ),
        ),
        (
            "override: [{when: {id: mug}, set: {}}]",
            "6: override[0].set: is empty: name what to edit, or leave the override out",
        ),
        (
            "matrix: {style: [a, b]}\nmax_tasks: 3",
            "7: max_tasks: the job would make 4 images; max_tasks allows 3",
        ),
        (
            "matrix: {parameters.aspect_ration: [a]}",
            (
                "6: matrix.parameters.aspect_ration[0]: Stable Image Core 1.1 does not take "
                '"aspect_ration"; allowed: aspect_ratio, mode, negative_prompt, output_format; '
                'did you mean "aspect_ratio"?'
            ),
        ),
        (
            'matrix: {parameters.aspect_ratio: ["1:1", "7:1"]}',
            (
                '6: matrix.parameters.aspect_ratio[1]: "aspect_ratio" cannot be "7:1"; allowed'
                ": 16:9, 1:1, 21:9, 2:3, 3:2, 4:5, 5:4, 9:16, 9:21"
            ),
        ),
        (
            "matrix: {model: [stability.stable-image-cor-v1:1]}",
            '6: matrix.model[0]: "stability.stable-image-cor-v1:1" is not a model that',
        ),
        (
            "matrix: {product: [a]}",
            "8: items[0].vars.product: stands in the matrix of the job too: one of them must go",
        ),
        (
            "matrix: {style: [{light: soft}]}",
            (
                "6: matrix.style[0]: cannot be {'light': 'soft'}; allowed: a text, a number, true "
                "or false, or a mapping of name and what it sets: variables, model, "
                "parameters.NAME; it has no name"
            ),
        ),
        (
            "matrix: {seed: [1, 2]}",
            (
                '6: matrix.seed: cannot be "seed"; allowed: the name of a variable, model, or '
                'parameters.NAME; "seed" is another thing: name a variable after what it is'
            ),
        ),
        (
            "sample: {count: 0}",
            "6: sample.count: cannot be 0; allowed: a whole number from 1 to 10,000,000",
        ),
    ],
)
def test_a_slip_is_said_where_it_stands(text, said):
    """Once, with what may have been meant, before any call."""
    assert wrong(text)[0].startswith(said)


def test_what_follows_from_a_slip_is_no_complaint():
    """A value that stands twice makes twins; a misspelt key in an override is no `vars`."""
    (found,) = wrong("matrix: {style: [plain, plain]}")
    assert found.startswith("6: matrix.style[1]: ")

    found = wrong("override: [{when: {id: mug}, set: {variants: 3, seed: 2}}]")
    assert [line.partition(": ")[2].partition(":")[0] for line in found] == [
        "override[0].set.variants",
        "override[0].set.seed",
    ]
