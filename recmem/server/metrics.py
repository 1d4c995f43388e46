"""What the service counts, in Prometheus' form."""

from __future__ import annotations

import time
from dataclasses import asdict, fields

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.server.current_model import LoadedModel

DURATION_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
"""Upper ends of the histogram of durations."""
OTHER = "other"
"""Path of requests to no endpoint: their own spelling would make a series each."""


class Metrics:
    """The service's counters, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter("recmem_requests_total", "Requests.", ("path", "status"), registry=self._registry)
        self.seconds = Histogram(
            "recmem_request_seconds",
            "Duration of a request.",
            ("path",),
            buckets=DURATION_BUCKETS_S,
            registry=self._registry,
        )
        self.batch_size = Histogram(
            "recmem_batch_requests",
            "Requests that were answered by one call of the model.",
            ("path",),
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self._registry,
        )
        self._unmatched = Counter(
            "recmem_unmatched_rows_total",
            "Candidates that were scored with less than the full information, by what was missing.",
            ("missing",),
            registry=self._registry,
        )
        for field in fields(UnmatchedRows):
            self._unmatched.labels(field.name)  # so that each is there, with 0
        self.loads = Counter("recmem_model_loads_total", "Models loaded.", registry=self._registry)
        self._model = Gauge("recmem_model_info", "1 for the model in use.", ("model",), registry=self._registry)
        self._loaded_at = Gauge(
            "recmem_model_loaded_timestamp_seconds", "When the model in use was loaded.", registry=self._registry
        )
        self.follow_failed = Gauge(
            "recmem_model_follow_failed",
            "1 if a newer version of the model could not be loaded.",
            registry=self._registry,
        )

    def unmatched(self, rows: UnmatchedRows) -> None:
        """Counts what one call of the model could not match."""
        for missing, n_rows in asdict(rows).items():
            self._unmatched.labels(missing).inc(n_rows)

    def loaded(self, model: LoadedModel) -> None:
        """Notes the model in use."""
        self.loads.inc()
        self._model.clear()
        self._model.labels(model.name).set(1)
        self._loaded_at.set(model.loaded_at.timestamp())

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry)


class CountRequests:
    """ASGI middleware that counts requests and their durations."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, paths: frozenset[str]) -> None:
        """`paths` are those of the application's endpoints."""
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else OTHER
        begin = time.perf_counter()
        status = 500  # unless the application answers

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            self._metrics.requests.labels(path, status).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - begin)
