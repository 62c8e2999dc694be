"""The Markdown page of `bench_serving`."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from typing import Any

ROWS = {
    "ceiling 1": "core in process, 1 row under way",
    "ceiling 32": "core in process, 32 rows",
    "ceiling 64": "core in process, 64 rows",
    "ceiling at rest 32": "core in process, batches of REST at 32",
    "ceiling at grpc 32": "core in process, batches of gRPC at 32",
    "threads 32": "core in process, 32 threads that wait",
    "coroutines 32": "core in process, 32 coroutines that wait",
    "rest 1": "`mfx serve`, REST, 1 client",
    "rest 32": "`mfx serve`, REST, 32 clients",
    "rest 64": "`mfx serve`, REST, 64 clients",
    "grpc 32": "`mfx serve`, gRPC, 32 under way",
    "triton": "`mfx serve --engine triton`, REST, 32 clients",
    "fastapi": "FastAPI, eager signature, REST, 32 clients",
    "keras": "FastAPI, Keras' `model.predict`, REST, 32 clients",
    "eager grpc": "gRPC thread pool, eager signature, 32 under way",
}
"""The measured subjects, in the order of the page."""
Rounds = Sequence[dict[str, dict[str, float]]]


def middle(rounds: Rounds, name: str, key: str) -> float:
    """The median over rounds."""
    return statistics.median(found[name][key] for found in rounds)


def ratio(rounds: Rounds, name: str, other: str) -> float:
    """The median over rounds of the ratio of two rates in the same round."""
    return statistics.median(found[name]["rate"] / found[other]["rate"] for found in rounds)


def render(rounds: Rounds, cpus: Any, seconds: float, triton_missing: str) -> str:
    """The page.

    Args:
        rounds: The results of each round for each of ROWS: `rate` per second, `p50` and `p99` in
            ms, `cpu` in microseconds per row, `batch` in rows.
        cpus: The cores on which servers and load generators ran.
        seconds: The length of one measurement.
        triton_missing: Why Triton was not measured; '' if it was.
    """
    table = "\n".join(_row(rounds, name) for name in ROWS if name in rounds[0])
    bounds = "\n".join(_bounds(rounds))
    without = f"\nTriton was not measured: {triton_missing}.\n" if triton_missing else ""
    server, client = (", ".join(map(str, where)) for where in cpus)
    return f"""# Benchmarks: serving

One row of the taxi model in each request, on its signature `predict`. Servers run one after
another, pinned to core {server}, the load generator (h2load over HTTP/1.1;
`benchmarks/grpc_load.py`) to core {client}. Medians of {len(rounds)} rounds of {seconds:g} s, in
brackets the least and the most. The first answer of each server is compared with the others', and
one request that fails ends the run. Made by `make bench-serving` on
{datetime.date.today().isoformat()}: {platform.system()} {platform.machine()}, {os.cpu_count()}
cores, Python {platform.python_version()}, {_versions()}.

| | requests/s | p50 | p99 | CPU of the server per row | rows in a batch |
|---|---|---|---|---|---|
{table}
{without}
| must hold | found | holds |
|---|---|---|
{bounds}

"Core in process" is what both APIs are built on: `ServedModel` and its batches. It is given rows
that are ready to be run; no request is received, read or answered. The stated number of rows is
always under way. The batching thread itself sends them again, so that one batch has them all and
nobody waits. "Batches of REST at 32" is the same, at the mean size that the server's batches had in
the same round (`processed_batch_size` of its metrics). Threads and coroutines wait for each answer,
as clients do.

The FastAPI server takes a typed Pydantic model and calls the model in a plain `def`, on uvicorn
with uvloop and httptools and without access log. The exported SavedModel takes raw features and is
no Keras model, so the usual way is to call its signature eagerly. A `keras.Model` around it gives
`model.predict`. The eager gRPC server is the stock servicer of `tensorflow-serving-api`.
"""


def _row(rounds: Rounds, name: str) -> str:
    rates = [found[name]["rate"] for found in rounds]
    cells = [
        f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})",
        *(_cell(rounds, name, key, "{:.2f} ms") for key in ("p50", "p99")),
        _cell(rounds, name, "cpu", "{:.0f} µs"),
        _cell(rounds, name, "batch", "{:.1f}"),
    ]
    return f"| {ROWS[name]} | {' | '.join(cells)} |"


def _cell(rounds: Rounds, name: str, key: str, form: str) -> str:
    return form.format(middle(rounds, name, key)) if key in rounds[0][name] else ""


def _bounds(rounds: Rounds) -> list[str]:
    of_ceiling = ratio(rounds, "rest 32", "ceiling at rest 32")
    of_cpu = middle(rounds, "ceiling at rest 32", "cpu") / middle(rounds, "rest 32", "cpu")
    of_threads, of_coroutines = (
        ratio(rounds, "rest 32", f"{kind} 32") for kind in ("threads", "coroutines")
    )
    fastapi, keras = (ratio(rounds, "rest 32", name) for name in ("fastapi", "keras"))
    p99 = middle(rounds, "rest 32", "p99")
    rate, eager = middle(rounds, "grpc 32", "rate"), ratio(rounds, "grpc 32", "eager grpc")
    return [
        _bound(
            "REST at 32 ≥ 60 % of the core at the same batch sizes",
            f"{of_ceiling:.0%} (of CPU time {of_cpu:.0%})",
            of_ceiling >= 0.6,
        ),
        _bound("as much of 32 threads in process", f"{of_threads:.0%}", of_threads >= 0.6),
        _bound("as much of 32 coroutines in process", f"{of_coroutines:.0%}", of_coroutines >= 0.6),
        _bound("REST at 32 ≥ 5 x FastAPI, eager signature", f"{fastapi:.1f} x", fastapi >= 5),
        _bound("REST at 32 ≥ 5 x FastAPI, `model.predict`", f"{keras:.1f} x", keras >= 5),
        _bound("REST at 32: p99 ≤ 10 ms", f"{p99:.1f} ms", p99 <= 10),
        _bound(
            "gRPC at 32 ≥ 2,000 requests/s or ≥ 3 x the eager server",
            f"{rate:,.0f}, {eager:.1f} x",
            rate >= 2000 or eager >= 3,
        ),
    ]


def _bound(what: str, found: str, holds: bool) -> str:
    return f"| {what} | {found} | {'yes' if holds else '**no**'} |"


def _versions() -> str:
    names = ["tensorflow", "aiohttp", "uvloop", "grpcio"]
    said = subprocess.run(
        ["h2load", "--version"], capture_output=True, encoding="utf-8", check=True
    )
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names]
    return ", ".join([*versions, said.stdout.strip().replace("/", " ")])
