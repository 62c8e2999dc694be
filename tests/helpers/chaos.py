"""Runs of the flow killed at random moments, resumed, and held to the hashes of an unbroken run.

    make chaos ARGS="--kills 5 --storage local --storage s3"

The whole run dies by SIGKILL, scheduler and task, as when a machine is lost. Prints one line a kill
and, at the end, how many ended with the unbroken run's hashes; exit code 1 if one did not.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers import hermetic, local_s3

FLOW = Path(__file__).resolve().parents[2] / "flows" / "pipeline.py"
STEPS = ["start", "ingest", "validate", "transform", "train", "evaluate", "push", "end"]
STARTING = re.compile(r"\[(?P<run>\d+)/(?P<step>\w+)/\d+ \(pid \d+\)\] Task is starting\.")
RUN = re.compile(r"Workflow starting \(run-id (\d+)\)")
FINISHED = re.compile(r"/(?P<step>\w+)/\d+ \(pid \d+\)\] Task finished successfully\.")


@dataclass(frozen=True)
class Storage:
    """Where runs leave their results: Metaflow's settings for it, and where to push to."""

    name: str
    environment: dict[str, str]
    root: str

    def flow(self, *arguments: str) -> list[str]:
        """The command line of the flow on this storage."""
        return [sys.executable, str(FLOW), *arguments]


@contextmanager
def storage(name: str, folder: Path) -> Iterator[Storage]:
    """A storage of its own below a folder: `local`, or `s3` on localhost."""
    common = {
        **os.environ,
        "METAFLOW_USER": "chaos",
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder),
    }
    if name == "local":
        yield Storage(name, common, str(folder))
        return
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for each request
    with local_s3.running() as given:
        local_s3.client(given).create_bucket(Bucket="chaos")
        metaflow = {
            "METAFLOW_DEFAULT_DATASTORE": "s3",
            "METAFLOW_DATASTORE_SYSROOT_S3": "s3://chaos/metaflow",
            "METAFLOW_S3_ENDPOINT_URL": given["AWS_ENDPOINT_URL"],
        }
        yield Storage(name, {**common, **given, **metaflow}, "s3://chaos")


