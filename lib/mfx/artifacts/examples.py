"""Of `start` and `ingest`: the input files, the code, the typed rows."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mfx.artifacts.lineage import Lineage, hash_json
from mfx.artifacts.store import Payload
from mfx.errors import MfxError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SPLITS = ("train", "eval")


class SourceFile(NamedTuple):
    """One input file: where it is, its SHA-256 and size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Shard:
    """Input files that one task of `ingest` reads, in order."""

    files: tuple[SourceFile, ...]

    @property
    def sha256(self) -> str:
        """SHA-256 over the files' contents, in order; their names do not matter."""
        return hash_json([file.sha256 for file in self.files])

    @property
    def path(self) -> str:
        """The first file's path, as the config means it: relative ones start at its folder."""
        return self.files[0].path

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def __getstate__(self) -> dict[str, bytes]:
        # Compressed: ten thousand paths and hashes are part of every task's artifacts.
        return {"packed": zlib.compress(json.dumps(self.files).encode())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # In older runs a shard was one file, kept as its path, sha256 and size.
        files = json.loads(zlib.decompress(state["packed"])) if "packed" in state else [state]
        made = (SourceFile(**f) if isinstance(f, dict) else SourceFile(*f) for f in files)
        self.__dict__["files"] = tuple(made)


@dataclass(frozen=True)
class Sources:
    """What `start` resolved: the input files and each column's type (`columns.types.TYPES`).

    Args:
        notes: A line on each column that is text though nearly all of it is numbers.
    """

    shards: tuple[Shard, ...]
    columns: dict[str, str]
    lineage: Lineage
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """All input files, in order."""
        return tuple(file for shard in self.shards for file in shard.files)


def paths_in_words(
    files: Sequence[SourceFile], resolve: Callable[[str], str] = str, most: int = 1
) -> str:
    """The paths of at most so many input files, and how many more there are.

    Args:
        files: The files.
        resolve: Makes a kept path one that a reader can open (`Settings.resolve`).
        most: How many are named.
    """
    more = f" and {len(files) - most:,} more" if len(files) > most else ""
    return ", ".join(resolve(file.path) for file in files[:most]) + more


@dataclass(frozen=True)
class Code:
    """What a run was made with.

    Args:
        commit: Git's commit of the pipeline's folder; empty outside a repository.
        changed: Whether there were changes that are in no commit.
        payload: `code.zip`: the library's and the pipeline's files.
        library: This library's version, `mfx.__version__`; empty in runs of 0.1.
    """

    commit: str
    changed: bool
    payload: Payload
    library: str = ""

    def files(self) -> dict[str, str]:
        """Each file's text, by its path."""
        import io
        import zipfile

        with zipfile.ZipFile(io.BytesIO(self.payload.read("code.zip"))) as archive:
            return {
                name: archive.read(name).decode(errors="replace") for name in archive.namelist()
            }


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
        """The split's rows in order, at most `rows` in memory at a time.

        Raises:
            ValueError: One of `columns` is not in the data.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        with self.files(split) as paths:
            for path in paths:
                for batch in pq.ParquetFile(path).iter_batches(rows, columns=columns):
                    # For Parquet `a.b` is a part of `a`, and comes with it.
                    names = batch.schema.names if columns is None else list(columns)
                    if missing := sorted(set(names) - set(batch.schema.names)):
                        raise ValueError(f"no feature '{missing[0]}' in the data")
                    places = [batch.schema.get_field_index(name) for name in names]
                    yield pa.RecordBatch.from_arrays([batch.column(i) for i in places], names)

    def split_digest(self, split: str) -> str:
        """SHA-256 over the rows of one split, in order."""
        return hash_json([p.only(f"{split}.parquet").digest for p in self.shards])

    def to_arrow(self, split: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of a split."""
        import pyarrow as pa

        from mfx.columns.types import TYPES

        names = self.columns if columns is None else columns
        schema = pa.schema([(n, TYPES[self.columns[n]]) for n in names])
        return pa.Table.from_batches(list(self.batches(split, columns=columns)), schema)

    def to_pandas(self, split: str) -> pd.DataFrame:
        """All rows of a split, text decoded to str.

        Integers with missing values are `Int64`; lists are arrays of their values, None where
        missing. A column with values that are not UTF-8 stays bytes.
        """
        import pandas as pd
        import pyarrow as pa

        table = self.to_arrow(split)
        for place, field in enumerate(table.schema):
            if (texts := _as_text(table.column(place))) is not None:
                table = table.set_column(place, field.name, texts)
        return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)

    def to_tfrecord(self, split: str, path: str | Path) -> int:
        """Write a split as a TFRecord file of tf.Examples and return the number of rows."""
        import tensorflow as tf

        from mfx.columns.tf_examples import serialize

        count = 0
        with tf.io.TFRecordWriter(str(path)) as writer:
            for batch in self.batches(split):
                for record in serialize(batch):
                    writer.write(record)
                    count += 1
        return count


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column of bytes, or of lists of bytes, as text; None if it is neither, or not UTF-8."""
    import pyarrow as pa

    from mfx.columns.types import TYPES

    wanted = {TYPES["bytes"]: pa.string(), TYPES["bytes list"]: pa.list_(pa.string())}
    if column.type not in wanted:
        return None
    try:
        return column.cast(wanted[column.type])
    except pa.ArrowInvalid:
        return None
