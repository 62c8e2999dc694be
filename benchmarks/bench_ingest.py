"""Measure start, ingest and validate for each format of input files, beside TFX's ExampleGen.

    python benchmarks/bench_ingest.py --data FILE [--rows N] [--grow N N N]

The flow of the taxi pipeline runs on the file's rows, repeated up to a number, in each format; it
is killed after `validate`. All formats must give the same hash of examples. Then come CSV and
Parquet with more rows, cut into shards and as one. TFX's ExampleGen reads fewer rows, as it is
slow; rows per second are compared. A Markdown page is printed and written to --output.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import bench
from bench import ROOT
from measuring import Measured, measure, step_seconds, tasks

FORMATS = {
    "CSV": "csv",
    "CSV, gzip": "csv.gz",
    "TSV": "tsv",
    "JSON Lines": "jsonl",
    "Parquet": "parquet",
    "Arrow": "arrow",
    "Avro": "avro",
    "TFRecord": "tfrecord",
    "TFRecord, gzip": "tfrecord.gz",
}
"""Each format's ending."""
TFX = {
    "csv": "csv",
    "parquet": "parquet",
    "avro": "avro",
    "tfrecord": "tfrecord",
    "tfrecord.gz": "tfrecord",
}
"""The formats that TFX has, with the word for `tfx_example_gen.py`."""
GROUP = 10**6
"""Rows of a row group of Parquet, and of a batch of Arrow at most."""
ONE_SHARD = "shard_mb = 1000000\n"


class Found(NamedTuple):
    """A run up to `validate`: its measures, the file's bytes, and what the run left."""

    measured: Measured
    size: int
    rows: int
    digest: str

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time by step."""
        return step_seconds(self.measured.output)

    @property
    def rows_per_second(self) -> float:
        """Of start and ingest together."""
        return self.rows / (self.seconds["start"] + self.seconds["ingest"])

    @property
    def shards(self) -> int:
        """How many tasks of ingest there were."""
        return tasks(self.measured.output, "ingest")

    @property
    def peak(self) -> float:
        """MB of the largest process of all steps."""
        return max(self.measured.memory[step] for step in ("start", "ingest", "validate"))

    @property
    def cores(self) -> float:
        """How many cores ingest kept busy, on average."""
        return self.measured.cpu["ingest"] / self.seconds["ingest"]


def main() -> None:
    """Measure and write the page."""
    bench.leave_the_callers_environment()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="CSV file")
    parser.add_argument("--rows", type=int, default=10**6, help="of each format; 0: leave out")
    parser.add_argument("--formats", nargs="*", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--grow", type=int, nargs="*", default=[10**6, 3 * 10**6, 10**7])
    parser.add_argument("--tfx-rows", type=int, default=150_000, help="0: without TFX")
    parser.add_argument("--tfx-python", default="python3.10")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "docs" / "reference" / "benchmarks-ingest.md"
    )
    given = parser.parse_args()
    if not given.data.is_file():
        sys.exit(f"{given.data}: no such file; see --help")
    with tempfile.TemporaryDirectory(prefix="mfx-bench-") as directory:
        parts = [
            by_format(given, Path(directory)) if given.rows else "",
            by_rows(given.data, given.grow, Path(directory)) if given.grow else "",
        ]
    page = render(parts)
    given.output.write_text(page, encoding="utf-8")
    print(page)


def by_format(given: argparse.Namespace, folder: Path) -> str:
    """The table of formats."""
    tfx_python = bench.install_tfx(given.tfx_python) if given.tfx_rows else None
    found: dict[str, Found] = {}
    theirs: dict[str, float] = {}
    for name in given.formats:
        end = FORMATS[name]
        found[name] = run(given.data, end, given.rows, folder)
        say(name, found[name])
        if tfx_python and end in TFX:
            theirs[name] = run_tfx(tfx_python, given.data, end, given.tfx_rows, folder)
            print(f"{name}: TFX {theirs[name]:,.0f} rows/s", file=sys.stderr)
    if len({one.digest for one in found.values()}) > 1:
        sys.exit(f"hashes differ: { {name: one.digest for name, one in found.items()} }")
    lines = [_format_line(name, one, theirs.get(name)) for name, one in found.items()]
    return f"""## Formats: {given.rows:,} rows