def digests(storage: Storage, run: str) -> dict[str, Any]:
    """Hashes of all that a run left, but for times and the run's own id."""
    code = (
        "import json, sys\n"
        "from metaflow import Run, namespace\n"
        "namespace(None)\n"
        "d = Run(sys.argv[1]).data\n"
        "print(json.dumps({\n"
        "  'examples': d.examples.digest, 'statistics': d.statistics.digest,\n"
        "  'schema': d.schema.digest, 'anomalies': len(d.anomalies.found),\n"
        "  'graph': d.transform_graph.digest, 'transformed': d.transformed.digest,\n"
        "  'weights': d.model.weights, 'model': d.model.payload.digest,\n"
        "  'logs': d.model.logs.digest, 'predictions': d.evaluation.predictions.digest,\n"
        "  'results': d.evaluation.results.digest,\n"
        "  'metrics': [(str(row.slice), row.metrics) for row in d.evaluation.rows],\n"
        "  'blessed': d.evaluation.blessing.blessed, 'pushed': d.pushed.pushed,\n"
        "}))\n"
    )
    import json

    done = subprocess.run(
        [sys.executable, "-c", code, f"Pipeline/{run}"],
        env={**storage.environment, "METAFLOW_DEFAULT_METADATA": "local"},
        cwd=storage.environment["METAFLOW_DATASTORE_SYSROOT_LOCAL"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def unbroken(storage: Storage, destination: str, *arguments: str) -> tuple[str, dict[str, float]]:
    """A run without a kill: its id, and how long each step took, in seconds."""
    times: dict[str, float] = {}
    run = ""
    with _process(storage, "run", "--destination", destination, *arguments) as process:
        for line in process.stdout:
            now = time.monotonic()
            if found := STARTING.search(line):
                run = found["run"]
                times.setdefault(found["step"], now)
            elif (found := FINISHED.search(line)) and found["step"] in times:
                times[found["step"]] = now - times[found["step"]]
        if process.wait():
            raise RuntimeError("the unbroken run failed")
    return run, times


def killed(storage: Storage, step: str, after: float, *command: str, tasks: int = 1) -> str | None:
    """`run` or `resume` killed some seconds after a step has begun: the run's id, or None if the
    step was done before: so many tasks of it."""
    with _process(storage, *command) as process:
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
        run, end = "", None
        while True:
            try:
                line = lines.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
            except queue.Empty:
                os.killpg(process.pid, signal.SIGKILL)
                return run
            if line is None:
                return None
            if (found := STARTING.search(line)) and found["step"] == step:
                run, end = found["run"], end or time.monotonic() + after
            elif (found := FINISHED.search(line)) and found["step"] == step:
                tasks -= 1
                if not tasks:
                    return None


def _read(stream: Iterable[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def resumed(storage: Storage, run: str) -> tuple[str, list[str]]:
    """Resume a run: the new run's id, and the steps that were done anew."""
    with _process(storage, "resume", "--origin-run-id", run) as process:
        lines = list(process.stdout)
        if process.wait():
            raise RuntimeError("resume failed:\n" + "".join(lines[-30:]))
    begun = [found["step"] for line in lines if (found := STARTING.search(line))]
    return next(found[1] for line in lines if (found := RUN.search(line))), begun


@contextmanager
def _process(storage: Storage, *arguments: str) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        storage.flow(*arguments),
        env=storage.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _dead(
    place: Storage,
    step: str,
    times: dict[str, float],
    targets: Iterator[str],
    draw: random.Random | None,
) -> tuple[str, float]:
    """A run killed in a step: its id, and after how many seconds of the step."""
    while True:
        after = draw.uniform(0, times[step]) if draw else 0.0
        # A destination for each run, or the model pushed before would be its baseline.
        dead = killed(place, step, after, "run", "--destination", next(targets))
        if dead is not None:
            return dead, after
        times[step] *= 0.9  # it is not always as slow


def _outcome(
    place: Storage, dead: str, step: str, expected: dict[str, Any]
) -> tuple[list[str], str]:
    """What is wrong with what `resume` makes of a killed run, and a line on it."""
    try:
        again, anew = resumed(place, dead)
    except RuntimeError as error:
        return ["resume"], f"FAILED: {error}"
    found = digests(place, again)
    wrong = [key for key in expected if found[key] != expected[key]]
    wrong += [f"{s} done anew" for s in STEPS[: STEPS.index(step)] if s in anew]
    said = f"DIFFERS: {', '.join(wrong)}" if wrong else "equal"
    return wrong, f"done anew: {', '.join(anew)}; {said}"


def main() -> int:
    """All kills asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=5, help="of each step on each storage")
    parser.add_argument("--storage", action="append", choices=["local", "s3"])
    parser.add_argument("--step", action="append", choices=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    good = total = 0
    for name in given.storage or ["local", "s3"]:
        folder = Path(tempfile.mkdtemp(prefix="mfx-chaos-"))
        with storage(name, folder) as place:
            run, times = unbroken(place, f"{place.root}/pushed-0")
            expected = digests(place, run)
            targets = (f"{place.root}/pushed-{number}" for number in itertools.count(1))
            for number in range(given.kills):
                for step in given.step or STEPS:
                    # The first as soon as Metaflow says that it starts the step.
                    dead, after = _dead(place, step, times, targets, draw if number else None)
                    wrong, said = _outcome(place, dead, step, expected)
                    total, good = total + 1, good + (not wrong)
                    print(
                        f"{name} {step} #{number}: killed after {after:.1f} s; {said}", flush=True
                    )
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{good} of {total} ended with the unbroken run's hashes")
    return int(good < total)


if __name__ == "__main__":
    hermetic.clean()
    sys.exit(main())
