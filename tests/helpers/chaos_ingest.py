"""Runs killed in `ingest` at random moments, for each format of input files, and resumed: the
examples must have the hash of an unbroken run's.

    make chaos-ingest ARGS="--kills 5 --format parquet"

As in `make chaos`, all processes of a run die by SIGKILL, some while their tasks start, some while
they read, some when other shards are done. Runs end when `ingest` is done. Prints one line for each
kill; exit code 1 if an outcome differs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from helpers import chaos, formats, hermetic
from helpers.flows import ROOT, SAMPLE
from mfx import config
from mfx.ingest.sources import csv
from mfx.ingest.sources.base import Tally
from mfx.validate.schema_file import column_types

ROWS = 100_000
SHARD_MB = 3
"""So that a file that can be cut makes several shards."""
READ = """
import json, sys
from metaflow import Run, namespace
from mfx.ingest import ingest
namespace(None)
run = Run(sys.argv[1])
parts = list(run["ingest"])
made = ingest.merge([part.data.examples for part in parts], run["start"].task.data.sources)
seconds = max(p.finished_at for p in parts) - min(p.created_at for p in parts)
print(json.dumps({
    "seconds": seconds.total_seconds(), "shards": len(parts),
    "left": [made.digest, made.rows, made.rows_in, [made.split_digest(s) for s in made.rows],
             [payload.digest for payload in made.shards]],
    "read": {split: made.to_arrow(split).num_rows for split in made.rows},
}))
"""


def write(kind: str, path: Path) -> None:
    """The sample's rows, repeated, as a file of this kind."""
    end, _, packed = kind.partition(".")
    settings = config.load(ROOT / "flows" / "taxi" / "config.toml")
    known = column_types(Path(settings.resolve(settings.schema_.path)))
    types = {name: known[name].kind for name in csv.header(SAMPLE, settings.data)}
    table = pa.Table.from_batches(csv.batches(SAMPLE, types, settings.data, Tally()))
    many = pa.concat_tables([table] * -(-ROWS // len(table))).slice(0, ROWS).combine_chunks()
    (formats.tsv if end == "tsv" else formats.WRITERS[end])(many, path)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes(), 1))


def read(place: chaos.Storage, run: str) -> dict[str, Any]:
    """What a run's `ingest` left, read by Metaflow's client."""
    done = subprocess.run(
        [sys.executable, "-c", READ, f"Pipeline/{run}"],
        env={**place.environment, "METAFLOW_DEFAULT_METADATA": "local"},
        cwd=place.root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def until_validate(place: chaos.Storage, *command: str) -> str:
    """A run or its resumption that ends when `validate` begins: its id."""
    run = chaos.killed(place, "validate", 0.0, *command)
    if run is None:
        raise RuntimeError(f"{command}: it did not come as far as validate")
    return run


def try_out(place: chaos.Storage, kind: str, kills: int, draw: random.Random) -> tuple[int, int]:
    """All kills of one kind: how many there were, and how many ended well."""
    path = Path(place.root, f"rows.{kind}")
    write(kind, path)
    taxi = ROOT / "flows" / "taxi"
    text = (taxi / "config.toml").read_text(encoding="utf-8")
    text = text.replace("../../data/taxi/trips.csv", str(path))
    text = text.replace("[data]\n", f"[data]\nshard_mb = {SHARD_MB}\n")
    text += f'\n[schema]\npath = "{taxi}/schema.pbtxt"\n'
    text = text.replace("[pipeline]\n", f'[pipeline]\nmodule = "{taxi}/model.py"\n')
    file = Path(place.root, f"{kind}.toml")
    file.write_text(text, encoding="utf-8")
    command = ("--config", "config", str(file), "run")
    whole = read(place, until_validate(place, *command))
    seconds, shards = whole["seconds"], whole["shards"]
    good = 0
    for number in range(kills):
        run, moments = None, []
        while run is None:
            moments = [draw.uniform(0, seconds)]
            run = chaos.killed(place, "ingest", moments[0], *command, tasks=shards)
        if number % 2:  # Its resumption is killed too, if there is time.
            moments.append(draw.uniform(0, seconds))
            again = ("resume", "--origin-run-id", run)
            run = chaos.killed(place, "ingest", moments[1], *again, tasks=shards) or run
        found = read(place, until_validate(place, "resume", "--origin-run-id", run))
        same = (found["left"], found["read"]) == (whole["left"], whole["read"])
        good += same
        said = ", ".join(f"{moment:.1f}" for moment in moments)
        print(
            f"{kind}, {shards} shards #{number}: killed after {said} of {seconds:.1f} s; "
            f"{'equal' if same else 'DIFFERS'}",
            flush=True,
        )
    return kills, good


KINDS = ["csv", "csv.gz", "tsv", "jsonl", "parquet", "arrow", "avro", "tfrecord", "tfrecord.gz"]


def main() -> int:
    """All kills asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=5, help="for each format")
    parser.add_argument("--format", action="append", choices=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    total = good = 0
    for kind in given.format or KINDS:
        folder = Path(tempfile.mkdtemp(prefix="mfx-chaos-"))
        with chaos.storage("local", folder) as place:
            tried, well = try_out(place, kind, given.kills, draw)
            total, good = total + tried, good + well
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{good} of {total} ended with the unbroken run's hashes")
    return int(good < total)


if __name__ == "__main__":
    hermetic.clean()
    sys.exit(main())
