"""Runs from data files: what is checked before the first call, and what a limited run reads."""

from shell import CORE, until

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


def test_a_file_that_is_written_into_stops_the_run(batchgen):
    """What is in flight is finished and on record; the rows of the changed file wait."""
    write(batchgen, 0)
    rows = batchgen.folder / "rows.csv"
    text = "".join(f"item-{n},{'mug ' * 900}{n}\n" for n in range(300))
    rows.write_text(f"id,product\n{text}", "utf-8")
    batchgen.service.script("late", seconds=0.05)
    process = batchgen.start("run", "job.yaml", "--rpm=60000", "--concurrency=2")
    until(lambda: batchgen.service.charged() > 2)
    with rows.open("a", encoding="utf-8") as file:
        file.write("late,a mug\n")
    _, err = process.communicate(timeout=60)

    assert process.returncode == 3
    assert "rows.csv was changed after it was read first" in err
    made = list((batchgen.folder / "out" / "images").iterdir())
    assert 2 < len(made) == batchgen.service.charged() < 300


def test_a_wrong_row_is_said_whatever_part_is_asked_for(batchgen):
    """A pattern that would fit it is no slip."""
    write(batchgen, 3)

    ended = batchgen.run("--only=wrong")

    assert ended.code == 2
    assert "rows.csv:5: has 1 cell" in ended.err
