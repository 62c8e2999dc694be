"""Tables as files of every format that is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from mfx.columns.types import is_list, kind_of, value_kind


def as_text(table: pa.Table) -> pa.Table:
    """Bytes as the text that they are."""
    texts = {pa.binary(): pa.string(), pa.list_(pa.binary()): pa.list_(pa.string())}
    columns = [column.cast(texts.get(column.type, column.type)) for column in table.columns]
    return pa.table(columns, names=table.column_names)


def _csv(table: pa.Table, path: Path) -> None:
    texts = [
        column.cast(pa.string()).fill_null("") if column.type == pa.binary() else column
        for column in table.columns
    ]
    pacsv.write_csv(pa.table(texts, names=table.column_names), path)


def tsv(table: pa.Table, path: Path) -> None:
    """The table as tab-separated values."""
    pacsv.write_csv(as_text(table), path, pacsv.WriteOptions(delimiter="\t"))


def _parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, row_group_size=1000)


def _arrow(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, 1000)


def _avro(table: pa.Table, path: Path) -> None:
    kinds = {"int64": "long", "float32": "float", "bytes": "bytes"}
    fields = []
    for field in table.schema:
        name = kind_of(field.type)
        kind = kinds[value_kind(name)]
        kind = {"type": "array", "items": kind} if is_list(name) else kind
        fields.append({"name": field.name, "type": ["null", kind]})
    schema = {"type": "record", "name": "row", "fields": fields}

    def records() -> Iterator[dict]:
        for batch in table.to_batches(10_000):
            yield from batch.to_pylist()

    with path.open("wb") as file:
        fastavro.writer(file, schema, records(), codec="deflate")


def _jsonl(table: pa.Table, path: Path) -> None:
    rows = as_text(table).to_pylist()
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _tfrecord(table: pa.Table, path: Path) -> None:
    import tensorflow as tf

    from mfx.columns.tf_examples import serialize

    with tf.io.TFRecordWriter(str(path)) as writer:
        for batch in table.to_batches():
            for record in serialize(batch):
                example = tf.train.Example.FromString(record)
                for name in table.column_names:
                    _ = example.features.feature[name]  # Empty where missing, as TFX writes it.
                writer.write(example.SerializeToString())


WRITERS = {
    "csv": _csv,
    "parquet": _parquet,
    "arrow": _arrow,
    "avro": _avro,
    "jsonl": _jsonl,
    "tfrecord": _tfrecord,
}
"""Writes a table, with columns of the types in `columns.types.TYPES`, as a file: for each source by
its name."""
