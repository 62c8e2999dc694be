"""The results of `start` and `ingest`: the input files, the code, the typed rows."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mfx.artifacts.example_rows import as_text, rejected_schema, rows_of
from mfx.artifacts.lineage import Lineage, hash_json
from mfx.artifacts.spans import Span, SpanRows
from mfx.artifacts.store import Payload
from mfx.errors import MfxError
from mfx.splits import EVAL, TRAIN, in_order

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SPLITS = (TRAIN, EVAL)
"""The splits that there always are; `Examples.splits` has all."""
REJECTED = "rejected.parquet"
"""The file of a shard's payload with the rows that did not fit, if there are any."""


class Part(NamedTuple):
    """A part of an input file that is read by itself; the parts of a file cover all its bytes.

    Attributes:
        begin: The place of its first byte in the file.
        end: The place after its last byte.
        rows: How many rows of the file come before it.
        lines: How many lines of a text file come before it.
        sha256: Of its bytes.
        head: How many of the file's first bytes reading the part takes as well.
        tail: How many of the file's last bytes.
    """

    begin: int
    end: int
    rows: int
    lines: int = 0
    sha256: str = ""
    head: int = 0
    tail: int = 0

    def ranges(self, size: int) -> list[tuple[int, int]]:
        """What to fetch of a file of so many bytes, to read the part: begins and ends, in order."""
        found: list[tuple[int, int]] = []
        for begin, end in sorted(
            [(0, min(self.head, size)), (self.begin, self.end), (max(0, size - self.tail), size)]
        ):
            if found and begin <= found[-1][1]:
                found[-1] = found[-1][0], max(end, found[-1][1])
            elif begin < end:
                found.append((begin, end))
        return found


class SourceFile(NamedTuple):
    """One input file, also where it is a single row; or a piece of data that are no files.

    Attributes:
        path: Where it lies; the name of a piece.
        sha256: Of its bytes; of a piece, of its columns and rows; of an object that is a row, of
            the size and the tag that its storage tells.
        size: Its bytes; of a piece, its rows' in Arrow.
        part: The part to read; None: all of it.
        keys: Columns that the names of its folders give (`year=2020`), and their texts; of a file
            that is a row, all columns but its content, as JSON.
        told: Of a piece, its kind and all that is needed to read it, JSON; see `ingest.outside`.
            Of a file that is a row, see `ingest.folders.rows`.
        span: The span that its path says, if it says one.
        split: The split that all its rows are in; empty if files do not say it.
    """

    path: str
    sha256: str
    size: int
    part: Part | None = None
    keys: tuple[tuple[str, str], ...] = ()
    told: tuple[str, Any] | None = None
    span: Span | None = None
    split: str = ""

    @property
    def content(self) -> Any:
        """What decides its rows, whatever it is called: hashes, the part's place, keys, split."""
        whole = (self.sha256, self.part.begin, self.part.end) if self.part else self.sha256
        if self.split:
            return whole, self.keys, self.split
        return (whole, self.keys) if self.keys else whole


