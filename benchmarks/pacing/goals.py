"""`python -m benchmarks.pacing.goals [NAME ...] [--seeds N] [--jobs N]`: the goals, met or not.

`--rivals` prints a table of all algorithms instead, rows of a kind taken together.

Each row is a weather: servers, programs, what is measured, and the figures to be reached as the
mean of the seeds. Names select rows by a part of their name.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from random import Random
from statistics import fmean

from benchmarks.pacing.by_rate import AimdRate, AwsAdaptive, Rclone
from benchmarks.pacing.by_window import NetflixAimd, NetflixGradient, NetflixVegas
from benchmarks.pacing.ours import Ours
from benchmarks.pacing.scenarios import HOUR_S, METERS
from benchmarks.pacing.servers import Bucket, InFlightCap, QuotaAt, Server, steady
from benchmarks.pacing.weather import Both, Bursts, Greedy, Outages, Strays, steps
from benchmarks.pacing.world import Client, Network, World

JITTER = Network(late_share=0.0)
"""Messages take 20 to 300 ms, none longer."""
FALL_S, RISE_S, TRIPLE_S = 900.0, 1800.0, 2700.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One weather and its goals."""

    name: str
    server: Callable[[Random], Server]
    told: float | None = None
    quota: float = 90.0
    """For the size of things: workers, and what an unknowing rival is compared with."""
    begins: tuple[float, ...] = (0.0,)
    others: Callable[[], Sequence[Client]] = tuple
    network: Network = field(default_factory=Network)
    spans: tuple[tuple[float, float, float], ...] = ()
    """Start, end, quota of spans each of which is to be used; default: from minute 5 on."""
    least: float = 0.95
    worst: float = 0.0
    most_rejected: float = 1.0
    fair: float = 0.0
    """The smallest program's least share of what all have."""
    latency: tuple[float, float] = (3.0, 30.0)
    hours: float = 1.0
    concurrency: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What came of one seed."""

    used: float
    rejected: float
    smallest: float


def measure(row: Row, make: Callable[[Row], Client], seed: int) -> Figures:
    """One simulated hour."""
    random = Random(seed)
    server = row.server(random)
    end = HOUR_S * row.hours
    ours = [(begin, make(row)) for begin in row.begins]
    others = [(0.0, client) for client in row.others()]
    world = World(
        server,
        [*ours, *others],
        seed=seed,
        network=row.network,
        workers=max(64, int(row.quota * 0.7)),
        latency=row.latency,
    )
    world.run(end)
    mine = world.ledgers[: len(ours)]
    theirs = world.ledgers[len(ours) :]
    start = 300.0 + row.begins[-1] * (3 if len(row.begins) > 1 else 1)
    spans = row.spans or ((start, end, 0.0),)
    parts = []
    for begin, until, quota in spans:
        room = quota * (until - begin) / 60 if quota else server.capacity(begin, until)
        taken = sum(server.used(*call, begin, until) for one in theirs for call in one.admitted)
        have = sum(server.used(*call, begin, until) for one in mine for call in one.admitted)
        parts.append(have / max(1e-9, room - taken))
    fair_from = row.begins[-1] + 900.0
    late = [one.calls(fair_from, end) for one in mine]
    rejected = sum(len(one.rejected) for one in mine)
    calls = rejected + sum(len(one.admitted) for one in mine)
    return Figures(
        used=min(parts) if row.spans else fmean(parts),
        rejected=rejected / max(1, calls),
        smallest=min(late) / max(1, sum(late)),
    )


def metered(
    meter: str, quota: QuotaAt, around: Callable[[Server, Random], Server] | None = None
) -> Callable[[Random], Server]:
    """A maker of servers."""

    def make(random: Random) -> Server:
        server = METERS[meter](quota, random)
        return around(server, random) if around else server

    return make


def told_or_not(quota: float) -> Iterator[tuple[str, float | None]]:
    yield "told", quota
    yield "unknown", None


SHORT = {"bucket": "bucket", "fixed minute": "fixed", "sliding minute": "sliding"}


def plain() -> Iterator[Row]:
    for quota in (15.0, 90.0, 300.0, 1000.0):
        for meter, short in SHORT.items():
            make = metered(meter, steady(quota))
            yield Row(
                name=f"plain {short} {quota:g} unknown",
                server=make,
                quota=quota,
                least=0.97,
                worst=0.95,
                most_rejected=0.01,
            )
            yield Row(
                name=f"plain {short} {quota:g} told",
                server=make,
                quota=quota,
                told=quota,
                least=0.99,
                most_rejected=0.0,
            )
    for quota, most in ((3.0, 0.015), (6.0, 0.01), (10.0, 0.01)):
        for meter, short in SHORT.items():
            yield Row(
                name=f"small {short} {quota:g} unknown",
                server=metered(meter, steady(quota)),
                quota=quota,
                least=0.93,
                most_rejected=most,
            )


def outages() -> Iterator[Row]:
    for begin in (0.0, 1200.0):
        for word, told in told_or_not(90.0):
            for meter, short in SHORT.items():
                span = ((begin, begin + 300.0),)
                yield Row(
                    name=f"outage at {begin / 60:g} {short} {word}",
                    server=metered(meter, steady(90.0), lambda s, _, span=span: Outages(s, span)),
                    told=told,
                    spans=(
                        (begin + 300.0, HOUR_S, 90.0),
                        *(((begin + 420.0, begin + 540.0, 90.0),) if begin else ()),
                    ),
                    least=0.95,
                )
    taken = tuple((at, at + 120.0) for at in range(480, 3600, 600))
    for word, told in told_or_not(90.0):
        for meter, short in SHORT.items():
            yield Row(
                name=f"taken {short} {word}",
                server=metered(meter, steady(90.0), lambda s, _: Outages(s, taken)),
                told=told,
                least=0.80,
                most_rejected=0.08,
            )
        yield Row(
            name=f"taken by a greedy program sliding {word}",
            server=metered("sliding minute", steady(90.0)),
            told=told,
            others=lambda: (Greedy(3000, taken),),
            least=0.80,
            most_rejected=0.08,
        )


def strays() -> Iterator[Row]:
    for share, least in ((0.01, 0.95), (0.05, 0.85)):
        for quota in (15.0, 90.0, 300.0):
            for word, told in told_or_not(quota):
                for meter, short in SHORT.items():
                    yield Row(
                        name=f"strays {share:.0%} {short} {quota:g} {word}",
                        server=metered(
                            meter, steady(quota), lambda s, r, share=share: Strays(s, share, r)
                        ),
                        told=told,
                        quota=quota,
                        least=least,
                        most_rejected=share + 0.01,
                    )


def one_token() -> Iterator[Row]:
    goals = (
        (3.0, 0.85, 0.05),
        (6.0, 0.85, 0.05),
        (10.0, 0.85, 0.05),
        (15.0, 0.85, 0.05),
        (60.0, 0.70, 0.10),
        (90.0, 0.62, 0.10),
        (300.0, 0.38, 0.10),
        (1000.0, 0.16, 0.10),
    )
    for quota, least, most in goals:
        for word, told in told_or_not(quota):
            yield Row(
                name=f"one token {quota:g} {word}",
                server=lambda _, quota=quota: Bucket(steady(quota), 0.0),
                told=told,
                quota=quota,
                network=JITTER,
                least=least,
                most_rejected=most,
            )


def changes() -> Iterator[Row]:
    for quota in (60.0, 90.0):
        change = steps((0.0, quota), (FALL_S, quota / 2), (RISE_S, quota), (TRIPLE_S, 3 * quota))
        for word, told in (("told", quota), ("told triple", 3 * quota), ("unknown", None)):
            levels = [(FALL_S, quota / 2), (RISE_S, quota)]
            if told is None or told > quota:
                levels.append((TRIPLE_S, 3 * quota))
            for meter, short in SHORT.items():
                yield Row(
                    name=f"halves, back, triples {short} {quota:g} {word}",
                    server=metered(meter, change),
                    told=told,
                    quota=3 * quota,
                    spans=tuple((at + 180.0, at + 480.0, level) for at, level in levels),
                    least=0.95,
                    most_rejected=0.02,
                )


def caps() -> Iterator[Row]:
    for cap in (3, 8, 64):
        for told in (None, 15.0, 90.0, 1000.0, 60000.0):
            if told is not None and told < cap * 60 / 16.5 * 1.05:
                continue
            yield Row(
                name=f"cap {cap} told {told:g}" if told else f"cap {cap} unknown",
                server=lambda _, cap=cap: InFlightCap(cap),
                told=told,
                quota=400,
                least=0.95,
                most_rejected=0.03,
            )


def sharing() -> Iterator[Row]:
    for word, told in told_or_not(90.0):
        for meter, short in SHORT.items():
            make = metered(meter, steady(90.0))
            for later in (0.0, 600.0):
                when = "later" if later else "alike"
                yield Row(
                    name=f"two {when} {short} {word}",
                    server=make,
                    told=told,
                    begins=(0.0, later),
                    least=0.95,
                    most_rejected=0.02,
                    fair=0.45,
                )
            yield Row(
                name=f"bursty {short} {word}",
                server=make,
                told=told,
                others=lambda: (Bursts(20, 120.0, 600.0),),
                least=0.95,
                most_rejected=0.02,
            )


def more() -> Iterator[Row]:
    """Weather of the same kinds that the issue does not name."""
    for quota in (25.0, 45.0, 180.0, 600.0):
        for meter, short in SHORT.items():
            yield Row(
                name=f"more plain {short} {quota:g} unknown",
                server=metered(meter, steady(quota)),
                quota=quota,
                least=0.97,
                worst=0.95,
                most_rejected=0.01,
            )
    for burst in (5.0, 20.0, 150.0):
        yield Row(
            name=f"more bucket of {burst:g} s 90 unknown",
            server=lambda _, burst=burst: Bucket(steady(90.0), burst),
            least=0.97,
            worst=0.95,
            most_rejected=0.01,
        )
    for meter, short in SHORT.items():
        yield Row(
            name=f"more told 200, is 90 {short}",
            server=metered(meter, steady(90.0)),
            told=200.0,
            least=0.95,
            most_rejected=0.02,
        )
        yield Row(
            name=f"more fast calls {short} 90 unknown",
            server=metered(meter, steady(90.0)),
            latency=(1.0, 4.0),
            least=0.97,
            worst=0.95,
            most_rejected=0.01,
        )
        yield Row(
            name=f"more three programs {short} told",
            server=metered(meter, steady(90.0)),
            told=90.0,
            begins=(0.0, 0.0, 0.0),
            least=0.95,
            most_rejected=0.03,
            fair=0.28,
        )
        yield Row(
            name=f"more cap 6 and 15 a minute {short} told",
            server=lambda random, meter=meter: Both(
                METERS[meter](steady(15.0), random), InFlightCap(6)
            ),
            told=15.0,
            least=0.90,
            most_rejected=0.03,
        )


ROWS = [
    *plain(),
    *outages(),
    *strays(),
    *one_token(),
    *changes(),
    *caps(),
    *sharing(),
    *more(),
]

CLIENTS: dict[str, Callable[[Row], Client]] = {
    "ours": lambda row: Ours(row.told, row.concurrency),
    "AIMD": lambda _: AimdRate(),
    "AWS SDK adaptive": lambda _: AwsAdaptive(),
    "Netflix AIMD": lambda _: NetflixAimd(),
    "Netflix Vegas": lambda _: NetflixVegas(),
    "Netflix gradient": lambda _: NetflixGradient(),
    "rclone": lambda _: Rclone(),
}


def one(task: tuple[int, int, str]) -> Figures:
    """For a process of its own."""
    number, seed, client = task
    return measure(ROWS[number], CLIENTS[client], seed)


def verdict(row: Row, runs: Sequence[Figures]) -> list[str]:
    """What is missed."""
    missed = []
    if fmean(each.used for each in runs) < row.least - 0.0005:
        missed.append("used")
    if min(each.used for each in runs) < row.worst - 0.0005:
        missed.append("worst")
    if fmean(each.rejected for each in runs) > row.most_rejected + 1e-9:
        missed.append("rejected")
    if fmean(each.smallest for each in runs) < row.fair - 0.0005:
        missed.append("fair")
    return missed


def lines(rows: Iterable[int], seeds: Sequence[int], client: str, jobs: int) -> Iterator[str]:
    """The table, line by line."""
    yield "| scenario | used (worst) | goal | rejected | goal | smaller (goal) | met |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    numbers = list(rows)
    tasks = [(number, seed, client) for number in numbers for seed in seeds]
    with ProcessPoolExecutor(jobs) as pool:
        found = list(pool.map(one, tasks))
    met = 0
    for at, number in enumerate(numbers):
        row, runs = ROWS[number], found[at * len(seeds) : (at + 1) * len(seeds)]
        missed = verdict(row, runs)
        met += not missed
        used = fmean(each.used for each in runs)
        fair = f"{fmean(e.smallest for e in runs):.0%} ({row.fair:.0%})" if row.fair else ""
        yield (
            f"| {row.name} | {used:.1%} ({min(e.used for e in runs):.1%}) | {row.least:.0%} "
            f"| {fmean(e.rejected for e in runs):.2%} | {row.most_rejected:.1%} | {fair} "
            f"| {'**no**: ' + ', '.join(missed) if missed else 'yes'} |"
        )
    yield f"\n{met} of {len(numbers)} met"


RIVALS = ("AWS SDK adaptive", "Netflix AIMD", "Netflix gradient", "rclone")
NEAR = 0.03
"""Within three points of the best rival."""


def kind(row: Row) -> str:
    """The rows that are taken together."""
    words = row.name.removeprefix("more ").split()
    size = [words[1]] if words[0] in ("strays", "two", "one") else []
    known = "unknown" if row.told is None else "told"
    return " ".join([words[0].rstrip(","), *size, known])


def compared(rows: Iterable[int], seeds: Sequence[int], jobs: int) -> Iterator[str]:
    """The rivals' table, line by line."""
    clients = ("ours", *RIVALS)
    numbers = list(rows)
    tasks = [(number, seed, client) for number in numbers for client in clients for seed in seeds]
    with ProcessPoolExecutor(jobs) as pool:
        found = dict(zip(tasks, pool.map(one, tasks, chunksize=4), strict=True))

    def mean(number: int, client: str, figure: str) -> float:
        return fmean(getattr(found[number, seed, client], figure) for seed in seeds)

    yield f"| used, rejected | rows | {' | '.join(clients)} |"
    yield f"| --- | --- |{' --- |' * len(clients)}"
    kinds: dict[str, list[int]] = {}
    for number in numbers:
        kinds.setdefault(kind(ROWS[number]), []).append(number)
    for name, members in kinds.items():
        cells = [
            f"{fmean(mean(each, client, 'used') for each in members):.0%}, "
            f"{fmean(mean(each, client, 'rejected') for each in members):.1%}"
            for client in clients
        ]
        yield f"| {name} | {len(members)} | {' | '.join(cells)} |"
    fewest = near = 0
    for number in numbers:
        ours, *theirs = ((mean(number, c, "used"), mean(number, c, "rejected")) for c in clients)
        fewest += all(ours[1] < rejected for _, rejected in theirs)
        near += ours[0] >= min(1.0, max(used for used, _ in theirs)) - NEAR
    yield f"\nfewest rejected on {fewest} of {len(numbers)} rows, near the best share on {near}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--client", default="ours", choices=CLIENTS)
    parser.add_argument("--rivals", action="store_true", help="compare all algorithms")
    options = parser.parse_args()
    wanted = [
        number
        for number, row in enumerate(ROWS)
        if not options.names or any(name in row.name for name in options.names)
    ]
    began = time.monotonic()
    seeds = range(options.seeds)
    table = (
        compared(wanted, seeds, options.jobs)
        if options.rivals
        else lines(wanted, seeds, options.client, options.jobs)
    )
    for line in table:
        print(line, flush=True)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
