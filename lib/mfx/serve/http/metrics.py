"""The server's metrics for Prometheus. They have TF Serving's names if it has the same metric."""

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
# The buckets of TF Serving (`servables/tensorflow/util.cc`): 33, from 10 us to about 20 minutes.
_MICROSECONDS = tuple(10 * 1.8**power for power in range(33))
_ROWS = tuple(2**power for power in range(15))
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_STATES = {10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}


class Metrics:
    """The metrics of one server, for REST and gRPC together. Threads may share it.

    Args:
        models: The served models, by name. The states of their versions are shown.
    """

    def __init__(self, models: Mapping[str, ModelVersions]) -> None:
        self.registry = CollectorRegistry()
        self._models = models
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str]] = Counter()
        # The results of prometheus_client's labels() are kept, since that method is slow.
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
            model: The model's name. A model that is not served counts as '', so that clients
                cannot create any number of series.
            api: `predict`, `classify` or `regress` over REST; `Predict` and so on over gRPC.
            entrypoint: `REST` or `GRPC`.
            code: gRPC's status code. Only for `OK` the time is counted, as in TF Serving.
            seconds: The time from the request's arrival to its answer.
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
        """The function for `BatchingParameters.observed`: counts the rows of a model's batches."""
        return self._batches.labels(model).observe

    def observe_load(self, model: str, seconds: float) -> None:
        """Count a version that was loaded."""
        self._loads.labels(model).observe(seconds)

    def page(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def describe(self) -> list[Metric]:
        """An empty list, so that the registry does not call `collect` for the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that are not kept by prometheus_client."""
        # Not a Counter, since prometheus_client would add `_total` to its name.
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
            "1 for the state of a served version's folder: same, changed or gone.",
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
