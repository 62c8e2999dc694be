"""Compare `mfx serve` under load with its own core without a network, and with other servers.

    python benchmarks/bench_serving.py [--model DIR] [--seconds 10] [--rounds 3]

Requests have single rows for the taxi model: over REST by h2load, over gRPC by grpc_load. Servers
run one at a time, in turn, so that a slow moment of a shared machine affects all. A figure is the
median of the rounds. For all servers, server and load generator run on the same cores:
`--cpus SERVER:CLIENT`. Each server must first give the same prediction. A request that fails ends
the benchmark. A Markdown page is printed and, with --page, written to that file.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import serving_page
from bench import ROOT, leave_the_callers_environment
from serving_load import Cpus, Server, Setup, over_grpc, over_rest, same
from serving_subjects import SIGNATURE, SITE

from mfx.push.servers.process import free_ports

FASTAPI = ["fastapi==0.165.0", "uvicorn[standard]==0.54.0"]
SUBJECTS = Path(__file__).with_name("serving_subjects.py")
SERVE = ROOT / "lib" / "mfx" / "serve" / "__main__.py"
TRITON = "--engine triton"
START_SECONDS = 120


def main() -> None:
    """Measure, and print the page."""
    leave_the_callers_environment()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a version's folder; by default one is trained")
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "taxi" / "trips.csv")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    last = max(os.sched_getaffinity(0))
    parser.add_argument("--cpus", type=Cpus.parse, default=Cpus.parse(f"0:{last}"))
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    if not shutil.which("h2load"):
        sys.exit("h2load: not found. Install Debian's nghttp2-client")
    install_fastapi()
    with tempfile.TemporaryDirectory(prefix="mfx-bench-") as directory:
        version = version_of(given.model) if given.model else pushed(given.data, Path(directory))
        dtypes = inputs_of(version)
        row = first_row(given.data, dtypes)
        setup = Setup(version, row, dtypes, given.cpus, given.seconds, Path(directory))
        rounds = []
        for number in range(given.rounds):
            print(f"round {number + 1}", file=sys.stderr)
            rounds.append(one_round(setup))
    page = serving_page.render(rounds, setup.cpus, given.seconds, triton_missing())
    if given.page:
        given.page.write_text(page, encoding="utf-8")
    print(page)


def install_fastapi() -> None:
    """Install FastAPI and uvicorn in a separate folder, once."""
    done = SITE / ".installed"
    if not done.exists():
        uv = Path(sys.executable).with_name("uv")
        command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", SITE]
        subprocess.run([*command, *FASTAPI], check=True)
        done.touch()


def pushed(data: Path, folder: Path) -> Path:
    """Run the taxi pipeline; return the version that it pushes."""
    print("training a model", file=sys.stderr)
    environment = {**os.environ, "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder)}
    command = [sys.executable, ROOT / "flows" / "pipeline.py", "run", "--data", data]
    command += ["--destination", folder / "pushed"]
    subprocess.run(
        [str(word) for word in command], check=True, stdout=subprocess.DEVNULL, env=environment
    )
    return version_of(folder / "pushed" / "taxi")


def version_of(folder: Path) -> Path:
    """The folder itself, or the newest version in it."""
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [path for path in folder.iterdir() if path.name.isdecimal()]
    if not versions:
        sys.exit(f"{folder}: neither a SavedModel nor a folder of versions")
    return max(versions, key=lambda path: int(path.name))


def inputs_of(version: Path) -> dict[str, str]:
    """The types (DT_…) of the inputs of the signature `predict`, by name."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from tensorflow.core.framework.types_pb2 import DataType
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel.FromString((version / "saved_model.pb").read_bytes())
    inputs = model.meta_graphs[0].signature_def[SIGNATURE].inputs
    return {name: DataType.Name(info.dtype) for name, info in sorted(inputs.items())}


def first_row(data: Path, dtypes: dict[str, str]) -> dict[str, Any]:
    """The file's first row. Missing values are 0 or '', since not all servers know missing ones."""
    with data.open(encoding="utf-8") as lines:
        values = next(csv.DictReader(lines))
    row: dict[str, Any] = {}
    for name, dtype in dtypes.items():
        if dtype == "DT_STRING":
            row[name] = values[name]
        else:
            row[name] = (int if "INT" in dtype else float)(values[name] or 0)
    return row


def one_round(setup: Setup) -> dict[str, dict[str, float]]:
    """Measure each subject once; the results are by names that `serving_page` knows."""
    found: dict[str, dict[str, float]] = {}
    body = {"signature_name": SIGNATURE, "instances": [setup.row]}
    with server(setup, mfx(setup)) as ours:
        url = f"http://127.0.0.1:{ours.rest}/v1/models/taxi:predict"
        expected = answered(url, body)["predictions"][0][0]
        for clients in (1, 32, 64):
            before = batches(ours)
            found[f"rest {clients}"] = over_rest(setup, ours, url, body, clients)
            found[f"rest {clients}"]["batch"] = mean_batch(before, batches(ours))
        before = batches(ours)
        found["grpc 32"] = over_grpc(setup, ours, expected)
        found["grpc 32"]["batch"] = mean_batch(before, batches(ours))
    found |= ceilings(setup, {name: found[name]["batch"] for name in ("rest 32", "grpc 32")})
    for kind in ("fastapi", "keras"):
        with server(setup, subject(setup, kind)) as theirs:
            url = f"http://127.0.0.1:{theirs.rest}/predict"
            same(kind, answered(url, setup.row)["predictions"][0], expected)
            found[kind] = over_rest(setup, theirs, url, setup.row, 32)
    with server(setup, subject(setup, "grpc")) as theirs:
        found["eager grpc"] = over_grpc(setup, theirs, expected)
    if not triton_missing():
        with server(setup, mfx(setup, *TRITON.split())) as theirs:
            url, body = kserve(theirs, setup)
            same("triton", answered(url, body)["outputs"][0]["data"][0], expected)
            found["triton"] = over_rest(setup, theirs, url, body, 32)
    return found


