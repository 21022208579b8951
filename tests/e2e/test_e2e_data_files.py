"""Runs from data files: what is checked before the first call, and what a limited run reads."""

from shell import CORE

ROWS = 3_000


def write(batchgen, rows, name="rows.csv"):
    """A job over this many rows, of which the last one is wrong."""
    (batchgen.folder / "job.yaml").write_text(
        f"name: shop\nendpoint: {batchgen.service.url}\nmodel: {CORE}\noutput: out\n"
        f'prompt: "{{product}}"\nitems_from: {name}\n',
        "utf-8",
    )
    text = "".join(f"item-{n},mug {n}\n" for n in range(rows))
    (batchgen.folder / "rows.csv").write_text(f"id,product\n{text}wrong\n", "utf-8")


def test_a_whole_run_checks_all_rows_before_its_first_call(batchgen):
    """The last of them is wrong: its line is named, and nothing was charged."""
    write(batchgen, ROWS)

    ended = batchgen.run()

    assert ended.code == 2
    assert f"rows.csv:{ROWS + 2}: has 1 cell" in ended.err
    assert batchgen.service.charged() == 0


def test_a_limited_run_reads_what_it_needs(batchgen):
    """Twice five images, the second time the next ones; what is wrong further down waits."""
    write(batchgen, ROWS)

    first, second = batchgen.run("--limit=5"), batchgen.run("--limit=5")

    assert (first.code, second.code) == (0, 0)
    made = sorted(path.name for path in (batchgen.folder / "out" / "images").iterdir())
    assert made == sorted(f"item-{n}-1.png" for n in range(10))
    assert batchgen.service.charged() == 10


def test_rows_from_standard_input_are_made_once(batchgen):
    """The same rows again are done: ids come from values."""
    write(batchgen, 0, name='"-"')
    for charged in (2, 2):
        via = "printf 'id,product\\nmug,a mug\\nlamp,a lamp\\n' | \"$@\""
        process = batchgen.start("run", "job.yaml", "--rpm=60000", via=via)
        process.communicate(timeout=60)
        assert (process.returncode, batchgen.service.charged()) == (0, charged)
