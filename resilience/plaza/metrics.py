"""Metrics and the request log: numbers and names of handlers, never what people sent or who they are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience.plaza.errors import not_found
from resilience.plaza.lanes import lane_of
from resilience.plaza.state import Plaza, plaza_of

SLOW_S = 1.0
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0)
SERVER_ERROR = 500

log = structlog.get_logger()


class Inside(Collector):
    """What a running plaza knows of itself, read when somebody asks."""

    def __init__(self, plaza: Plaza) -> None:
        self._plaza = plaza

    def collect(self) -> Iterator[Metric]:
        """Gate, line and connections."""
        plaza = self._plaza
        yield GaugeMetricFamily("plaza_open", "1 when people may read.", int(plaza.gate.why_closed is None))
        yield GaugeMetricFamily("plaza_line", "People who wait in line, when last looked.", plaza.door.line)
        yield CounterMetricFamily("plaza_let_in", "People let in from the line by this process.", plaza.door.let_in)
        broken = CounterMetricFamily("plaza_tasks_broken", "Times a task broke and began again.", labels=["task"])
        for name, times in plaza.tasks.broken.items():
            broken.add_metric([name], times)
        yield broken
        yield from self._keys()
        pools = plaza.db.stats()
        for name in ("pool_size", "pool_available", "requests_waiting"):
            family = GaugeMetricFamily(f"plaza_db_{name}", "Of the pools of connections.", labels=["pool"])
            for pool, values in pools.items():
                family.add_metric([pool], values.get(name, 0))
            yield family

    def _keys(self) -> Iterator[Metric]:
        """Persons' keys: whether somebody could write a first text, and whether what people wrote opens."""
        stock, keys, sealer = self._plaza.stock, self._plaza.keys, self._plaza.sealer
        yield GaugeMetricFamily("plaza_keys_ready", "Keys that wait for somebody's first text.", stock.ready)
        yield GaugeMetricFamily("plaza_keys_not_held", "Keys made, that too few vaults hold yet.", stock.not_held)
        missed = "Times a text was not opened, or not kept, since its key is not here."
        yield CounterMetricFamily("plaza_keys_missed", missed, keys.missed)
        in_clear = "1 while rows from before there were keys are left in clear."
        yield GaugeMetricFamily("plaza_rows_in_clear", in_clear, int(not sealer.done))


class Watch:
    """Times requests, and writes a line about those that write, fail or take long."""

    def __init__(self, plaza: Plaza) -> None:
        self._known = plaza.known
        self.registry = CollectorRegistry()
        self.registry.register(Inside(plaza))
        labels = ("handler", "method", "status", "lane")
        self._seconds = Histogram("plaza_request_seconds", "Requests.", labels, buckets=BUCKETS, registry=self.registry)

    def note(self, scope: Scope, status: int, seconds: float) -> None:
        """One request is over."""
        handler: Any = scope.get("endpoint")
        name = getattr(handler, "__name__", "")
        what = f"{handler.__module__.rpartition('.')[2]}.{name}" if name else "none"
        method, lane = scope["method"], lane_of(scope, self._known)
        method = method if method in METHODS else "other"
        self._seconds.labels(what, method, str(status), lane).observe(seconds)
        if status >= SERVER_ERROR or seconds > SLOW_S or method not in ("GET", "HEAD"):
            log.info("request", handler=what, method=method, status=status, ms=round(seconds * 1000, 1), lane=lane)


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Watched:
    """Tells the watch about every request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and see how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            scope["app"].state.watch.note(scope, status, time.monotonic() - began)


async def metrics(request: Request) -> Response:
    """GET /metrics: for operators on the host itself; whoever comes through the proxy finds nothing."""
    if "x-forwarded-for" in request.headers:
        raise not_found()
    plaza_of(request)
    return Response(generate_latest(request.app.state.watch.registry), media_type=CONTENT_TYPE_LATEST)
