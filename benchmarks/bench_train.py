"""Compare training input with plain `model.fit` on NumPy arrays, and the settings of [train].

    python benchmarks/bench_train.py --data FILE [--rows N]

The taxi pipeline runs once on the file's rows, repeated up to --rows. Then its model is trained on
the transformed examples: each variant in a separate process, in turn, so that a slow moment of a
shared machine affects all. A figure is the median of all epochs but the first, which includes
TensorFlow's tracing. A Markdown table is printed and written to --output.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import ROOT, leave_the_callers_environment, prepare
from measuring import measure

PLAIN = "`model.fit` on NumPy arrays"
VARIANTS = {
    f"{PLAIN}, steps_per_execution 1": {"input": "numpy", "steps_per_execution": 1},
    "MFX, steps_per_execution 1": {"steps_per_execution": 1},
    PLAIN: {"input": "numpy"},
    "MFX": {},
    "MFX, precision mixed_bfloat16": {"precision": "mixed_bfloat16"},
    "MFX, jit_compile": {"jit_compile": True},
}
BATCHES = {40: 1000, 4096: 100}
"""For each number of rows per step, the steps per epoch."""
EPOCHS = 4


def main() -> None:
    """Measure and write the table, or, as a subprocess, one variant."""
    leave_the_callers_environment()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="CSV file")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--output", type=Path, default=ROOT / "docs" / "reference" / "benchmarks-train.md"
    )
    parser.add_argument("--variant", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.variant:
        examples, options, batch_size = given.variant
        print(json.dumps(fit(Path(examples), json.loads(options), int(batch_size))))
        return
    if given.data is None or not given.data.is_file():
        sys.exit(f"--data {given.data}: no such file; see --help")
    with tempfile.TemporaryDirectory(prefix="mfx-bench-") as directory:
        examples = transformed(given.data, given.rows, Path(directory))
        found: dict[tuple[str, int], list[dict]] = {}
        for _ in range(given.rounds):
            for batch_size in BATCHES:
                for name, options in VARIANTS.items():
                    command = [sys.executable, __file__, "--variant", examples]
                    ran = measure([*command, json.dumps(options), batch_size])
                    result = json.loads(ran.output.splitlines()[-1])
                    found.setdefault((name, batch_size), []).append(result)
                    print(f"{name}, {batch_size}: {result}", file=sys.stderr)
    table = render(found, given.rows, given.rounds)
    given.output.write_text(table, encoding="utf-8")
    print(table)


def transformed(data: Path, rows: int, folder: Path) -> Path:
    """The train split of the taxi pipeline's transformed examples, as one Parquet file."""
    path = prepare(data, rows, folder / "data")
    os.environ["METAFLOW_DATASTORE_SYSROOT_LOCAL"] = str(folder)
    command = [sys.executable, ROOT / "flows" / "pipeline.py", "run", "--data", path]
    command += ["--steps", 1, "--destination", folder / "pushed"]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    from metaflow import Flow, namespace

    namespace(None)
    run = Flow("Pipeline").latest_run
    return (
        run["transform"].task.data.transformed.shards[0].save_to(folder / "out") / "train.parquet"
    )


def fit(examples: Path, options: dict, batch_size: int) -> dict:
    """Train one variant; return the seconds of each epoch and the peak memory in MB."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.path.insert(0, str(ROOT / "flows" / "taxi"))
    import keras
    import model as taxi
    import pyarrow.parquet as pq
    import tensorflow as tf

    from mfx.columns.tensors import to_numpy
    from mfx.train.input import TrainInput

    keras.utils.set_random_seed(42)
    if not options.get("jit_compile"):
        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_dtype_policy(options.get("precision", "float32"))
    model = taxi.build_model([100, 70, 50, 25], 0.001)
    model.steps_per_execution = options.get("steps_per_execution", 50)
    model.jit_compile = options.get("jit_compile", False)
    steps = BATCHES[batch_size]
    if options.get("input") == "numpy":
        (batch,) = pq.read_table(examples).combine_chunks().to_batches()
        features = to_numpy(batch)
        label = features.pop(taxi.LABEL)
        # As many rows as the steps need: `model.fit` cannot repeat arrays without end.
        rows = steps * batch_size
        arrays = ({name: values[:rows] for name, values in features.items()}, label[:rows])
        given = {"x": arrays[0], "y": arrays[1], "batch_size": batch_size}
    else:
        dataset = TrainInput([examples], taxi.LABEL, seed=42).dataset(batch_size)
        given = {"x": dataset, "steps_per_epoch": steps, "shuffle": False}
    seconds = []
    for _ in range(EPOCHS):
        begin = time.perf_counter()
        model.fit(**given, epochs=1, verbose=0)
        seconds.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": [round(s, 3) for s in seconds], "memory": round(peak)}


def render(found: dict[tuple[str, int], list[dict]], rows: int, rounds: int) -> str:
    """The Markdown page."""

    def epoch(name: str, batch_size: int) -> float:
        results = found[name, batch_size]
        return statistics.median(s for result in results for s in result["seconds"][1:])

    lines = []
    for (name, batch_size), results in found.items():
        first = statistics.median(result["seconds"][0] for result in results)
        peak = max(result["memory"] for result in results)
        later = epoch(name, batch_size)
        speed = BATCHES[batch_size] * batch_size / later
        ratio = later / epoch(PLAIN, batch_size)
        lines.append(
            f"| {batch_size} | {name} | {first:.2f} s | {later:.2f} s | {speed:,.0f} | {ratio:.2f} "
            f"| {peak:.0f} MB |"
        )
    body = "\n".join(lines)
    return f"""# Benchmarks: training

The taxi model on the transformed train split of {rows:,} rows; an epoch is {BATCHES[40]:,} steps of
40 rows, or {BATCHES[4096]} of 4,096. MFX reads Parquet in shuffled windows; `model.fit` has all
rows as NumPy arrays in memory. steps_per_execution is 50 unless the line says otherwise. Medians of
{rounds} rounds; the ratio is to {PLAIN} at the same batch size. Made by `make bench-train` on
{platform.system()}, {os.cpu_count()} cores, no GPU, Python {platform.python_version()}, on
{datetime.date.today().isoformat()}.

| batch | | first epoch | later epochs | rows/s | ratio | peak memory |
|---|---|---|---|---|---|---|
{body}

XLA and mixed precision are made for GPUs: here they show that they work and what they cost.
"""


if __name__ == "__main__":
    main()
