"""The figures as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from statistics import fmean

from benchmarks.pacing.ours import Ours
from benchmarks.pacing.scenarios import (
    ALGORITHMS,
    CAP,
    FELL_S,
    METERS,
    ROSE_S,
    SERVERS,
    Run,
    Scenario,
    plain,
    run,
    shared,
    stepping,
)
from benchmarks.pacing.world import Client, Network

THREE_MINUTES_S = 180.0
FIVE_MINUTES_S = 300.0
TAILS = (
    ("as everywhere here: 1 call in 100 up to 0.5 s late", Network()),
    ("1 in 200 up to 1.5 s late", Network(late_share=0.005, late_s=1.5)),
    ("1 in 100 up to 3 s late", Network(late_share=0.01, late_s=3.0)),
)


def compared(seeds: Sequence[int]) -> str:
    """Every algorithm against every server: mean and worst share used, rejected calls an hour."""
    head = ["algorithm", *SERVERS, "mean"]
    rows = []
    for name, make in ALGORITHMS.items():
        runs = [_runs(scenario, make, seeds) for scenario in SERVERS.values()]
        means = [fmean(one.used for one in each) for each in runs]
        rejected = [fmean(one.rejected for one in each) for each in runs]
        cells = [
            f"{_percent(mean)} ({_percent(min(one.used for one in each))}) / {count:,.0f}"
            for each, mean, count in zip(runs, means, rejected, strict=True)
        ]
        total = f"**{_percent(fmean(min(1.0, mean) for mean in means))} / {fmean(rejected):,.0f}**"
        rows.append([name, *cells, total])
    return _table(head, rows)


def by_quota(seeds: Sequence[int], quotas: Iterable[float]) -> str:
    """Our pacer on quotas of all sizes and meters: share used, and rejected of all calls."""
    head = ["quota a minute", *(f"{k}, {m}" for k in ("known", "unknown") for m in METERS)]
    rows = []
    for quota in quotas:
        cells = [
            _used_and_rejected(_runs(plain(meter, quota), make, seeds))
            for make in (Ours, _unknown)
            for meter in METERS
        ]
        rows.append([f"{quota:g}", *cells])
    cap = _used_and_rejected(_runs(CAP, _unknown, seeds))
    rows.append(["8 in flight", "", "", "", cap, cap, cap])
    return _table(head, rows)


def steps(seeds: Sequence[int]) -> str:
    """Our pacer when a quota halves and comes back: from the third minute after each change."""
    head = ["meter", "used after it fell", "used after it rose", "used", "rejected"]
    rows = []
    for quota in (60.0, 90.0):
        for meter in METERS:
            runs = _runs(stepping(meter, quota), _unknown, seeds)
            fell = [_used_after(one, FELL_S, quota / 2) for one in runs]
            rose = [_used_after(one, ROSE_S, quota) for one in runs]
            used = fmean(one.used for one in runs)
            row = [_mean_and_worst(fell), _mean_and_worst(rose), _percent(used), _rejected(runs)]
            rows.append([f"{meter} {quota:g}", *row])
    return _table(head, rows)


def sharing(seeds: Sequence[int]) -> str:
    """Two of our pacers with one quota of 90: what they use, and what the smaller one gets."""
    head = ["meter", "second begins", "used together", "share of the smaller", "rejected"]
    rows = []
    for later_s, words in ((0.0, "with the first"), (600.0, "10 min later")):
        for meter in METERS:
            runs = _runs(shared(meter, 90, later_s), _unknown, seeds)
            smallest = _mean_and_worst([one.smallest for one in runs])
            used = _mean_and_worst([one.used for one in runs])
            rows.append([meter, words, used, smallest, _rejected(runs)])
    return _table(head, rows)


def late_calls(seeds: Sequence[int]) -> str:
    """Our pacer with a known quota of 90 on a sliding minute, if messages are late."""
    rows = []
    for words, network in TAILS:
        sliding = plain("sliding minute", 90)
        scenario = Scenario(name=words, quota=90, server=sliding.server, network=network)
        runs = _runs(scenario, Ours, seeds)
        used = _percent(fmean(one.used for one in runs))
        rows.append([words, used, f"{fmean(one.rejected for one in runs):.1f}"])
    return _table(["network", "used", "rejected an hour"], rows)


def _unknown(quota: float) -> Ours:
    del quota
    return Ours(None)


def _runs(scenario: Scenario, make: Callable[[float], Client], seeds: Sequence[int]) -> list[Run]:
    return [run(scenario, make, seed) for seed in seeds]


def _used_after(one: Run, change_s: float, quota: float) -> float:
    """Use in the five minutes that begin three minutes after a change."""
    calls = partial(one.ledgers[0].calls, change_s + THREE_MINUTES_S)
    return calls(change_s + THREE_MINUTES_S + FIVE_MINUTES_S) / (quota * FIVE_MINUTES_S / 60)


def _used_and_rejected(runs: Sequence[Run]) -> str:
    return f"{_percent(fmean(one.used for one in runs))} / {_rejected(runs)}"


def _rejected(runs: Sequence[Run]) -> str:
    return f"{100 * fmean(one.rejected_share for one in runs):.2f} %"


def _mean_and_worst(shares: Sequence[float]) -> str:
    return f"{_percent(fmean(shares))} ({_percent(min(shares))})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
