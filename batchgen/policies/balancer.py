"""Which route a call takes: the one that can start it soonest; tasks first come first served.

Invariant: an attempt waits here, or is on its way to one route; who waits here holds nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.bedrock import Endpoint
from batchgen.errors import Filtered, ModelDenied, NoRoute, NotStarted, RouteDenied
from batchgen.policies.quotas import RouteQuotas
from batchgen.policies.route import RoutePipeline, RunContext
from batchgen.policies.stop import Stop

_DUE_S = 1e-6
"""A way that is ready within this time is ready: below what clocks and floats tell apart."""

_Waiter = tuple[Attempt, "asyncio.Future[RoutePipeline]"]


class Balancer:
    """A `Generate` over several routes; each of them is a `Generate` of its own."""

    def __init__(
        self, ways: Sequence[RoutePipeline], stop: Stop, tell: Callable[[str], None]
    ) -> None:
        """Share attempts out among ways, each of which stops by itself and with the run.

        Args:
            ways: at least two.
            stop: the run's; asked to end the run when the last way has stopped.
            tell: told when a way is taken out.
        """
        self._ways = ways
        self._stop = stop
        self._tell = tell
        self._queues: dict[str, deque[_Waiter]] = defaultdict(deque)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        for way in ways:
            way.on_start = self._hand_out_all
            way.stop.on_request(partial(self._taken_out, way))
        stop.on_request(self._stop_all)

    async def __call__(self, attempt: Attempt) -> Generation:
        """One attempt, by the way that can start it soonest.

        Raises:
            NoRoute: no way is left that serves the model.
            RouteDenied: a way denied it, and others are left.
        """
        while True:
            way = await self._turn(attempt)
            try:
                generation = await way(attempt)
            except Filtered:
                way.denials.worked(attempt.call.model_id)
                raise
            except ModelDenied as error:
                meaning = self._denied(way, attempt.call.model_id, error)
                if meaning is error:
                    raise
                raise meaning from error
            except NotStarted:
                if self._stop.stopping is not None or way.stop.stopping is None:
                    raise
                # Its way was taken out before it was sent: it takes another one.
            else:
                way.denials.worked(attempt.call.model_id)
                return generation
            finally:
                way.leave(attempt)
                self._hand_out_all()

    async def _turn(self, attempt: Attempt) -> RoutePipeline:
        self._require(attempt.call.model_id)
        future: asyncio.Future[RoutePipeline] = asyncio.get_running_loop().create_future()
        queue = self._queues[attempt.call.model_id]
        _line_up(queue, (attempt, future))
        if queue[0][1] is future:
            self._hand_out(attempt.call.model_id)
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():
                if (attempt, future) in queue:  # who hands out drops the cancelled ones
                    queue.remove((attempt, future))
            elif future.exception() is None:
                future.result().leave(attempt)
            self._hand_out(attempt.call.model_id)
            raise

    def _require(self, model_id: str) -> None:
        if self._stop.stopping is not None:
            raise NotStarted("the run is stopping")
        if not any(way.serves(model_id) for way in self._ways):
            raise self._no_route(model_id)

    def _no_route(self, model_id: str) -> NoRoute:
        denials = (
            f"Route {way.name}: {denied.message} {denied.advice}".rstrip()
            for way in self._ways
            if (denied := way.denials.denied.get(model_id)) is not None
        )
        text = f"No route is left that serves {model_id}."
        return NoRoute(" ".join((text, *denials)), code="NoRoute")

    def _hand_out_all(self) -> None:
        for model_id in self._queues:
            self._hand_out(model_id)

    def _hand_out(self, model_id: str) -> None:
        """Send every attempt that a way is ready for; wake up when the next one will be."""
        queue = self._queues[model_id]
        timer = self._timers.pop(model_id, None)
        if timer is not None:
            timer.cancel()
        while queue:
            try:
                self._require(model_id)
            except (NoRoute, NotStarted) as error:
                _, future = queue.popleft()
                if not future.done():
                    future.set_exception(error)
                continue
            way = min(self._ways, key=partial(_preference, model_id))
            wait = way.ready_in(model_id)
            if wait > _DUE_S:
                if wait < math.inf:
                    later = asyncio.get_running_loop().call_later
                    self._timers[model_id] = later(wait, self._hand_out, model_id)
                return
            attempt, future = queue.popleft()
            if not future.done():
                way.expect(attempt)
                future.set_result(way)

    def _denied(self, way: RoutePipeline, model_id: str, error: ModelDenied) -> Exception:
        """What a denial by one way means: the next one may serve the model."""
        ended_before = model_id in way.denials.denied
        ended = way.denials.note(model_id, error)
        if not any(each is not way and each.serves(model_id) for each in self._ways):
            return self._no_route(model_id) if ended_before else error
        if ended:
            text = f"{model_id} cannot be used on it and goes by the others: {error.message}"
            self._tell(f"Route {way.name}: {text} {error.advice}".rstrip())
        denied = RouteDenied(
            f"Route {way.name}: {error.message}",
            code=error.code,
            advice=error.advice,
            request_id=error.request_id,
        )
        denied.started_at, denied.place = error.started_at, error.place
        return denied

    def _taken_out(self, way: RoutePipeline) -> None:
        if self._stop.stopping is not None or way.stop.stopping is None:
            return
        stopping = way.stop.stopping
        if any(other.stop.stopping is None for other in self._ways):
            self._tell(f"Route {way.name} is taken out: {stopping.text} The others go on.")
            self._hand_out_all()
        else:
            text = f"No route is left. Route {way.name}: {stopping.text}"
            self._stop.request(stopping.cause, text)

    def _stop_all(self) -> None:
        stopping = self._stop.stopping
        if stopping is not None:
            for way in self._ways:
                way.stop.request(stopping.cause, stopping.text)
        self._hand_out_all()


def _preference(model_id: str, way: RoutePipeline) -> tuple[float, int]:
    """The soonest first; of those that are ready now the one that has not refused lately.

    Otherwise the last task of a run would knock at a broken route while a sound one stands idle.
    """
    wait = way.ready_in(model_id)
    return (wait if wait > _DUE_S else 0.0, way.refusals(model_id))


def _line_up(queue: deque[_Waiter], waiter: _Waiter) -> None:
    """Behind all others; a task that was refused before those that have not begun.

    Its time is limited: behind them, a route in trouble could refuse it until that is over.
    """
    if waiter[0].number == 1:
        queue.append(waiter)
        return
    begun = sum(1 for _ in takewhile(lambda each: each[0].number > 1, queue))
    queue.insert(begun, waiter)


def routed(endpoint: Endpoint, quotas: Sequence[RouteQuotas], means: RunContext) -> Generate:
    """The one route of a job, or all of its routes behind one `Generate`."""
    if len(quotas) == 1:
        return RoutePipeline(endpoint.routes[0], quotas[0], means, means.stop)
    ways: list[RoutePipeline] = []
    for opened, its_quotas in zip(endpoint.routes, quotas, strict=True):
        stop = Stop()
        ways.append(
            RoutePipeline(opened, its_quotas, means, stop, partial(_others_left, ways, stop))
        )
    return Balancer(ways, means.stop, means.tell)


def _others_left(ways: Sequence[RoutePipeline], stop: Stop) -> bool:
    return any(way.stop is not stop and way.stop.stopping is None for way in ways)
