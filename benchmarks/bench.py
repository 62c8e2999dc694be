"""Compare this pipeline with TFX's own, with the same file, steps, batch size, metrics and slices.

    python benchmarks/bench.py --data FILE --tfx-script SCRIPT --tfx-python python3.10

Runs alternate in one session, so that a slow moment of a shared machine affects both. The figure is
the ratio of medians. TFX has its own virtual environment, `.bench/tfx`, which the first call makes.
After that, this pipeline runs alone on more rows. Markdown tables are printed and written to
--output.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from measuring import Measured, measure, step_seconds

ROOT = Path(__file__).resolve().parents[1]
TFX_VENV = ROOT / ".bench" / "tfx"
TFX_PACKAGES = ["tfx==1.16.0", "setuptools<80", "dill<0.3.2", "pip"]
BATCH_SIZE = 40
"""The same as in TFX's module file."""

STEPS = {
    "start + ingest": (["start", "ingest"], ["CsvExampleGen"]),
    "validate": (["validate"], ["StatisticsGen", "SchemaGen", "ExampleValidator"]),
    "transform": (["transform"], ["Transform"]),
    "train": (["train"], ["Trainer"]),
    "evaluate": (["evaluate"], ["resolver", "Evaluator"]),
    "push + end": (["push", "end"], ["Pusher"]),
}
"""The rows of the table: our steps and TFX's components."""


class Size(NamedTuple):
    """A measurement: rows (the file's are repeated), training steps, runs of each pipeline."""

    rows: int
    steps: int
    rounds: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """`ROWS:STEPS:ROUNDS`."""
        rows, steps, rounds = map(int, text.split(":"))
        return cls(rows, steps, rounds)


BESIDE = [Size(15002, 1000, 3), Size(10**6, 5000, 2)]
ALONE = [Size(10**6, 5000, 1), Size(3 * 10**6, 5000, 1), Size(10**7, 5000, 1)]


def leave_the_callers_environment() -> None:
    """Remove variables and settings of the caller's environment that would change the figures."""
    sys.path.append(str(ROOT / "tests"))
    from helpers import hermetic

    hermetic.clean(METAFLOW_USER="bench")


def main() -> None:
    """Measure and write the tables."""
    leave_the_callers_environment()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="CSV file")
    for name, default in (("--beside", BESIDE), ("--alone", ALONE)):
        parser.add_argument(
            name, type=Size.parse, nargs="*", metavar="ROWS:STEPS:ROUNDS", default=default
        )
    parser.add_argument("--tfx-script", type=Path, required=True)
    parser.add_argument("--tfx-python", default="python3.10")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "docs" / "reference" / "benchmarks.md"
    )
    given = parser.parse_args()
    if not given.data.is_file() or not given.tfx_script.is_file():
        sys.exit(f"{given.data} or {given.tfx_script}: no such file; see --help")
    tfx_python = install_tfx(given.tfx_python) if given.beside else None
    parts = []
    with tempfile.TemporaryDirectory(prefix="mfx-bench-") as directory:
        for size in given.beside:
            data = prepare(given.data, size.rows, Path(directory, "data"))
            ours, theirs = [], []
            for number in range(size.rounds):
                folder = Path(directory, str(number))
                ours.append(run_mfx(data, size.steps, folder / "mfx"))
                say(size, "MFX", ours[-1])
                theirs.append(run_tfx(tfx_python, given.tfx_script, size, data, folder / "tfx"))
                say(size, "TFX", theirs[-1])
                shutil.rmtree(folder)
            parts.append(compare(size, ours, theirs))
        runs: dict[int, list[dict]] = {}
        for size in given.alone:
            data = prepare(given.data, size.rows, Path(directory, "data"))
            for number in range(size.rounds):
                folder = Path(directory, f"alone-{number}")
                runs.setdefault(size.rows, []).append(run_mfx(data, size.steps, folder))
                say(size, "MFX", runs[size.rows][-1])
                shutil.rmtree(folder)
        parts.append(grow(runs))
    page = render(parts)
    given.output.write_text(page, encoding="utf-8")
    print(page)


