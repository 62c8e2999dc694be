"""The metrics, read by Prometheus' own parser."""

from __future__ import annotations

import threading

from prometheus_client.parser import text_string_to_metric_families

from mfx.serve.http.metrics import Metrics


class Versions:
    """A model of one version."""

    def __init__(self, *statuses):
        self._statuses = statuses

    def status(self):
        return self._statuses


def samples(metrics):
    families = text_string_to_metric_families(metrics.page().decode())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_requests_by_status_and_their_latency():
    metrics = Metrics({"m": Versions()})
    metrics.observe("m", "predict", "REST", "OK", 0.001)
    metrics.observe("m", "predict", "REST", "OK", 0.003)
    metrics.observe("m", "Predict", "GRPC", "NOT_FOUND", 5)
    found = samples(metrics)
    count = ":tensorflow:serving:request_count"
    assert found[count, ("model_name", "m"), ("status", "OK")] == 2
    assert found[count, ("model_name", "m"), ("status", "NOT_FOUND")] == 1
    labels = (("API", "predict"), ("entrypoint", "REST"), ("model_name", "m"))
    latency = ":tensorflow:serving:request_latency"
    assert found[(latency + "_count", *labels)] == 2
    assert abs(found[(latency + "_sum", *labels)] - 4000) < 1e-6
    # 10 * 1.8^7 = 612 < 1000 us <= 10 * 1.8^8 = 1101.996 < 3000 us.
    below = {
        dict(key[1:])["le"].partition(".")[0]: value
        for key, value in found.items()
        if key[0] == latency + "_bucket"
    }
    assert below["612"] == 0 and below["1101"] == 1 and below["+Inf"] == 2
    assert not any("GRPC" in str(key) for key in found)


def test_unknown_names_make_no_series():
    metrics = Metrics({"m": Versions()})
    for number in range(100):
        metrics.observe(f"x{number}", "predict", "REST", "NOT_FOUND", 0)
    found = samples(metrics)
    key = (":tensorflow:serving:request_count", ("model_name", ""), ("status", "NOT_FOUND"))
    assert found[key] == 100
    assert not any("x1" in str(key) for key in found)


def test_batches_loads_and_states():
    from mfx.serve.versions import VersionStatus

    metrics = Metrics({"m": Versions(VersionStatus(7, 30), VersionStatus(6, 50))})
    observe = metrics.batch_observer("m")
    for rows in (1, 3, 32):
        observe(rows)
    metrics.observe_load("m", 2.0)
    found = samples(metrics)
    name = ":tensorflow:serving:batching_session:processed_batch_size"
    assert found[name + "_count", ("model_name", "m")] == 3
    assert found[name + "_sum", ("model_name", "m")] == 36
    assert found[name + "_bucket", ("le", "4.0"), ("model_name", "m")] == 2
    assert found["mfx_serve_model_load_seconds_sum", ("model_name", "m")] == 2
    state = "mfx_serve_version_state"
    assert found[state, ("model_name", "m"), ("state", "AVAILABLE"), ("version", "7")] == 1
    assert found[state, ("model_name", "m"), ("state", "END"), ("version", "6")] == 1
    stored = {key: value for key, value in found.items() if key[0] == "mfx_serve_version_stored"}
    key = ("mfx_serve_version_stored", ("model_name", "m"), ("stored", "same"), ("version", "7"))
    assert stored == {key: 1}


def test_threads_lose_no_count():
    metrics = Metrics({"m": Versions()})

    def count():
        for _ in range(2000):
            metrics.observe("m", "predict", "REST", "OK", 0.001)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    key = (":tensorflow:serving:request_count", ("model_name", "m"), ("status", "OK"))
    assert samples(metrics)[key] == 8000
