"""`python -m benchmarks.pacing [--quick] [--write]`: the figures and the plot of docs/pacing.md."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.pacing import tables
from benchmarks.pacing.plot import step_plot

DOCUMENT = Path("docs/pacing.md")
PLOT = Path("docs/pacing-step.svg")
PLOT_SEED = 1
SEEDS = range(5)
QUOTAS = (6.0, 10.0, 15.0, 60.0, 90.0, 600.0)


def figures(seeds: Sequence[int], quotas: Sequence[float]) -> Iterator[tuple[str, str]]:
    """The tables, each with the name that marks its place in the document."""
    yield "algorithms", tables.compared(seeds)
    yield "quotas", tables.by_quota(seeds, quotas)
    yield "steps", tables.steps(seeds)
    yield "sharing", tables.sharing(seeds)
    yield "late-calls", tables.late_calls(seeds)


def inserted(document: str, name: str, table: str) -> str:
    """The document with `table` between the marks of `name`."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    pattern = re.escape(begin) + ".*?" + re.escape(end)
    text = f"{begin}{table}\n{end}"
    replaced, count = re.subn(pattern, lambda _: text, document, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{DOCUMENT} has {count} places for the table {name!r}: mark one.")
    return replaced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed and three quotas")
    parser.add_argument("--write", action="store_true", help=f"renew {DOCUMENT} and {PLOT}")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("--write needs all seeds: leave out --quick")
    seeds, quotas = (SEEDS[:1], QUOTAS[1:3]) if options.quick else (SEEDS, QUOTAS)
    for name, table in figures(seeds, quotas):
        print(f"## {name}\n\n{table}\n", flush=True)
        if options.write:
            document = inserted(DOCUMENT.read_text(encoding="utf-8"), name, table)
            DOCUMENT.write_text(document, encoding="utf-8")
    if options.write:
        PLOT.write_text(step_plot(PLOT_SEED), encoding="utf-8")


if __name__ == "__main__":
    main()