@dataclass(frozen=True)
class Shard:
    """The input files, or parts of files, that one task of `ingest` reads, in order."""

    files: tuple[SourceFile, ...]

    @property
    def sha256(self) -> str:
        """SHA-256 of the files' contents, in order. Their names do not matter, but keys do."""
        return hash_json([file.content for file in self.files])

    @property
    def path(self) -> str:
        """The first file's path. A relative path starts at the config's folder."""
        return self.files[0].path

    @property
    def size(self) -> int:
        """The size of all files, or their parts, together, in bytes."""
        return sum(f.part.end - f.part.begin if f.part else f.size for f in self.files)

    def __getstate__(self) -> dict[str, bytes]:
        # Compressed, since every task has them: there may be ten thousand paths and hashes.
        # A file that says no split is kept as before files could.
        files = [file if file.split else file[:-1] for file in self.files]
        return {"packed": zlib.compress(json.dumps(files).encode())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # In older runs a shard was one file, stored as its path, sha256 and size.
        files = json.loads(zlib.decompress(state["packed"])) if "packed" in state else [state]
        self.__dict__["files"] = tuple(map(_source_file, files))


def _source_file(state: Any) -> SourceFile:
    if isinstance(state, dict):
        return SourceFile(**state)
    # In older runs there were no parts; then no keys; then nothing but files; then no spans.
    path, sha256, size, *more = state
    part, keys, told, span, split = (*more, None, None, None, None, None)[:5]
    pairs = tuple((name, text) for name, text in keys or ())
    kind = (told[0], told[1]) if told else None
    of = Span(*span) if span else None
    here = Part(*part) if part else None
    return SourceFile(path, sha256, size, here, pairs, kind, of, split or "")


@dataclass(frozen=True)
class Sources:
    """The input files of a run, and the type of each column.

    Args:
        shards: The files, grouped by the task that reads them.
        columns: Each column's type, a name in `columns.types.TYPES`.
        lineage: What the run is made from.
        notes: One line for each column that is text although most of it looks like numbers.
    """

    shards: tuple[Shard, ...]
    columns: dict[str, str]
    lineage: Lineage
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """All input files, in order; each once, whole."""
        files = (file for shard in self.shards for file in shard.files)
        return tuple(f._replace(part=None) for f in files if not f.part or f.part.begin == 0)

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans of the files, ascending; none where paths say none."""
        found = (file.span for shard in self.shards for file in shard.files)
        return tuple(span for span in dict.fromkeys(found) if span is not None)


def paths_in_words(
    files: Sequence[SourceFile], resolve: Callable[[str], str] = str, most: int = 1
) -> str:
    """Name some input files, for messages, such as "a.csv and 3 more".

    Args:
        files: The files.
        resolve: Turns a stored path into one that a reader can open (`Settings.resolve`).
        most: How many files are named.
    """
    paths = list(dict.fromkeys(file.path for file in files))
    more = f" and {len(paths) - most:,} more" if len(paths) > most else ""
    return ", ".join(map(resolve, paths[:most])) + more


@dataclass(frozen=True)
class Code:
    """The code that made a run.

    Args:
        commit: The Git commit of the pipeline's folder; empty outside a repository.
        changed: Whether there were uncommitted changes.
        payload: The file `code.zip`, with the library's and the pipeline's files.
        library: This library's version, `mfx.__version__`; empty in runs of version 0.1.
    """

    commit: str
    changed: bool
    payload: Payload
    library: str = ""

    def files(self) -> dict[str, str]:
        """The text of each file, by path."""
        import io
        import zipfile

        with zipfile.ZipFile(io.BytesIO(self.payload.read("code.zip"))) as archive:
            return {
                name: archive.read(name).decode(errors="replace") for name in archive.namelist()
            }


@dataclass(frozen=True)
class Examples:
    """Typed rows by split. Each shard has a payload with one Parquet file per split.

    Args:
        shards: The payloads, in the order of the input; each has files `<split>.parquet`.
        rows: The number of rows of each split, in the order of `splits`.
        rows_in: The number of rows in the input files, counted separately from reading them.
        rejected: Rows left out, by reason. `rows_in == sum(rows) + sum(rejected)` always holds.
            Those in `misfits` did not fit, the others have no label or are in no split.
        columns: Each column's type.
        lineage: What the result was made from.
        missing: Cells taken as missing: column, text, number of cells.
        rounded: Cells with a whole number that float32 changes: column, one such text, number of
            cells.
        hashes: For each split, the hash of its rows in order (`ingest.rows_hash`). If there are
            none, as in older runs, digests are those of the payloads.
        misfits: Rows that do not fit: reason, number of rows. `rejected_rows` has them.
        tolerate: How many of them the config allows, a number of rows or a share of `rows_in`.
        spans: The rows of each span, in order; empty where the input's paths say no spans.
    """

    shards: tuple[Payload, ...]
    rows: dict[str, int]
    rows_in: int
    rejected: dict[str, int]
    columns: dict[str, str]
    lineage: Lineage
    missing: tuple[tuple[str, str, int], ...] = ()
    rounded: tuple[tuple[str, str, int], ...] = ()
    hashes: Mapping[str, str] | None = None
    misfits: tuple[tuple[str, int], ...] = ()
    tolerate: int | float = 0
    spans: tuple[SpanRows, ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits: train, eval, the others by name."""
        return in_order(self.rows)

    @property
    def digest(self) -> str:
        """SHA-256 that tells the columns, and the names and the rows of all splits in order.

        It is the same for any number of shards. Of several spans it tells the rows of each.
        """
        if len(self.spans) > 1:
            return hash_json([part.digest for part in self.by_span()])
        if not self.hashes:
            return hash_json([payload.digest for payload in self.shards])
        # Of train and eval alone it is as it was before there were others.
        found = {split: self.split_digest(split) for split in self.splits}
        return hash_json([*found.values()] if self.splits == SPLITS else [*found.items()])

    def by_span(self) -> list[Examples]:
        """The examples of each span, in order: its payloads and rows. Counts of the input are not
        known of a span. Without spans, all examples."""
        parts, begin = [], 0
        for part in self.spans:
            payloads, begin = self.shards[begin : begin + part.shards], begin + part.shards
            total = sum(part.rows.values())
            parts.append(
                Examples(
                    *(payloads, part.rows, total, {}, self.columns, self.lineage),
                    hashes=part.hashes,
                    spans=(part,),
                )
            )
        return parts or [self]

    @contextmanager
    def files(self, split: str) -> Iterator[list[Path]]:
        """A context that gives the split's Parquet files, in order, in a temporary folder."""
        import tempfile

        if split not in self.splits:
            raise MfxError(f"no split {split!r}: expected one of {', '.join(self.splits)}")
        with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
            yield [
                payload.only(f"{split}.parquet").save_to(Path(directory, f"{number:05d}"))
                / f"{split}.parquet"
                for number, payload in enumerate(self.shards)
            ]

    def batches(
        self, split: str, rows: int = 65536, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the split's rows in order; how they lie in shards does not show.

        Args:
            split: The split's name.
            rows: The rows of each batch but the last; fewer where a batch would be large.
            columns: The columns to read; by default all.

        Raises:
            ValueError: One of `columns` is not in the data.
        """
        from mfx.columns.row_groups import regrouped

        with self.files(split) as paths:
            yield from regrouped(rows_of(paths, rows, columns), rows)

    def split_digest(self, split: str) -> str:
        """SHA-256 that tells the columns, and the rows of one split in order."""
        if self.hashes:
            return hash_json([[*self.columns.items()], self.rows[split], self.hashes[split]])
        return hash_json([p.only(f"{split}.parquet").digest for p in self.shards])

    def to_arrow(self, split: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of a split, with the given columns or all."""
        import pyarrow as pa

        from mfx.columns.types import arrow_type

        names = self.columns if columns is None else columns
        schema = pa.schema([(n, arrow_type(self.columns[n])) for n in names])
        return pa.Table.from_batches(list(self.batches(split, columns=columns)), schema)

    def to_pandas(self, split: str) -> pd.DataFrame:
        """All rows of a split as a DataFrame.

        Text is str; a column with values that are not UTF-8 stays bytes. Integers are `Int64`,
        which can be missing. Lists are arrays; a missing list is None.
        """
        import pandas as pd
        import pyarrow as pa

        table = self.to_arrow(split)
        for place, column in enumerate(table.schema):
            if (texts := as_text(table.column(place))) is not None:
                table = table.set_column(place, column.name, texts)
        return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)

    def rejected_rows(self) -> pa.Table:
        """The rows that did not fit, in the order of the input. Rows without a label are not there.

        The columns are source (str), the file's path as the config says it; number (int64), the
        row's place in the file, counted from 1; unit (str), which of "line", "record" and "row" the
        number counts; reason (str), as in `rejected`; raw (bytes), the row as it stands in the
        file, or its first 64 KiB, as JSON where the file is Parquet, Arrow or Avro; and cut (bool),
        whether raw is not all of it.
        """
        import pyarrow as pa

        return pa.Table.from_batches(self.rejected_batches(), rejected_schema())

    def rejected_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the same in parts, in bounded memory."""
        import tempfile

        import pyarrow.parquet as pq

        from mfx.columns.row_groups import read

        for payload in self.shards:
            if all(blob.path != REJECTED for blob in payload.blobs):
                continue
            with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
                path = payload.only(REJECTED).save_to(directory) / REJECTED
                yield from read(pq.ParquetFile(path), 4096)

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
