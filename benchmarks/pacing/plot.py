"""The plot of docs/pacing.md: calls a minute over time while a quota halves and comes back."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.pacing.scenarios import ALGORITHMS, FELL_S, HOUR_S, ROSE_S, run, stepping
from benchmarks.pacing.world import Ledger

SHOWN = ("ours, quota unknown", "AIMD on the rate", "AWS SDK adaptive mode")
QUOTA = 90.0
STEP_S = 15.0
LEFT, WIDTH, RIGHT = 46.0, 640.0, 26.0
TOP, HEIGHT, GAP = 30.0, 110.0, 48.0
MOST = 120.0

STYLE = """
text { font: 12px sans-serif; fill: #333 }
.title { font-weight: bold }
.axis { stroke: #999; stroke-width: 1 }
.grid { stroke: #e4e4e4; stroke-width: 1 }
.quota { fill: none; stroke: #888; stroke-width: 1.5; stroke-dasharray: 5 3 }
.rate { fill: none; stroke: #1662b0; stroke-width: 1.8 }
.rejected { stroke: #c33; stroke-width: 1.5 }
"""


def step_plot(seed: int) -> str:
    """An SVG with a panel for each algorithm."""
    height = TOP + len(SHOWN) * (HEIGHT + GAP)
    panels = [_panel(index, name, _ledger(name, seed)) for index, name in enumerate(SHOWN)]
    size = f'viewBox="0 0 {LEFT + WIDTH + RIGHT:g} {height:g}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            "<title>Calls a minute while a quota of 90 halves and comes back</title>",
            f"<style>{STYLE}</style>",
            '<rect width="100%" height="100%" fill="white"/>',
            *panels,
            "</svg>\n",
        ]
    )


def _ledger(name: str, seed: int) -> Ledger:
    return run(stepping("sliding minute", QUOTA), ALGORITHMS[name], seed).ledgers[0]


def _panel(index: int, name: str, ledger: Ledger) -> str:
    top = TOP + index * (HEIGHT + GAP)
    instants = [STEP_S * step for step in range(1, int(HOUR_S / STEP_S) + 1)]
    admitted = [(at, _a_minute(ledger, at)) for at in instants]
    refused = [(at, ledger.refused(at - STEP_S, at)) for at in instants]
    quota = [(0.0, QUOTA), (FELL_S, QUOTA), (FELL_S, QUOTA / 2)]
    quota += [(ROSE_S, QUOTA / 2), (ROSE_S, QUOTA), (HOUR_S, QUOTA)]
    title = f"{name}: {len(ledger.rejected):,} calls rejected"
    return "\n".join(
        [
            f'<text class="title" x="{LEFT:g}" y="{top - 10:g}">{title}</text>',
            *_axes(top),
            _line("quota", quota, top),
            _line("rate", admitted, top),
            *(_tick(at, count, top) for at, count in refused if count),
        ]
    )


def _a_minute(ledger: Ledger, at: float) -> float:
    """Calls admitted in the minute before an instant, or at that rate since the start."""
    return ledger.calls(at - 60, at) * 60 / min(60.0, at)


def _axes(top: float) -> list[str]:
    lines = [f'<line class="axis" {_ends(0, 0, HOUR_S, 0, top)}/>']
    for rate in (45, 90):
        x, y = _place(0, rate, top)
        lines.append(f'<line class="grid" {_ends(0, rate, HOUR_S, rate, top)}/>')
        lines.append(f'<text x="{x - 6:g}" y="{y + 4:g}" text-anchor="end">{rate}</text>')
    for minute in range(0, 61, 10):
        x, y = _place(minute * 60, 0, top)
        label = f"{minute} min" if minute else "0"
        lines.append(f'<text x="{x:g}" y="{y + 16:g}" text-anchor="middle">{label}</text>')
    return lines


def _line(kind: str, points: Sequence[tuple[float, float]], top: float) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (_place(*point, top) for point in points))
    return f'<polyline class="{kind}" points="{places}"/>'


def _tick(at: float, count: int, top: float) -> str:
    """Rejected calls of 15 s, as a line that hangs from the upper edge."""
    return f'<line class="rejected" {_ends(at, MOST, at, MOST - min(28, 4 * count), top)}/>'


def _ends(x1: float, y1: float, x2: float, y2: float, top: float) -> str:
    (left, upper), (right, lower) = _place(x1, y1, top), _place(x2, y2, top)
    return f'x1="{left:.1f}" y1="{upper:.1f}" x2="{right:.1f}" y2="{lower:.1f}"'


def _place(at: float, rate: float, top: float) -> tuple[float, float]:
    return LEFT + WIDTH * at / HOUR_S, top + HEIGHT * (1 - min(rate, MOST) / MOST)
