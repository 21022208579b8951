"""The services and the algorithms that are compared, and one run of one against another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from benchmarks.pacing.by_rate import AimdRate, AwsAdaptive, Rclone, SimpleEstimator
from benchmarks.pacing.by_window import NetflixAimd, NetflixVegas, Unshared
from benchmarks.pacing.ours import Ours
from benchmarks.pacing.servers import (
    Bucket,
    FixedMinute,
    InFlightCap,
    Server,
    SlidingMinute,
    halved,
    steady,
)
from benchmarks.pacing.world import Client, Ledger, Network, World

HOUR_S = 3600.0
SETTLED_S = 300.0
"""From here on the quota is expected to be found."""
FELL_S, ROSE_S = 1200.0, 2400.0
"""When a quota that is halved falls and comes back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One service, and when the programs that share its quota begin."""

    name: str
    quota: float
    """Calls a minute, as a client that knows it is told."""
    server: Callable[[Random], Server]
    begins: tuple[float, ...] = (0.0,)
    network: Network = field(default_factory=Network)

    @property
    def measured_from(self) -> float:
        """The instant from which the use of the quota counts."""
        return SETTLED_S + self.begins[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of one simulated hour."""

    used: float
    """Share of the capacity after the first five minutes."""
    rejected: int
    rejected_share: float
    """Of all calls."""
    smallest: float
    """Share of the calls of the program that got least; 1 if there is but one."""
    ledgers: list[Ledger]


METERS: dict[str, Callable[[Callable[[float], float], Random], Server]] = {
    "bucket": lambda quota, _: Bucket(quota),
    "fixed minute": lambda quota, random: FixedMinute(quota, random.uniform(0, 60)),
    "sliding minute": lambda quota, _: SlidingMinute(quota),
}

ALGORITHMS: dict[str, Callable[[float], Client]] = {
    "ours, quota known": Ours,
    "ours, quota unknown": lambda _: Ours(None),
    "simple estimator": lambda _: SimpleEstimator(),
    "AIMD on the rate": lambda _: AimdRate(),
    "AWS SDK adaptive mode": lambda _: AwsAdaptive(),
    "Netflix AIMD on concurrency": lambda _: NetflixAimd(),
    "rclone's pacer": lambda _: Rclone(),
    "backoff per call, nothing shared": lambda _: Unshared(),
    "Netflix Vegas (latency)": lambda _: NetflixVegas(),
}


def plain(meter: str, quota: float, begins: tuple[float, ...] = (0.0,)) -> Scenario:
    """A quota that does not change."""
    make = METERS[meter]
    return Scenario(
        name=f"{meter} {quota:g}",
        quota=quota,
        server=lambda random: make(steady(quota), random),
        begins=begins,
    )


def stepping(meter: str, quota: float, fell_s: float = FELL_S, rose_s: float = ROSE_S) -> Scenario:
    """A quota that is half of what it was for a while: the second third of the hour."""
    make = METERS[meter]
    return Scenario(
        name=f"{meter} {quota:g}, halved and back",
        quota=quota,
        server=lambda random: make(halved(quota, fell_s, rose_s), random),
    )


def shared(meter: str, quota: float, later_s: float = 0.0) -> Scenario:
    """Two programs with one quota; the second begins `later_s` after the first."""
    return plain(meter, quota, (0.0, later_s))


CAP = Scenario(name="8 in flight", quota=90, server=lambda _: InFlightCap(8))

SERVERS: dict[str, Scenario] = {
    "bucket 90": plain("bucket", 90),
    "fixed 90": plain("fixed minute", 90),
    "sliding 90": plain("sliding minute", 90),
    "8 in flight": CAP,
    "halved and back": stepping("sliding minute", 90),
    "shared by two": shared("sliding minute", 90),
    "sliding 10": plain("sliding minute", 10),
    "bucket 600": plain("bucket", 600),
}
"""The columns of the comparison."""


def run(scenario: Scenario, make: Callable[[float], Client], seed: int) -> Run:
    """One simulated hour."""
    random = Random(seed)
    server = scenario.server(random)
    clients = [(begin, make(scenario.quota)) for begin in scenario.begins]
    workers = 256 if scenario.quota > 100 else 64
    world = World(server, clients, seed=seed, network=scenario.network, workers=workers)
    world.run(HOUR_S)
    start = scenario.measured_from
    used = partial(server.used, start=start, end=HOUR_S)
    by_program = [sum(used(*call) for call in ledger.admitted) for ledger in world.ledgers]
    rejected = sum(len(ledger.rejected) for ledger in world.ledgers)
    calls = rejected + sum(len(ledger.admitted) for ledger in world.ledgers)
    return Run(
        used=sum(by_program) / server.capacity(start, HOUR_S),
        rejected=rejected,
        rejected_share=rejected / calls,
        smallest=min(by_program) / sum(by_program),
        ledgers=world.ledgers,
    )