def say(size: Size, name: str, run: dict) -> None:
    """Print a line about a run that has ended."""
    print(f"{size.rows:,} rows: {name} {run['seconds']['total']:.1f} s", file=sys.stderr)


def install_tfx(python: str) -> Path:
    """Install TFX in its own environment, once; return its Python."""
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


def prepare(source: Path, rows: int, folder: Path) -> Path:
    """Write the file's rows, repeated in order up to a number, to a file alone in a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    header, *lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    with (folder / "trips.csv").open("w", encoding="utf-8") as out:
        out.write(header)
        for begin in range(0, rows, len(lines)):
            out.writelines(lines[: rows - begin])
    return folder / "trips.csv"


def run_mfx(data: Path, steps: int, folder: Path) -> dict:
    """Run flows/pipeline.py once; return seconds by step, and peak memory in MB."""
    found = call_flow(data, steps, folder)
    return {
        "seconds": {"total": found.seconds, **step_seconds(found.output)},
        "memory": found.memory,
    }


def call_flow(
    data: Path | str,
    steps: int,
    folder: Path,
    until: str = "",
    of_data: str = "",
    more: Sequence[str] = (),
) -> Measured:
    """Run flows/pipeline.py once.

    Args:
        data: The input file.
        steps: Training steps.
        folder: For the config, the runs, and the pushed model; it is made if it is not there.
        until: The step after which the run is killed; by default it ends by itself.
        of_data: Lines of the config's table [data].
        more: Other options of `run`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The same metrics and slices as the TFX script.
    config = (ROOT / "flows" / "taxi" / "config.toml").read_text(encoding="utf-8")
    config = config.replace('"../../data/taxi/trips.csv"', f'"{data}"').replace(
        '[pipeline]\nname = "taxi"',
        f'[pipeline]\nname = "taxi"\nmodule = "{ROOT}/flows/taxi/model.py"\n\n'
        f'[schema]\npath = "{ROOT}/flows/taxi/schema.pbtxt"',
    )
    head = config.split("[evaluate]")[0].replace("[data]\n", f"[data]\n{of_data}")
    config = head + (
        '[evaluate]\nmetrics = ["AUC", "BinaryAccuracy"]\nselect = "auc"\n'
        'slices = [["trip_start_hour"]]\n\n[[evaluate.thresholds]]\n'
        'metric = "binary_accuracy"\nlower = 0.6\nmax_drop = 1e-10\n\n'
        f'[push]\ndestination = "{folder}/pushed"\n'
    )
    (folder / "config.toml").write_text(config, encoding="utf-8")
    command = [sys.executable, ROOT / "flows" / "pipeline.py"]
    command += ["--config", "config", folder / "config.toml", "run", "--data", data]
    command += ["--steps", steps, "--batch-size", BATCH_SIZE, *more]
    return measure(command, until=until, METAFLOW_DATASTORE_SYSROOT_LOCAL=str(folder))


def run_tfx(python: Path | None, script: Path, size: Size, data: Path, folder: Path) -> dict:
    """Run TFX's pipeline once; return seconds by component and peak memory in MB."""
    folder.mkdir(parents=True)
    found = measure([python, script, data.parent, folder, size.steps])
    seconds = json.loads(found.output.strip().splitlines()[-1])
    return {"seconds": seconds | {"total": found.seconds}, "memory": found.memory}


def seconds(runs: list[dict], names: list[str]) -> list[float]:
    """For each run, the seconds of some steps or components together."""
    return [sum(run["seconds"].get(name, 0.0) for name in names) for run in runs]


