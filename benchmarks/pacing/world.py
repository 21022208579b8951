"""One simulated hour: clients, a network with jitter and a server, on a virtual clock."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from benchmarks.pacing.servers import Server

SHORTEST_S, LONGEST_S = 3.0, 30.0
"""How long a call is served."""


class Client(Protocol):
    """A pacing algorithm: says when, and is told what became of it."""

    def next_start(self, now: float) -> float:
        """The earliest instant for the next call; infinite until an outcome is known."""

    def started(self, now: float) -> Any:
        """A call starts now; what is returned comes back with its outcome."""

    def served(self, call: Any, now: float) -> None:
        """The answer of a call that was admitted has come."""

    def throttled(self, call: Any, now: float) -> None:
        """A 429 has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How long a message takes: mostly within a band, now and then longer."""

    low_s: float = 0.02
    high_s: float = 0.3
    late_share: float = 0.01
    late_s: float = 0.5

    def delay(self, random: Random) -> float:
        """One way, in seconds."""
        if random.random() < self.late_share:
            return random.uniform(self.high_s, self.late_s)
        return random.uniform(self.low_s, self.high_s)


@dataclass(slots=True)
class Ledger:
    """What the server saw of one client."""

    admitted: list[tuple[float, float]] = field(default_factory=list)
    """Instant and seconds of service of each call that was served."""
    rejected: list[float] = field(default_factory=list)

    def calls(self, start: float, end: float) -> int:
        """Calls that were admitted between two instants."""
        return sum(start <= at < end for at, _ in self.admitted)

    def refused(self, start: float, end: float) -> int:
        """Calls that were rejected between two instants."""
        return sum(start <= at < end for at in self.rejected)


@dataclass(slots=True)
class _Party:
    client: Client
    free: list[int]
    failures: list[int]
    timer: float = math.inf
    ledger: Ledger = field(default_factory=Ledger)


class World:
    """Runs clients with endless work against one server.

    Each client has workers. A worker whose call was refused tries again after a wait with full
    jitter, during which it holds no place: the retry policy is the same for all algorithms.
    """

    def __init__(
        self,
        server: Server,
        clients: Sequence[tuple[float, Client]],
        *,
        seed: int,
        network: Network | None = None,
        workers: int = 64,
        latency: tuple[float, float] = (SHORTEST_S, LONGEST_S),
    ) -> None:
        """`clients` are pairs: the instant when one begins, and the client."""
        self._server = server
        self._latency = latency
        self._random = Random(seed)
        self._network = network or Network()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._parties = [
            _Party(client, list(range(workers)), [0] * workers) for _, client in clients
        ]
        for party, (begin, _) in zip(self._parties, clients, strict=True):
            self._at(begin, self._pump, party)

    @property
    def ledgers(self) -> list[Ledger]:
        """One for each client."""
        return [party.ledger for party in self._parties]

    def run(self, until: float) -> None:
        """Everything that happens before `until`."""
        while self._events and self._events[0][0] < until:
            now, _, act, args = heapq.heappop(self._events)
            act(now, *args)

    def _at(self, when: float, act: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._events, (when, next(self._order), act, args))

    def _after_network(self, now: float, act: Callable[..., None], *args: Any) -> None:
        self._at(now + self._network.delay(self._random), act, *args)

    def _pump(self, now: float, party: _Party) -> None:
        """Start what may start; come back when the client says so."""
        if now >= party.timer:
            party.timer = math.inf
        while party.free:
            due = party.client.next_start(now)
            if due > now + 1e-6:
                if due < party.timer:
                    party.timer = due
                    self._at(due, self._pump, party)
                return
            worker = party.free.pop()
            self._after_network(now, self._arrive, party, worker, party.client.started(now))

    def _arrive(self, now: float, party: _Party, worker: int, call: Any) -> None:
        if self._server.admits(now):
            service_s = self._random.uniform(*self._latency)
            party.ledger.admitted.append((now, service_s))
            self._at(now + service_s, self._serve, party, worker, call)
        else:
            party.ledger.rejected.append(now)
            self._after_network(now, self._refuse, party, worker, call)

    def _serve(self, now: float, party: _Party, worker: int, call: Any) -> None:
        self._server.finished()
        self._after_network(now, self._answer, party, worker, call)

    def _answer(self, now: float, party: _Party, worker: int, call: Any) -> None:
        party.failures[worker] = 0
        party.client.served(call, now)
        self._free(now, party, worker)

    def _refuse(self, now: float, party: _Party, worker: int, call: Any) -> None:
        wait = self._random.uniform(0, min(60.0, 2.0 ** party.failures[worker]))
        party.failures[worker] += 1
        party.client.throttled(call, now)
        self._at(now + wait, self._free, party, worker)
        self._pump(now, party)

    def _free(self, now: float, party: _Party, worker: int) -> None:
        party.free.append(worker)
        self._pump(now, party)