Seconds of each step, from the start of its first task to the end of its last. "Rows/s" is of start
and ingest together. TFX's is of the launch of its ExampleGen, without imports, on
{given.tfx_rows:,} rows: CsvExampleGen, ImportExampleGen, and FileBasedExampleGen with TFX's
executors for Parquet and Avro. The examples of all formats have the same hash.

| format | MB | shards | start | ingest | validate | rows/s | TFX's rows/s | times | peak memory |
|---|---|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}
"""


def _format_line(name: str, one: Found, theirs: float | None) -> str:
    took = " | ".join(f"{one.seconds[step]:.1f} s" for step in ("start", "ingest", "validate"))
    peer = f"{theirs:,.0f} | {one.rows_per_second / theirs:.0f}" if theirs else "- | -"
    return (
        f"| {name} | {one.size / 1e6:,.0f} | {one.shards} | {took} | {one.rows_per_second:,.0f} | "
        f"{peer} | {one.peak:,.0f} MB |"
    )


def by_rows(data: Path, counts: list[int], folder: Path) -> str:
    """The table of CSV and Parquet with more and more rows."""
    lines = []
    for name in ("CSV", "Parquet"):
        first: Found | None = None
        for rows in counts:
            cut = run(data, FORMATS[name], rows, folder)
            say(name, cut)
            first = first or cut
            lines.append(_rows_line(name, cut, first))
            if cut.shards > 1:
                whole = run(data, FORMATS[name], rows, folder, ONE_SHARD)
                say(f"{name} as one shard", whole)
                if whole.digest != cut.digest:
                    sys.exit(f"{name}, {rows} rows: cut, the hash is another one")
                lines.append(_rows_line(f"{name} as one shard", whole, None))
    return f"""## More rows

"Growth" is the time of all three steps per row, by that of the fewest rows; below 1, time grows
slower than rows. "Cores" is the CPU time of ingest by its seconds. "As one shard" is the same file,
not cut (`shard_mb` very large).