def compare(size: Size, ours: list[dict], theirs: list[dict]) -> str:
    """A table with our time, TFX's time and the ratio, by step."""

    def cells(label: str, mine: list[float], other: list[float], unit: str) -> str:
        middle, peer = statistics.median(mine), statistics.median(other)
        ratios = sorted(m / o for m, o in zip(mine, other, strict=True) if o)
        # A component that takes milliseconds cannot be compared.
        compared = peer > 1 and middle
        spread = f" ({ratios[0]:.2f} to {ratios[-1]:.2f})" if len(ratios) > 1 else ""
        ratio = f"{middle / peer:.2f}{spread}" if compared else "-"
        return f"| {label} | {middle:.1f} {unit} | {peer:.1f} {unit} | {ratio} |"

    lines = [
        cells(name, seconds(ours, a), seconds(theirs, b), "s") for name, (a, b) in STEPS.items()
    ]
    # Each of our steps is a process with its own imports; TFX imports once.
    lines.append(cells("imports", [0.0] * len(ours), seconds(theirs, ["import"]), "s"))
    lines.append(cells("**whole**", seconds(ours, ["total"]), seconds(theirs, ["total"]), "s"))
    memory = [[run["memory"][""] for run in runs] for runs in (ours, theirs)]
    lines.append(cells("peak memory of the largest process", memory[0], memory[1], "MB"))
    body = "\n".join(lines)
    rounds = "One run of each."
    if len(ours) > 1:
        rounds = (
            f"Medians of {len(ours)} alternating runs; in brackets the ratio's spread over pairs."
        )
    return f"""## {size.rows:,} rows, {size.steps:,} training steps of {BATCH_SIZE}

{rounds}

| | MFX | TFX | ratio |
|---|---|---|---|
{body}
"""


def grow(runs: dict[int, list[dict]]) -> str:
    """A table with the time and peak memory of our steps, by number of rows."""
    if not runs:
        return ""

    def cell(rows: int, names: list[str]) -> str:
        time = statistics.median(seconds(runs[rows], names))
        peak = max(run["memory"].get(n, 0.0) for run in runs[rows] for n in names)
        return f"{time:.1f} s, {peak:,.0f} MB"

    whole = {
        rows: (
            statistics.median(seconds(found, ["total"])),
            max(run["memory"][""] for run in found),
        )
        for rows, found in runs.items()
    }
    lines = [
        f"| {name} | {' | '.join(cell(rows, ours) for rows in runs)} |"
        for name, (ours, _) in STEPS.items()
    ]
    totals = " | ".join(f"{time:.1f} s, {peak:,.0f} MB" for time, peak in whole.values())
    least, most = min(whole), max(whole)
    growth = f"{whole[most][0] / whole[least][0]:.2f}"
    return f"""## More rows

MFX alone: seconds, and peak memory of the step's largest process. From {least:,} to {most:,} rows
the time grows {growth} times.

| | {" | ".join(f"{rows:,} rows" for rows in runs)} |
|---|{"---|" * len(runs)}
{chr(10).join(lines)}
| **whole** | {totals} |
"""


def memory_gib() -> float:
    """The memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def versions() -> str:
    """The versions of the packages on which the figures depend."""
    names = ["metaflow", "tensorflow", "tensorflow-transform", "apache-beam", "pyarrow"]
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def render(parts: list[str]) -> str:
    """The Markdown page."""
    body = "\n".join(part for part in parts if part)
    return f"""# Benchmarks: the pipeline beside TFX

The taxi pipeline, with AUC and accuracy by `trip_start_hour`. Beside it is TFX 1.16's own pipeline
on the same file (15,002 trips, repeated up to the number of rows), with the same training steps and
batch size. Made by `make bench` on {datetime.date.today().isoformat()}: {platform.system()}
{platform.machine()}, {os.cpu_count()} cores, {memory_gib():.0f} GiB, Python
{platform.python_version()}, {versions()}.

MFX's steps are processes of their own, so the time of each includes its imports. TFX's components
share one process, and its imports are a row of their own.

{body}"""


if __name__ == "__main__":
    main()
