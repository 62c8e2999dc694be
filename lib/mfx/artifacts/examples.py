"""Of `start` and `ingest`: the input files, the code, the typed rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mfx.errors import MfxError
from mfx.lineage import Lineage, hash_json
from mfx.store import Payload

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SPLITS = ("train", "eval")


@dataclass(frozen=True)
class Shard:
    """One input file: where it is, its SHA-256 and size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Sources:
    """What `start` resolved: the input files and each column's type (`columns.TYPES`).

    Args:
        notes: A line on each column that is text though nearly all of it is numbers.
    """

    shards: tuple[Shard, ...]
    columns: dict[str, str]
    lineage: Lineage
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    """What a run was made with.

    Args:
        commit: Git's commit of the pipeline's folder; empty outside a repository.
        changed: Whether there were changes that are in no commit.
        payload: `code.zip`: the library's and the pipeline's Python files.
    """

    commit: str
    changed: bool
    payload: Payload

    def files(self) -> dict[str, str]:
        """Each file's text, by its path."""
        import io
        import zipfile

        with zipfile.ZipFile(io.BytesIO(self.payload.read("code.zip"))) as archive:
            return {name: archive.read(name).decode() for name in archive.namelist()}


@dataclass(frozen=True)
class Examples:
    """Typed rows by split, as Parquet files `<split>.parquet`, one payload for each input shard.

    Args:
        shards: Payloads in input order.
        rows: Rows of each split.
        rows_in: Rows that the files hold, counted apart from reading them.
        rejected: Rows left out, by reason; `rows_in == sum(rows) + sum(rejected)` always holds.
        columns: Each column's type.
        missing: Cells taken as missing: column, text, how many.
        rounded: Cells whose whole number float32 cannot hold: column, one such text, how many.
    """

    shards: tuple[Payload, ...]
    rows: dict[str, int]
    rows_in: int
    rejected: dict[str, int]
    columns: dict[str, str]
    lineage: Lineage
    missing: tuple[tuple[str, str, int], ...] = ()
    rounded: tuple[tuple[str, str, int], ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over the rows of all splits, in order."""
        return hash_json([payload.digest for payload in self.shards])

    @contextmanager
    def files(self, split: str) -> Iterator[list[Path]]:
        """The split's Parquet files, in order, in a temporary folder."""
        import tempfile

        if split not in SPLITS:
            raise MfxError(f"no split {split!r}: expected one of {', '.join(SPLITS)}")
        with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
            yield [
                payload.only(f"{split}.parquet").save_to(Path(directory, f"{number:05d}"))
                / f"{split}.parquet"
                for number, payload in enumerate(self.shards)
            ]

    def batches(
        self, split: str, rows: int = 65536, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The split's rows in order, at most `rows` in memory at a time."""
        import pyarrow.parquet as pq

        with self.files(split) as paths:
            for path in paths:
                yield from pq.ParquetFile(path).iter_batches(rows, columns=columns)

    def split_digest(self, split: str) -> str:
        """SHA-256 over the rows of one split, in order."""
        return hash_json([p.only(f"{split}.parquet").digest for p in self.shards])

    def to_arrow(self, split: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of a split."""
        import pyarrow as pa

        from mfx.columns import TYPES

        names = self.columns if columns is None else columns
        schema = pa.schema([(n, TYPES[self.columns[n]]) for n in names])
        return pa.Table.from_batches(list(self.batches(split, columns=columns)), schema)

    def to_pandas(self, split: str) -> pd.DataFrame:
        """All rows of a split; integers with missing values as `Int64`, bytes decoded to str."""
        import pandas as pd
        import pyarrow as pa

        table = self.to_arrow(split)
        texts = [i for i, kind in enumerate(table.schema.types) if pa.types.is_binary(kind)]
        for i in texts:
            name = table.schema.names[i]
            table = table.set_column(i, name, table.column(i).cast(pa.string()))
        return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)

    def to_tfrecord(self, split: str, path: str | Path) -> int:
        """Write a split as a TFRecord file of tf.Examples and return the number of rows."""
        import tensorflow as tf

        from mfx.tf_examples import serialize

        count = 0
        with tf.io.TFRecordWriter(str(path)) as writer:
            for batch in self.batches(split):
                for record in serialize(batch):
                    writer.write(record)
                    count += 1
        return count
