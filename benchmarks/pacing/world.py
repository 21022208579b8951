"""One simulated hour: clients, a network with jitter and a server, on a virtual clock."""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from benchmarks.pacing.servers import Server


class Client(Protocol):
    """A pacing algorithm: says when, is told what became of it."""

    def next_start(self, now: float) -> float:
        """The earliest instant for the next call; infinite until an outcome is known."""

    def started(self, now: float) -> Any:
        """A call starts now; returns what the outcome is told with."""

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
    """Instant and cost of each call that was served."""
    rejected: list[float] = field(default_factory=list)

    def used(self, start: float, end: float) -> float:
        """Capacity used by calls that came between two instants."""
        return sum(cost for at, cost in self.admitted if start <= at < end)

    @property
    def rejected_share(self) -> float:
        """429s of all calls."""
        calls = len(self.rejected) + len(self.admitted)
        return len(self.rejected) / calls if calls else 0.0


@dataclass(slots=True)
class _Workers:
    """The workers of one client: free ones, and the retry count of each."""

    free: list[int]
    failures: list[int]


class World:
    """Runs clients against one server until an instant."""

    def __init__(
        self,
        server: Server,
        clients: list[tuple[float, Client]],
        *,
        seed: int,
        network: Network | None = None,
        workers: int = 64,
    ) -> None:
        """`clients` are pairs of the instant when one begins, and the client."""
        self._server = server
        self._clients = clients
        self._random = Random(seed)
        self._network = network or Network()
        self._events: list[tuple[float, int, Any, tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._workers = [_Workers(list(range(workers)), [0] * workers) for _ in clients]
        self._timers = [math.inf for _ in clients]
        self.ledgers = [Ledger() for _ in clients]
        for index, (begin, _) in enumerate(clients):
            self._at(begin, self._pump, index)

    def run(self, until: float) -> None:
        """Everything that happens before `until`."""
        events = self._events
        while events and events[0][0] < until:
            now, _, act, args = heapq.heappop(events)
            act(now, *args)

    def _at(self, when: float, act: Any, *args: Any) -> None:
        heapq.heappush(self._events, (when, next(self._order), act, args))

    def _pump(self, now: float, index: int) -> None:
        """Start what may start; come back when the client says so."""
        client = self._clients[index][1]
        workers = self._workers[index]
        if now >= self._timers[index]:
            self._timers[index] = math.inf
        while workers.free:
            due = client.next_start(now)
            if due > now + 1e-6:
                if due < self._timers[index]:
                    self._timers[index] = due
                    self._at(due, self._pump, index)
                return
            worker = workers.free.pop()
            call = client.started(now)
            self._at(now + self._network.delay(self._random), self._arrive, index, worker, call)

    def _arrive(self, now: float, index: int, worker: int, call: Any) -> None:
        if self._server.admits(now):
            service_s = self._random.uniform(3, 30)
            self.ledgers[index].admitted.append((now, self._server.cost(service_s)))
            self._at(now + service_s, self._serve, index, worker, call)
        else:
            self.ledgers[index].rejected.append(now)
            back = now + self._network.delay(self._random)
            self._at(back, self._refuse, index, worker, call)

    def _serve(self, now: float, index: int, worker: int, call: Any) -> None:
        self._server.finished(now)
        back = now + self._network.delay(self._random)
        self._at(back, self._answer, index, worker, call)

    def _answer(self, now: float, index: int, worker: int, call: Any) -> None:
        self._workers[index].failures[worker] = 0
        self._clients[index][1].served(call, now)
        self._free(now, index, worker)

    def _refuse(self, now: float, index: int, worker: int, call: Any) -> None:
        """The worker waits with full jitter before its retry, holding no place."""
        workers = self._workers[index]
        failures = workers.failures[worker]
        workers.failures[worker] = failures + 1
        self._clients[index][1].throttled(call, now)
        self._at(
            now + self._random.uniform(0, min(60.0, 2.0**failures)), self._free, index, worker
        )
        self._pump(now, index)

    def _free(self, now: float, index: int, worker: int) -> None:
        self._workers[index].free.append(worker)
        self._pump(now, index)
