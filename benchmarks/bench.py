"""This pipeline beside TFX's own, on the same file, steps, batch size, metrics and slices.

    python benchmarks/bench.py --data FILE --tfx-script SCRIPT --tfx-python python3.10

Runs alternate in one session, so that a slow moment of a shared machine hits both; the figure is
the ratio of medians. TFX lives in a virtual environment of its own, `.bench/tfx`, made on the
first call. Prints a Markdown table and writes it to --output.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TFX_VENV = ROOT / ".bench" / "tfx"
TFX_PACKAGES = ["tfx==1.16.0", "setuptools<80", "dill<0.3.2", "pip"]
BATCH_SIZE = 40
"""As TFX's module file has it."""

STEPS = {
    "start + ingest": (["start", "ingest"], ["CsvExampleGen"]),
    "validate": (["validate"], ["StatisticsGen", "SchemaGen", "ExampleValidator"]),
    "transform": (["transform"], ["Transform"]),
    "train": (["train"], ["Trainer"]),
    "evaluate": (["evaluate"], ["resolver", "Evaluator"]),
    "push + end": (["push", "end"], ["Pusher"]),
}
"""Rows of the table: our steps, TFX's components."""


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="CSV file")
    parser.add_argument("--rows", type=int, help="repeat the file's rows up to this number")
    parser.add_argument("--train-steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tfx-script", type=Path, required=True)
    parser.add_argument("--tfx-python", default="python3.10")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md")
    given = parser.parse_args()
    if not given.data.is_file() or not given.tfx_script.is_file():
        sys.exit(f"{given.data} or {given.tfx_script}: no such file; see --help")
    tfx_python = install_tfx(given.tfx_python)
    with tempfile.TemporaryDirectory(prefix="mfx-bench-") as directory:
        data, rows = prepare(given.data, given.rows, Path(directory, "data"))
        ours, theirs = [], []
        for number in range(given.rounds):
            folder = Path(directory, str(number))
            ours.append(run_mfx(data, given.train_steps, folder / "mfx"))
            print(f"round {number + 1}: MFX {ours[-1]['seconds']['total']:.1f} s", file=sys.stderr)
            theirs.append(run_tfx(tfx_python, given, data, folder / "tfx"))
            print(
                f"round {number + 1}: TFX {theirs[-1]['seconds']['total']:.1f} s", file=sys.stderr
            )
            shutil.rmtree(folder)
    table = render(ours, theirs, rows, given.train_steps)
    given.output.write_text(table)
    print(table)


def install_tfx(python: str) -> Path:
    """TFX in its own environment; its Python."""
    done = TFX_VENV / ".installed"
    if not done.exists():
        uv = Path(sys.executable).with_name("uv")
        print("installing TFX for comparison, once", file=sys.stderr)
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", python, TFX_VENV], check=True)
        python = str(TFX_VENV / "bin" / "python")
        options = ["--quiet", "--compile-bytecode", "--python", python]
        subprocess.run([uv, "pip", "install", *options, *TFX_PACKAGES], check=True)
        done.touch()
    return TFX_VENV / "bin" / "python"


def prepare(source: Path, rows: int | None, folder: Path) -> tuple[Path, int]:
    """The file alone in a folder, its rows repeated in order if asked for; number of rows."""
    folder.mkdir()
    header, *lines = source.read_text().splitlines(keepends=True)
    wanted = rows or len(lines)
    with (folder / "trips.csv").open("w") as out:
        out.write(header)
        for begin in range(0, wanted, len(lines)):
            out.writelines(lines[: wanted - begin])
    return folder / "trips.csv", wanted


def run_mfx(data: Path, steps: int, folder: Path) -> dict:
    """One run of flows/pipeline.py: seconds by step, peak memory in MB, metrics."""
    folder.mkdir(parents=True)
    # The same metrics and slices as the TFX script.
    config = (ROOT / "flows" / "taxi" / "config.toml").read_text()
    config = config.replace('"../../', f'"{ROOT}/').replace(
        '[pipeline]\nname = "taxi"',
        f'[pipeline]\nname = "taxi"\nmodule = "{ROOT}/flows/taxi/model.py"\n\n'
        f'[schema]\npath = "{ROOT}/flows/taxi/schema.pbtxt"',
    )
    head = config.split("[evaluate]")[0]
    config = head + (
        '[evaluate]\nmetrics = ["AUC", "BinaryAccuracy"]\nselect = "auc"\n'
        'slices = [["trip_start_hour"]]\n\n[[evaluate.thresholds]]\n'
        'metric = "binary_accuracy"\nlower = 0.6\nmax_drop = 1e-10\n\n'
        f'[push]\ndestination = "{folder}/pushed"\n'
    )
    (folder / "config.toml").write_text(config)
    command = [sys.executable, ROOT / "flows" / "pipeline.py"]
    command += ["--config", "config", folder / "config.toml", "run", "--data", data]
    command += ["--steps", steps, "--batch-size", BATCH_SIZE]
    output, total, peaks = measure(command, METAFLOW_DATASTORE_SYSROOT_LOCAL=str(folder))
    seconds: dict[str, float] = {"total": total}
    stamp = re.compile(
        r"^(\S+ \S+) \[\d+/(\w+)/\d+ \(pid \d+\)\] Task (is starting|finished successfully)\."
    )
    begun: dict[str, float] = {}
    for line in output.splitlines():
        if match := stamp.match(line):
            at = datetime.datetime.fromisoformat(match[1]).timestamp()
            if match[3] == "is starting":
                begun[match[2]] = at
            else:
                seconds[match[2]] = seconds.get(match[2], 0.0) + at - begun[match[2]]
    return {"seconds": seconds, "memory": peaks}