| | rows | shards | start | ingest | validate | rows/s | growth | cores | peak memory |
|---|---|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}
"""


def _rows_line(name: str, one: Found, first: Found | None) -> str:
    took = " | ".join(f"{one.seconds[step]:.1f} s" for step in ("start", "ingest", "validate"))
    growth = "-"
    if first:
        here, there = (_whole(f) / f.rows for f in (one, first))
        growth = f"{here / there:.2f}"
    return (
        f"| {name} | {one.rows:,} | {one.shards} | {took} | {one.rows_per_second:,.0f} | "
        f"{growth} | {one.cores:.1f} | {one.peak:,.0f} MB |"
    )


def _whole(one: Found) -> float:
    return sum(one.seconds[step] for step in ("start", "ingest", "validate"))


def say(name: str, one: Found) -> None:
    """Print a line about a run."""
    took = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in one.seconds.items())
    print(
        f"{name}, {one.rows:,} rows, {one.shards} shards: {took}; "
        f"{one.rows_per_second:,.0f} rows/s, {one.cores:.1f} cores, {one.peak:,.0f} MB, "
        f"{one.digest[:12]}",
        file=sys.stderr,
    )


def run(data: Path, end: str, rows: int, folder: Path, of_data: str = "") -> Found:
    """Run the flow up to `validate` on a file of this format, made and removed again."""
    path = write(data, end, rows, folder / "data")
    store = folder / "run"
    try:
        measured = bench.call_flow(path, 1, store, until="validate", of_data=of_data)
        digest, count = _examples(store)
        if count != rows:
            sys.exit(f"{path.name}: {count} rows, expected {rows}")
        return Found(measured, path.stat().st_size, rows, digest)
    finally:
        shutil.rmtree(store, ignore_errors=True)
        shutil.rmtree(path.parent)


def _examples(store: Path) -> tuple[str, int]:
    """The hash of the latest run's examples, and how many rows came in."""
    code = (
        "import json, metaflow; metaflow.namespace(None); "
        "made = metaflow.Flow('Pipeline').latest_run['validate'].task.data.examples; "
        "print(json.dumps([made.digest, made.rows_in]))"
    )
    environment = {**os.environ, "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(store)}
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=store,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    digest, count = json.loads(said.stdout)
    return digest, count


def run_tfx(python: Path, data: Path, end: str, rows: int, folder: Path) -> float:
    """Rows per second of TFX's ExampleGen on a file of this format."""
    path = write(data, end, rows, folder / "data")
    out = folder / "tfx"
    out.mkdir()
    script = Path(__file__).with_name("tfx_example_gen.py")
    said = measure([python, script, TFX[end], path.parent, out]).output
    shutil.rmtree(out)
    shutil.rmtree(path.parent)
    return rows / json.loads(said.strip().splitlines()[-1])["seconds"]


def write(source: Path, end: str, rows: int, folder: Path) -> Path:
    """Write a CSV file's rows, repeated in order up to a number, as a file of a format."""
    path = folder / f"trips.{end}"
    if end == "csv":
        return bench.prepare(source, rows, folder)
    folder.mkdir()
    plain = path.with_suffix("") if end.endswith(".gz") else path
    if plain.suffix == ".csv":
        shutil.move(bench.prepare(source, rows, folder / "csv"), plain)
        (folder / "csv").rmdir()
    else:
        _write_table(_table(source), plain.suffix[1:], rows, plain)
    if plain != path:
        with plain.open("rb") as whole, gzip.open(path, "wb", compresslevel=6) as packed:
            shutil.copyfileobj(whole, packed, 2**20)
        plain.unlink()
    return path


def _table(source: Path) -> Any:
    """The file's rows, with the types of the taxi pipeline's schema."""
    import pyarrow as pa

    from mfx import config
    from mfx.ingest.sources import csv
    from mfx.ingest.sources.base import Tally
    from mfx.validate.schema_file import column_types

    settings = config.load(ROOT / "flows" / "taxi" / "config.toml")
    known = column_types(Path(settings.resolve(settings.schema_.path)))
    types = {name: known[name].kind for name in csv.header(source, settings.data)}
    return pa.Table.from_batches(csv.batches(source, types, settings.data, Tally()))


def _write_table(table: Any, end: str, rows: int, path: Path) -> None:
    import pyarrow as pa
    from helpers import formats

    whole, rest = divmod(rows, len(table))
    if end in ("parquet", "arrow", "avro"):
        many = pa.concat_tables([table] * whole + [table.slice(0, rest)])
        if end == "avro":
            formats.WRITERS[end](many, path)
        else:
            _write_columns(many, end, path)
        return
    # Copies of the rows, one after the other, are a file of these formats too.
    with path.open("wb") as out:
        for part, copies in ((table, whole), (table.slice(0, rest), 1 if rest else 0)):
            (formats.tsv if end == "tsv" else formats.WRITERS[end])(part, path.with_name("part"))
            text = path.with_name("part").read_bytes()
            header, lines = (text[: text.index(b"\n") + 1], 1) if end == "tsv" else (b"", 0)
            if lines and not out.tell():
                out.write(header)
            for _ in range(copies):
                out.write(text[len(header) :])
    path.with_name("part").unlink()


def _write_columns(table: Any, end: str, path: Path) -> None:
    """Parquet or Arrow, as pandas and others write them: text as text, fractions as doubles."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from helpers.formats import as_text

    columns = [
        column.cast(pa.float64()) if column.type == pa.float32() else column
        for column in as_text(table).columns
    ]
    table = pa.table(columns, names=table.column_names)
    if end == "parquet":
        pq.write_table(table, path, row_group_size=GROUP)
        return
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, GROUP)


def render(parts: list[str]) -> str:
    """The Markdown page."""
    body = "\n".join(part for part in parts if part)
    return f"""# Benchmarks: ingest

The taxi pipeline's steps start, ingest and validate, with the committed schema, on 15,002 trips
that are repeated up to the number of rows. In Parquet and Arrow, text is strings and numbers with a
fraction are doubles; row groups have a million rows. "Peak memory" is that of the largest process.
Made by `make bench-ingest` on {datetime.date.today().isoformat()}: {platform.system()}
{platform.machine()}, {os.cpu_count()} cores, {bench.memory_gib():.0f} GiB, Python
{platform.python_version()}, {bench.versions()}.

{body}"""


if __name__ == "__main__":
    main()
