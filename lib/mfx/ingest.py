"""Read a shard, type it, split it by row hash, write it as Parquet (TFX: ExampleGen)."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mfx import csv_files, label, store
from mfx.artifacts import SPLITS, Examples, Shard, Sources
from mfx.columns import TYPES
from mfx.config import Settings
from mfx.errors import MfxError
from mfx.lineage import hash_file
from mfx.read_csv import batches
from mfx.split import by_split

ROW_GROUP = 65536


def ingest(shard: Shard, sources: Sources, settings: Settings) -> Examples:
    """Turn one input file into examples.

    Raises:
        MfxError: A row or cell that does not fit, by file, line and column; or rows lost.
    """
    rejected: dict[str, int] | None = {} if settings.data.ragged_rows == "reject" else None
    without_label: dict[str, int] = {}
    schema = pa.schema([(name, TYPES[kind]) for name, kind in sources.columns.items()])
    rows_in = 0
    with (
        tempfile.TemporaryDirectory(prefix="mfx-") as directory,
        csv_files.on_disk(shard.path) as path,
    ):
        if csv_files.is_remote(shard.path) and hash_file(path) != shard.sha256:
            raise MfxError(
                f"{shard.path}: changed since this run began",
                "Run again; write new data to a new key, so that no run reads half of each.",
            )
        paths = {split: Path(directory, f"{split}.parquet") for split in SPLITS}
        writers = {split: pq.ParquetWriter(paths[split], schema) for split in SPLITS}
        for batch in batches(path, sources.columns, settings.data.null_values, rejected):
            rows_in += batch.num_rows
            for split, part in by_split(batch, settings.data.split).items():
                part = label.drop_missing(part, settings.label, split, without_label)
                if part.num_rows:
                    writers[split].write_table(pa.Table.from_batches([part]), ROW_GROUP)
        for writer in writers.values():
            writer.close()
        left_out = rejected or {}
        examples = Examples(
            shards=(store.save(directory),),
            rows={split: pq.read_metadata(paths[split]).num_rows for split in SPLITS},
            rows_in=rows_in + sum(left_out.values()),
            rejected=left_out | without_label,
            columns=sources.columns,
            lineage=sources.lineage.after(shard.sha256),
        )
    _check_conservation(examples, shard.path)
    return examples


def merge(parts: Sequence[Examples], sources: Sources) -> Examples:
    """The examples of all shards, in input order, in whichever order they are given.

    Step Functions hands the tasks of a foreach over in no order.

    Raises:
        MfxError: There are no rows, or a split got none.
    """
    order = [shard.sha256 for shard in sources.shards]
    parts = sorted(parts, key=lambda part: order.index(part.lineage.parents[0]))
    examples = Examples(
        shards=tuple(payload for part in parts for payload in part.shards),
        rows={split: sum(part.rows[split] for part in parts) for split in SPLITS},
        rows_in=sum(part.rows_in for part in parts),
        rejected=dict(sum((Counter(part.rejected) for part in parts), Counter())),
        columns=parts[0].columns,
        lineage=parts[0].lineage.after(*(part.digest for part in parts)),
    )
    _check_conservation(examples, "all shards")
    if sum(examples.rows.values()) == 0:
        raise MfxError(
            f"{', '.join(s.path for s in sources.shards)}: a header but no rows",
            "Expected at least one row below it.",
        )
    for split in SPLITS:
        if examples.rows[split] == 0:
            raise MfxError(
                f"the {split} split is empty: {examples.rows_in} rows in, {examples.rows}",
                "Give more rows, or change split or its key under [data].",
            )
    return examples


def _check_conservation(examples: Examples, where: str) -> None:
    out, left_out = sum(examples.rows.values()), sum(examples.rejected.values())
    if examples.rows_in != out + left_out:
        raise MfxError(
            f"{where}: {examples.rows_in} rows in, but {out} rows out and {left_out} rejected",
            "Rows were lost: please report this with the file.",
        )
