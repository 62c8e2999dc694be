"""The loads of `bench_serving`: single rows over REST and gRPC, and the server's CPU time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from grpc_load import load
from serving_subjects import OUTPUT, SIGNATURE

WARM_UP_SECONDS = 2


class Cpus(NamedTuple):
    """Where servers and load generators run."""

    server: tuple[int, ...]
    client: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Cpus:
        """Parse `SERVER:CLIENT`, such as `0:1` or `0,1:2,3`."""
        server, client = (tuple(map(int, part.split(","))) for part in text.split(":"))
        return cls(server, client)


class Setup(NamedTuple):
    """What all subjects have in common.

    Attributes:
        version: The SavedModel's folder.
        row: The features of one row, by name.
        dtypes: The types of the signature's inputs, such as `DT_INT64`.
        cpus: Where servers and load generators run.
        seconds: How long to measure.
        folder: A folder for files.
    """

    version: Path
    row: dict[str, Any]
    dtypes: dict[str, str]
    cpus: Cpus
    seconds: float
    folder: Path


class Server(NamedTuple):
    """A started server."""

    pid: int
    rest: int
    grpc: int


def over_rest(setup: Setup, at: Server, url: str, body: dict, clients: int) -> dict[str, float]:
    """Put a load on a server by h2load over HTTP/1.1; each client has one open request."""
    file, log = setup.folder / "body.json", setup.folder / "requests.tsv"
    file.write_text(json.dumps(body), encoding="utf-8")
    command = ["h2load", "--h1", f"--clients={clients}", f"--data={file}"]
    command += ["--header=content-type: application/json", f"--log-file={log}"]
    # Without a warm-up, h2load 1.52 sometimes hangs after its first requests.
    command += [f"--warm-up-time={WARM_UP_SECONDS}", f"--duration={setup.seconds:g}"]
    log.unlink(missing_ok=True)
    cpu = cpu_seconds(at.pid)
    said = h2load(setup, [*command, url])
    cpu = cpu_seconds(at.pid) - cpu
    rows = [line.split("\t") for line in log.read_text(encoding="utf-8").splitlines()]
    counts = [int(n) for n in re.findall(r"(\d+) (?:failed|errored|timeout|[345]xx)", said)]
    if not rows or any(counts) or any(status != "200" for _, status, _ in rows):
        sys.exit(f"{url}: not every request was answered with 200:\n{said}")
    times = sorted(int(taken) / 1000 for _, _, taken in rows)
    return {
        "rate": len(times) / setup.seconds,
        "p50": quantile(times, 0.5),
        "p99": quantile(times, 0.99),
        "cpu": 1e6 * cpu / len(times) * in_measured(setup),
    }


def h2load(setup: Setup, command: list[str]) -> str:
    """Run h2load on the client's cores; return its output."""
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        encoding="utf-8",
        preexec_fn=lambda: os.sched_setaffinity(0, setup.cpus.client),
    )
    return done.stdout


def quantile(ordered: Sequence[float], q: float) -> float:
    """The quantile `q` (0 to 1) of sorted values."""
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def over_grpc(setup: Setup, at: Server, expected: float) -> dict[str, float]:
    """Put a load on a server by `grpc_load`: Predict, with 32 open requests."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "taxi", SIGNATURE
    for name, value in setup.row.items():
        dtype = getattr(tf, setup.dtypes[name].removeprefix("DT_").lower(), tf.float32)
        request.inputs[name].CopyFrom(tf.make_tensor_proto([value], dtype))
    address = f"127.0.0.1:{at.grpc}"
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        outputs = stub.Predict(request, timeout=60).outputs
    same(address, tf.make_ndarray(outputs[OUTPUT])[0, 0], expected)
    cpu = cpu_seconds(at.pid)
    found = load(
        address,
        request.SerializeToString(),
        seconds=setup.seconds,
        warm_up=WARM_UP_SECONDS,
        cpus=setup.cpus.client,
    )
    if found.errors:
        sys.exit(f"gRPC: {found.errors}")
    cpu = cpu_seconds(at.pid) - cpu
    return {
        "rate": found.rate,
        "p50": found.p50_ms,
        "p99": found.p99_ms,
        "cpu": 1e6 * cpu / found.requests * in_measured(setup),
    }


def in_measured(setup: Setup) -> float:
    """The measured share of a load's time: the warm-up takes CPU time too."""
    return setup.seconds / (setup.seconds + WARM_UP_SECONDS)


def cpu_seconds(pid: int) -> float:
    """The CPU time in seconds of a process and its children so far."""
    own = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [
        child for task in tasks for child in (task / "children").read_text(encoding="utf-8").split()
    ]
    ticks = int(own[11]) + int(own[12])
    return ticks / os.sysconf("SC_CLK_TCK") + sum(cpu_seconds(int(child)) for child in children)


def same(kind: str, got: float, expected: float) -> None:
    """End the benchmark if a server gives another prediction."""
    if abs(got - expected) > 1e-5:
        sys.exit(f"{kind} predicts {got}, mfx serve {expected}")