def run_tfx(python: Path, given: argparse.Namespace, data: Path, folder: Path) -> dict:
    """One run of TFX's pipeline: seconds by component, peak memory in MB."""
    folder.mkdir(parents=True)
    command = [python, given.tfx_script, data.parent, folder, given.train_steps]
    output, total, memory = measure(command)
    seconds = json.loads(output.strip().splitlines()[-1])
    return {"seconds": seconds | {"total": total}, "memory": memory}


def measure(command: list, **environment: str) -> tuple[str, float, dict[str, float]]:
    """Run a command; its standard output, wall seconds, and peak MB by step ("" is the whole).

    A step's peak is that of the largest process among the step's own and its children.
    """
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=output,
            stderr=errors,
            env={**os.environ, "METAFLOW_USER": "bench", **environment},
        )
        peaks: dict[str, float] = {}
        while process.poll() is None:
            for step, size in resident(process.pid):
                for name in {"", step}:
                    peaks[name] = max(peaks.get(name, 0.0), size)
            time.sleep(0.1)
        seconds = time.perf_counter() - begin
        output.seek(0)
        errors.seek(0)
        said = output.read()
        if process.returncode:
            sys.exit(f"{command[1]} failed:\n{said[-3000:]}\n{errors.read()[-3000:]}")
    return said, seconds, peaks


def resident(pid: int, step: str = "") -> Iterator[tuple[str, float]]:
    """The step and the peak resident MB so far of a process and of each of its descendants."""
    here = Path("/proc", str(pid))
    try:
        words = (here / "cmdline").read_text().split("\0")
        if "step" in words:
            step = words[words.index("step") + 1]
        peak = re.search(r"VmHWM:\s+(\d+)", (here / "status").read_text())
        children = [
            p for t in (here / "task").iterdir() for p in (t / "children").read_text().split()
        ]
    except OSError:
        return  # It ended meanwhile.
    yield step, int(peak[1]) / 1024 if peak else 0.0
    for child in children:
        yield from resident(int(child), step)


def render(ours: list[dict], theirs: list[dict], rows: int, steps: int) -> str:
    """The Markdown page."""

    def seconds(runs: list[dict], names: list[str]) -> list[float]:
        return [sum(run["seconds"].get(name, 0.0) for name in names) for run in runs]

    def cells(label: str, mine: list[float], other: list[float], unit: str) -> str:
        middle, peer = statistics.median(mine), statistics.median(other)
        ratios = sorted(m / o for m, o in zip(mine, other, strict=True) if o)
        # A component of milliseconds is nothing to compare with.
        compared = peer > 1 and middle
        spread = f"{middle / peer:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})" if compared else "-"
        return f"| {label} | {middle:.1f} {unit} | {peer:.1f} {unit} | {spread} |"

    lines = [
        cells(name, seconds(ours, a), seconds(theirs, b), "s") for name, (a, b) in STEPS.items()
    ]
    # Our steps are processes that import what they need; TFX imports once.
    lines.append(cells("imports", [0.0] * len(ours), seconds(theirs, ["import"]), "s"))
    lines.append(cells("**whole**", seconds(ours, ["total"]), seconds(theirs, ["total"]), "s"))
    memory = [[run["memory"] for run in runs] for runs in (ours, theirs)]
    lines.append(cells("peak memory of the largest process", memory[0], memory[1], "MB"))
    body = "\n".join(lines)
    return f"""# Benchmarks

The taxi pipeline on {rows:,} rows, {steps:,} training steps of {BATCH_SIZE}, AUC and accuracy by
`trip_start_hour`; TFX 1.16's own pipeline beside it. Median of {len(ours)} alternating runs; the
ratio's spread is over pairs. Made by `make bench` on {platform.system()}, {os.cpu_count()} cores,
Python {platform.python_version()}, on {datetime.date.today().isoformat()}.

| | MFX | TFX | ratio |
|---|---|---|---|
{body}

Our steps are processes of their own, so each step's time has its imports in it; TFX's components
share one process, and its imports are a row of their own.
"""


if __name__ == "__main__":
    main()
