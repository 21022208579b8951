"""Which route a call takes: the one that can start it soonest; tasks first come first served.

Invariant: an attempt is queued here, or it was sent to one route. A queued attempt holds no money
and no turn. Of each model one attempt at a time is on its way to a route: the next one is sent when
that one has its turn there, or has ended.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile

from batchgen.attempt import Attempt, Generation
from batchgen.errors import Filtered, ModelDenied, NoRoute, NotStarted, RouteDenied
from batchgen.policies.route import RoutePipeline
from batchgen.policies.stop import Stop

_DUE_S = 1e-6
"""A route that is ready within this time is ready: clocks and floats are no finer."""

_Turn = asyncio.Future[None]
"""Done when an attempt has its turn at its route; cancelled if it ends without one."""
_Waiter = tuple[Attempt, "asyncio.Future[tuple[RoutePipeline, _Turn]]"]


class Balancer:
    """A `Generate` over several routes; each of them is a `Generate` of its own."""

    def __init__(
        self, routes: Sequence[RoutePipeline], stop: Stop, notify: Callable[[str], None]
    ) -> None:
        """Share attempts out among routes, each of which stops by itself and with the run.

        Args:
            routes: at least two.
            stop: the run's; asked to end the run when the last route has stopped.
            notify: told when a route is taken out.
        """
        self._routes = routes
        self._stop = stop
        self._notify = notify
        self._queues: dict[str, deque[_Waiter]] = defaultdict(deque)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._coming: dict[_Turn, tuple[RoutePipeline, str]] = {}
        """Turn of each attempt that was sent to a route and has none yet -> route and model."""
        for route in routes:
            route.stop.on_request(partial(self._taken_out, route))
        stop.on_request(self._stop_all)

    async def __call__(self, attempt: Attempt) -> Generation:
        """One attempt, by the route that can start it soonest.

        Raises:
            NoRoute: no route is left that serves the model.
            RouteDenied: a route denied it, and others are left.
        """
        model_id = attempt.call.model_id
        while True:
            route, turn = await self._route(attempt)
            try:
                generation = await route.generate(replace(attempt, turn=turn))
            except Filtered:
                route.denials.worked(model_id)
                raise
            except ModelDenied as error:
                meaning = self._denied(route, model_id, error)
                if meaning is error:
                    raise
                raise meaning from error
            except NotStarted:
                if self._stop.stopping is not None or route.stop.stopping is None:
                    raise
                # Its route was taken out before it was sent: it takes another one.
            else:
                route.denials.worked(model_id)
                return generation
            finally:
                self._end_turn(turn)

    async def _route(self, attempt: Attempt) -> tuple[RoutePipeline, _Turn]:
        """Wait in the queue of the attempt's model for a route."""
        model_id = attempt.call.model_id
        self._require(model_id)
        waiter: _Waiter = (attempt, asyncio.get_running_loop().create_future())
        queue = self._queues[model_id]
        _line_up(queue, waiter)
        if queue[0] is waiter:
            self._hand_out(model_id)
        future = waiter[1]
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled() and future.exception() is None:
                self._end_turn(future.result()[1])
                raise
            if waiter in queue:  # who hands out drops the cancelled ones
                queue.remove(waiter)
            self._hand_out(model_id)
            raise

    def _require(self, model_id: str) -> None:
        if self._stop.stopping is not None:
            raise NotStarted("the run is stopping")
        if not any(route.serves(model_id) for route in self._routes):
            raise self._no_route(model_id)

    def _no_route(self, model_id: str) -> NoRoute:
        denials = (
            f"Route {route.name}: {denied.message} {denied.advice}".rstrip()
            for route in self._routes
            if (denied := route.denials.denied.get(model_id)) is not None
        )
        text = f"No route is left that serves {model_id}."
        return NoRoute(" ".join((text, *denials)), code="NoRoute")

    def _hand_out_all(self) -> None:
        for model_id in self._queues:
            self._hand_out(model_id)

    def _hand_out(self, model_id: str) -> None:
        """Send every attempt that a route is ready for; wake up when the next one will be."""
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
            route = min(self._routes, key=partial(self._preference, model_id))
            wait = self._ready_in(route, model_id)
            if wait > _DUE_S:
                if wait < math.inf:
                    later = asyncio.get_running_loop().call_later
                    self._timers[model_id] = later(wait, self._hand_out, model_id)
                return
            _, future = queue.popleft()
            if not future.done():
                future.set_result((route, self._new_turn(route, model_id)))

    def _new_turn(self, route: RoutePipeline, model_id: str) -> _Turn:
        turn: _Turn = asyncio.get_running_loop().create_future()
        self._coming[turn] = (route, model_id)
        turn.add_done_callback(self._end_turn)
        return turn

    def _end_turn(self, turn: _Turn) -> None:
        """An attempt has its turn, or has ended: routes may be ready for the next ones."""
        turn.cancel()
        self._coming.pop(turn, None)
        self._hand_out_all()

    def _ready_in(self, route: RoutePipeline, model_id: str) -> float:
        """Seconds until another attempt could start there; infinite if that is not known."""
        coming = [model for there, model in self._coming.values() if there is route]
        if model_id in coming or (coming and route.is_in_trouble()):
            return math.inf
        return route.ready_in(model_id)

    def _preference(self, model_id: str, route: RoutePipeline) -> tuple[float, int]:
        """The soonest first; of those that are ready now the one that has not refused lately.

        Otherwise the last task of a run would try a broken route while a sound one stands idle.
        """
        wait = self._ready_in(route, model_id)
        return (wait if wait > _DUE_S else 0.0, route.refusals(model_id))

    def _denied(self, route: RoutePipeline, model_id: str, error: ModelDenied) -> Exception:
        """What a denial by one route means: the next one may serve the model."""
        ended_before = model_id in route.denials.denied
        ended = route.denials.note(model_id, error)
        if not any(each is not route and each.serves(model_id) for each in self._routes):
            return self._no_route(model_id) if ended_before else error
        if ended:
            text = f"{model_id} cannot be used on it and goes by the others: {error.message}"
            self._notify(f"Route {route.name}: {text} {error.advice}".rstrip())
        return RouteDenied(
            f"Route {route.name}: {error.message}",
            code=error.code,
            advice=error.advice,
            request_id=error.request_id,
        )

    def _taken_out(self, route: RoutePipeline) -> None:
        if self._stop.stopping is not None or route.stop.stopping is None:
            return
        stopping = route.stop.stopping
        if any(other.stop.stopping is None for other in self._routes):
            self._notify(f"Route {route.name} is taken out: {stopping.text} The others go on.")
            self._hand_out_all()
        else:
            text = f"No route is left. Route {route.name}: {stopping.text}"
            self._stop.request(stopping.cause, text)

    def _stop_all(self) -> None:
        stopping = self._stop.stopping
        if stopping is not None:
            for route in self._routes:
                route.stop.request(stopping.cause, stopping.text)
        self._hand_out_all()


def _line_up(queue: deque[_Waiter], waiter: _Waiter) -> None:
    """Behind all others; a task that was refused before those that have not begun.

    Its time is limited: behind them, a route in trouble could refuse it until that is over.
    """
    if waiter[0].number == 1:
        queue.append(waiter)
        return
    begun = sum(1 for _ in takewhile(lambda each: each[0].number > 1, queue))
    queue.insert(begun, waiter)
