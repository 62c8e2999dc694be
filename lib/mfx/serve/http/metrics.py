"""What the server counts, for Prometheus, under TF Serving's names where it has them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from mfx.serve.versions import ModelVersions

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATH = "/monitoring/prometheus/metrics"
_REQUESTS = ":tensorflow:serving:request_count"
# TF Serving's, `servables/tensorflow/util.cc`: 33 of them, 10 us to about 20 minutes.
_MICROSECONDS = tuple(10 * 1.8**power for power in range(33))
_ROWS = tuple(2**power for power in range(15))
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_STATES = {10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}


class Metrics:
    """The counts of one server, of REST and gRPC together; safe in threads.

    Args:
        models: Those served, whose versions' states are shown.
    """

    def __init__(self, models: Mapping[str, ModelVersions]) -> None:
        self.registry = CollectorRegistry()
        self._models = models
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str]] = Counter()
        # prometheus_client's labels() takes longer than what it finds: the finds are kept.
        self._observers: dict[tuple[str, str, str], Callable[[float], None]] = {}
        self._latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Wall time of answered requests, in microseconds.",
            ["model_name", "API", "entrypoint"],
            buckets=_MICROSECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            ":tensorflow:serving:batching_session:processed_batch_size",
            "Rows of the batches that were run, without padding.",
            ["model_name"],
            buckets=_ROWS,
            registry=self.registry,
        )
        self._loads = Histogram(
            "mfx_serve_model_load_seconds",
            "Time to fetch, load and warm a version.",
            ["model_name"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.registry.register(self)

    def observe(self, model: str, api: str, entrypoint: str, code: str, seconds: float) -> None:
        """Count a request.

        Args:
            model: The model's name; counted as '' when it is none of those served, so that
                requests cannot add to the series without end.
            api: `predict`, `classify`, `regress` over REST, `Predict` and so on over gRPC.
            entrypoint: `REST` or `GRPC`.
            code: gRPC's, `OK` for an answer; the time of others is not counted, as in TF Serving.
            seconds: From the request's arrival to its answer.
        """
        if model not in self._models:
            model = ""
        with self._lock:
            self._requests[model, code] += 1
        if code != "OK":
            return
        observe = self._observers.get((model, api, entrypoint))
        if observe is None:
            observe = self._latency.labels(model, api, entrypoint).observe
            self._observers[model, api, entrypoint] = observe
        observe(seconds * 1e6)

    def batch_observer(self, model: str) -> Callable[[int], None]:
        """What a model's batches tell their rows to: `BatchingParameters.observed`."""
        return self._batches.labels(model).observe

    def observe_load(self, model: str, seconds: float) -> None:
        """Count a version that was loaded."""
        self._loads.labels(model).observe(seconds)

    def page(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def describe(self) -> list[Metric]:
        """None: the registry need not ask for the names at once."""
        return []

    def collect(self) -> Iterator[Metric]:
        """What is not kept in the form of prometheus_client."""
        # Its Counter would add `_total` to the name.
        requests = Metric(_REQUESTS, "Requests by status.", "unknown")
        with self._lock:
            counted = sorted(self._requests.items())
        for (model, code), count in counted:
            requests.add_sample(_REQUESTS, {"model_name": model, "status": code}, count)
        yield requests
        states = GaugeMetricFamily(
            "mfx_serve_version_state",
            "1 for the state that a version is in.",
            labels=["model_name", "version", "state"],
        )
        stored = GaugeMetricFamily(
            "mfx_serve_version_stored",
            "1 for what became of a served version's folder: same, changed, gone.",
            labels=["model_name", "version", "stored"],
        )
        for name, versions in self._models.items():
            for status in versions.status():
                version = str(status.version)
                states.add_metric([name, version, _STATES[status.state]], 1)
                if _STATES[status.state] == "AVAILABLE":
                    stored.add_metric([name, version, status.stored], 1)
        yield states
        yield stored
