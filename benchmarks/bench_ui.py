"""How soon `mfx ui` shows 200 runs, from the start of its process.

    python benchmarks/bench_ui.py [--runs 200] [--rounds 5] [--store DIR] [--s3]

Runs the taxi pipeline once and copies the finished run, each copy with results of its own, into a
local datastore; with --s3 what the runs left lies on a moto server. Then starts `mfx ui` again and
again: cold, without anything that MFX or Metaflow's client keeps from earlier calls, and warm.
A figure is the median of the rounds. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import leave_the_callers_environment

UNREAD = re.compile(r"; ([\d,]+) of [\d,]+ are still being read")


@dataclass(frozen=True)
class Start:
    """One start of `mfx ui`.

    Args:
        first: Seconds from the start of the process until the first page had come.
        request: Seconds that the first page itself took.
        cpu: Seconds of CPU that the process had taken by then.
        read: Runs of the first page's list that were read by then.
        all: Seconds from the start of the process until all runs were read.
        again: Seconds that the page takes then.
    """

    first: float
    request: float
    cpu: float
    read: int
    all: float
    again: float


def main() -> None:
    """Measure and print the table."""
    leave_the_callers_environment()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--store", type=Path, help="folder with runs of an earlier call")
    parser.add_argument("--s3", action="store_true", help="results on S3 (moto)")
    given = parser.parse_args()
    store = given.store or Path(tempfile.mkdtemp(prefix="mfx-bench-ui-"))
    if not (store / ".metaflow").is_dir():
        make_runs(store, given.runs)
    print(f"runs in {store}; use --store to measure with them again")
    with on_s3(store) if given.s3 else contextlib.nullcontext(store) as shown:
        table: dict[str, list[Start]] = {"cold": [], "warm": []}
        for _ in range(given.rounds):
            with tempfile.TemporaryDirectory() as kept:
                table["cold"].append(start(shown, Path(kept), given.runs))
                table["warm"].append(start(shown, Path(kept), given.runs))
    print("| | first page | of that the request | CPU | runs read by then | all read | page then |")
    print("|---|---|---|---|---|---|---|")
    for name, starts in table.items():
        f = {key: statistics.median(vars(one)[key] for one in starts) for key in vars(starts[0])}
        print(
            f"| {name} | {f['first']:.2f} s | {f['request']:.2f} s | {f['cpu']:.2f} s | "
            f"{f['read']:.0f} of {given.runs} | {f['all']:.1f} s | {f['again'] * 1000:.0f} ms |"
        )


def make_runs(store: Path, count: int) -> None:
    """A run of the taxi pipeline, and copies of it."""
    from helpers.flows import call_flow
    from helpers.many_runs import copies

    store.mkdir(parents=True, exist_ok=True)
    ran = call_flow(store, "run", "--steps", "100", "--destination", str(store / "pushed"))
    if ran.code:
        sys.exit(ran.output)
    copies(ran.run, store / ".metaflow", count - 1)


@contextlib.contextmanager
def on_s3(store: Path) -> Iterator[Path]:
    """The same runs with their results on a moto server; their metadata stay local."""
    import boto3
    from helpers import local_s3

    with local_s3.running() as environment, tempfile.TemporaryDirectory() as folder:
        os.environ.update(environment)
        client = boto3.client("s3")
        client.create_bucket(Bucket="runs")
        root, here = Path(folder, ".metaflow"), store / ".metaflow"
        for file in (here / "Pipeline").rglob("*"):
            name = file.relative_to(here).as_posix()
            if "/_meta/" in name and file.is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                text = file.read_text(encoding="utf-8").replace(str(here), "s3://runs/metaflow")
                text = text.replace('"ds_type": "local"', '"ds_type": "s3"')
                (root / name).write_text(
                    text.replace('"value": "local"', '"value": "s3"'), encoding="utf-8"
                )
            elif "/data/" in name and file.is_file():  # the results themselves
                client.put_object(Bucket="runs", Key=f"metaflow/{name}", Body=file.read_bytes())
        yield Path(folder)


def start(store: Path, kept: Path, runs: int) -> Start:
    """Start `mfx ui` over a folder's runs, and look at its first page."""
    port = _free_port()
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(kept / "mfx"),
        "METAFLOW_CLIENT_CACHE": str(kept / "metaflow"),
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(store),
    }
    mfx = shutil.which("mfx", path=str(Path(sys.executable).parent))
    command = [str(mfx), "ui", "--no-browser", "--all", "--port", str(port)]
    address = f"http://127.0.0.1:{port}/"
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=store, env=environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        asked = time.monotonic()
        text = _get(address)
        first = time.monotonic()
        cpu = _cpu_seconds(process.pid)
        read = runs - _unread(text)
        while _unread(_get(f"{address}part/runs")):
            time.sleep(0.05)
        everything = time.monotonic()
        _get(address)
        again = time.monotonic() - everything
        return Start(first - began, first - asked, cpu, read, everything - began, again)
    finally:
        process.terminate()
        process.wait()


def _get(address: str) -> str:
    with urllib.request.urlopen(address) as answer:
        return answer.read().decode()


def _unread(text: str) -> int:
    found = UNREAD.search(text)
    return int(found[1].replace(",", "")) if found else 0


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


if __name__ == "__main__":
    main()
