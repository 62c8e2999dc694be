"""Measure a window of spans that moves on by one, with and without what the run before it kept.

    python benchmarks/bench_spans.py --data FILE [--rows N] [--spans N]

Each span has the file's rows, repeated up to a number, with the fares changed a little, so that no
two spans are equal. Three runs of the taxi pipeline read a window: the first one fills the
datastore; the next two read the window one span later, with `reuse_spans` and without. These two
must give the same examples. A Markdown page is printed and written to --output.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import bench
from bench import ROOT
from measuring import Measured, step_seconds

STEPS = ("start", "ingest", "validate", "transform", "train", "evaluate", "push", "end")
SERVED = ("ingest", "validate", "transform")
"""The steps that take over what was kept."""
HASHES = """
import json, metaflow
metaflow.namespace(None)
data = metaflow.Flow("Pipeline").latest_run["transform"].task.data
print(json.dumps([data.examples.digest]))
"""


class Found(NamedTuple):
    """A run: its measures, and the hash of its examples."""

    measured: Measured
    hashes: list[str]

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time by step."""
        return step_seconds(self.measured.output)


def main() -> None:
    """Measure and write the page."""
    bench.leave_the_callers_environment()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="CSV file")
    parser.add_argument("--rows", type=int, default=150_000, help="of each span")
    parser.add_argument("--spans", type=int, default=7, help="spans of the window")
    parser.add_argument("--until", default="", help="step after which runs are killed")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "docs" / "reference" / "benchmarks-spans.md"
    )
    given = parser.parse_args()
    if not given.data.is_file():
        sys.exit(f"{given.data}: no such file; see --help")
    with tempfile.TemporaryDirectory(prefix="mfx-bench-") as directory:
        folder = Path(directory)
        for span in range(1, given.spans + 2):
            write(given.data, given.rows, span, folder / f"span-{span}.csv")
        first = run(folder, given.spans, given.spans, given.until)
        kept = run(folder, given.spans + 1, given.spans, given.until)
        without = run(folder, given.spans + 1, given.spans, given.until, reuse=False)
    if kept.hashes != without.hashes:
        sys.exit(f"other results: {kept.hashes} with, {without.hashes} without")
    if kept.hashes == first.hashes:
        sys.exit("the window did not move")
    page = render(given, kept, without)
    given.output.write_text(page, encoding="utf-8")
    print(page)


def write(source: Path, rows: int, span: int, path: Path) -> None:
    """Write the file's rows, repeated up to a number; fares are those of this span."""
    with source.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names, lines = reader.fieldnames or [], list(reader)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for number in range(rows):
            line = lines[number % len(lines)]
            fare = line["fare"] and f"{float(line['fare']) + (number + span) % 97 / 100:.2f}"
            writer.writerow(line | {"fare": fare})


def run(folder: Path, span: int, window: int, until: str, reuse: bool = True) -> Found:
    """Run the flow on the window that ends with a span."""
    of_data = f"window = {window}\nreuse_spans = {str(reuse).lower()}\n"
    measured = bench.call_flow(
        f"{folder}/span-{{SPAN}}.csv",
        5000,
        folder / "run",
        until,
        of_data,
        ["--span", str(span)],
    )
    took = ", ".join(f"{s} {n:.1f} s" for s, n in step_seconds(measured.output).items())
    print(f"up to span {span}, {reuse=}: {took}, whole {measured.seconds:.1f} s", file=sys.stderr)
    said = subprocess.run(
        [sys.executable, "-c", HASHES],
        cwd=folder / "run",
        env={**os.environ, "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder / "run")},
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    return Found(measured, json.loads(said.stdout))


def render(given: argparse.Namespace, kept: Found, without: Found) -> str:
    """The Markdown page."""
    steps = [step for step in STEPS if step in kept.seconds]
    pairs = [(step, kept.seconds[step], without.seconds[step]) for step in steps]
    served, all_made = (sum(n.seconds[step] for step in SERVED) for n in (kept, without))
    pairs.append(("**ingest, validate and transform**", served, all_made))
    if not given.until:
        pairs.append(("**whole run**", kept.measured.seconds, without.measured.seconds))
    lines = [f"| {name} | {a:.1f} s | {b:.1f} s | {a / b:.2f} |" for name, a, b in pairs]
    return f"""# Benchmarks: a window of spans

The taxi pipeline on a window of {given.spans} spans of {given.rows:,} rows each, one span after the
run before it. "With" takes over what that run kept of the {given.spans - 1} spans that both read;
"without" has `reuse_spans = false` and analyses all rows at once. Both make the same examples, by
their hash. Seconds of a step are from the start of its first task to the end
of its last, imports included. Made by `make bench-spans` on {datetime.date.today().isoformat()}:
{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {bench.memory_gib():.0f} GiB,
Python {platform.python_version()}, {bench.versions()}.

| step | with | without | ratio |
|---|---|---|---|
{chr(10).join(lines)}
"""


if __name__ == "__main__":
    main()