def mfx(setup: Setup, *flags: str) -> list[str]:
    """The command `mfx serve` for a folder with only this version."""
    base = setup.folder / "served" / "taxi"
    if not base.exists():
        base.mkdir(parents=True)
        shutil.copytree(setup.version, base / "1")
    return [sys.executable, "-I", str(SERVE), str(base), *flags]


def subject(setup: Setup, kind: str) -> list[str]:
    """The command for one of `serving_subjects`."""
    return [sys.executable, str(SUBJECTS), kind, str(setup.version)]


def triton_missing() -> str:
    """Why Triton cannot be measured here; '' when it can."""
    if importlib.util.find_spec("pytriton") is None:
        return "the extra is not installed: uv sync --extra triton"
    said = subprocess.run(
        [sys.executable, "-I", SERVE, "--help"], capture_output=True, encoding="utf-8", check=True
    )
    return "" if "--engine" in said.stdout else "this `mfx serve` has no --engine"


@contextlib.contextmanager
def server(setup: Setup, command: list[str]) -> Iterator[Server]:
    """A context with a server that answers at its ports. It is stopped at the end."""
    rest, grpc = free_ports(2)
    if str(SERVE) in command:
        command = [*command, "--rest-port", str(rest), "--grpc-port", str(grpc)]
        ports = [rest, grpc] if "triton" not in command else [rest]
    else:
        kind = command[2]
        ports = [grpc if kind == "grpc" else rest]
        command = [*command, str(ports[0])]
    log = setup.folder / "server.log"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, setup.cpus.server),
            start_new_session=True,
        )
    try:
        end = time.monotonic() + START_SECONDS
        while not all(map(listening, ports)):
            if process.poll() is not None or time.monotonic() > end:
                said = log.read_text(encoding="utf-8", errors="replace")[-3000:]
                sys.exit(f"{' '.join(command)} did not start:\n{said}")
            time.sleep(0.1)
        yield Server(process.pid, rest, grpc)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listening(port: int) -> bool:
    """Whether a server listens at this port."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def answered(url: str, body: dict) -> Any:
    """A server's answer to one request."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def batches(at: Server) -> tuple[float, float]:
    """How many batches `mfx serve` has run so far, and how many rows they had."""
    with urllib.request.urlopen(
        f"http://127.0.0.1:{at.rest}/monitoring/prometheus/metrics", timeout=60
    ) as answer:
        page = answer.read().decode()
    count, rows = (
        sum(map(float, re.findall(rf"processed_batch_size_{which}\S* (\S+)", page)))
        for which in ("count", "sum")
    )
    return count, rows


def mean_batch(before: tuple[float, float], after: tuple[float, float]) -> float:
    """The mean number of rows per batch between two counts."""
    return (after[1] - before[1]) / (after[0] - before[0])


def ceilings(setup: Setup, sizes: dict[str, float]) -> dict[str, dict[str, float]]:
    """Measure the server's core alone at some batch sizes, and at the servers' mean batch sizes."""
    whole = sorted({1, 32, 64, *(n for size in sizes.values() for n in (int(size), int(size) + 1))})
    command = [*subject(setup, "ceiling"), f"{setup.seconds / 2:g}", json.dumps(setup.row)]
    done = subprocess.run(
        [*command, *map(str, whole)],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
        timeout=START_SECONDS + (len(whole) + 2) * (setup.seconds + 10),
        env={**os.environ, "PYTHONPATH": str(ROOT / "lib")},
        preexec_fn=lambda: os.sched_setaffinity(0, setup.cpus.server),
    )
    *by_itself, threads, coroutines = json.loads(done.stdout.splitlines()[-1])
    by_size = dict(zip(whole, by_itself, strict=True))
    found = {f"ceiling {size}": by_size[size] for size in (1, 32, 64)}
    found |= {"threads 32": threads, "coroutines 32": coroutines}
    for name, size in sizes.items():
        low, high = by_size[int(size)], by_size[int(size) + 1]
        part = size - int(size)
        mixed = {key: (1 - part) * low[key] + part * high[key] for key in low}
        # The time per batch is interpolated, not the rate.
        mixed |= {"rate": size / mixed["seconds_batch"], "cpu": mixed["cpu_batch"] / size}
        found[f"ceiling at {name}"] = mixed
    return found


def kserve(at: Server, setup: Setup) -> tuple[str, dict]:
    """Address and body of a request to Triton, by KServe's V2 protocol."""
    url = f"http://127.0.0.1:{at.rest}/v2/models/taxi"
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                inputs = json.load(answer)["inputs"]
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    return f"{url}/infer", {
        "inputs": [
            {
                "name": each["name"],
                "shape": [1 if size < 0 else size for size in each["shape"]],
                "datatype": each["datatype"],
                "data": [setup.row[each["name"]]],
            }
            for each in inputs
            if each["name"] in setup.row
        ]
    }


if __name__ == "__main__":
    main()
