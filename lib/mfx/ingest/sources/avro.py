"""Avro object container files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.sources import typed
from mfx.ingest.sources.base import Tally
from mfx.ingest.sources.compression import SHRINKS

TITLE = "Avro"
SUFFIXES = (".avro",)
LISTS, OPEN = True, False
OPTIONS: tuple[str, ...] = ()

_BATCH = 16384
"""Records that become a batch."""

_LOGICAL: dict[str, pa.DataType] = {
    "date": pa.date32(),
    "time-millis": pa.time32("ms"),
    "time-micros": pa.time64("us"),
    "timestamp-millis": pa.timestamp("ms", "UTC"),
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "timestamp-nanos": pa.timestamp("ns", "UTC"),
    "local-timestamp-millis": pa.timestamp("ms"),
    "local-timestamp-micros": pa.timestamp("us"),
    "local-timestamp-nanos": pa.timestamp("ns"),
}
_PLAIN: dict[str, pa.DataType] = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
    "fixed": pa.binary(),
    "enum": pa.string(),
}


def takes(name: str, head: bytes) -> bool:
    """Whether it begins as Avro does; see `base.Source`."""
    return head.startswith(b"Obj\x01")


def header(path: Path, how: Reading) -> list[str]:
    """The names of the file's columns; see `base.Source`."""
    return typed.header(_open(path))


def look(path: Path, how: Reading, found: dict[str, Any]) -> None:
    """The columns' types, as the file says; see `base.Source`."""
    typed.look(_open(path), found)


def batches(
    path: Path, types: Mapping[str, str], how: Reading, tally: Tally
) -> Iterator[pa.RecordBatch]:
    """The file's rows; see `base.Source`."""
    return typed.batches(_open(path), types, how, tally)


def unpacked(path: Path, how: Reading) -> int:
    """The bytes of the records; see `base.Packs`."""
    import fastavro

    with _one_error(path), path.open("rb") as file:
        codec = fastavro.reader(file).codec
    return path.stat().st_size * (1 if codec == "null" else SHRINKS)


def _open(path: Path) -> typed.Table:
    import fastavro

    def rows(columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        names = schema.names if columns is None else columns
        with _one_error(path), path.open("rb") as file:
            records: list[Any] = []
            for record in fastavro.reader(file):
                records.append(record)
                if len(records) == _BATCH:
                    yield _batch(schema, names, records)
                    records = []
            if records:
                yield _batch(schema, names, records)

    with _one_error(path), path.open("rb") as file:
        written = fastavro.reader(file).writer_schema
    if not isinstance(written, dict) or written.get("type") != "record":
        raise MfxError(f"{path}: Avro without records", "Expected a file whose schema is a record.")
    fields = [(field["name"], _arrow_type(field["type"])) for field in written["fields"]]
    schema = pa.schema(fields)
    return typed.Table(str(path), schema, None, rows)


def _batch(schema: pa.Schema, names: list[str], records: list[Any]) -> pa.RecordBatch:
    columns = []
    for name in names:
        kind = schema.field(name).type
        columns.append(pa.array([record[name] for record in records], kind))
    return pa.RecordBatch.from_arrays(columns, names)


def _arrow_type(kind: Any) -> pa.DataType:
    """The Arrow type of an Avro schema (https://avro.apache.org/docs/1.12.0/specification/)."""
    if isinstance(kind, list):
        others = [one for one in kind if one != "null"]
        if len(others) == 1:
            return _arrow_type(others[0])
        if not others:
            return pa.null()
        inner = [pa.field(str(number), _arrow_type(one)) for number, one in enumerate(others)]
        return pa.dense_union(inner)
    if isinstance(kind, str):
        return _PLAIN.get(kind, pa.struct([]))  # any other is the name of a record
    logical = _LOGICAL.get(kind.get("logicalType", ""))
    if logical is not None:
        return logical
    if kind["type"] == "array":
        return pa.list_(_arrow_type(kind["items"]))
    if kind["type"] == "map":
        return pa.map_(pa.string(), _arrow_type(kind["values"]))
    if kind["type"] == "record":
        return pa.struct([(f["name"], _arrow_type(f["type"])) for f in kind["fields"]])
    if kind.get("logicalType") == "decimal" and kind["precision"] <= 38:
        return pa.decimal128(kind["precision"], kind.get("scale", 0))
    return _arrow_type(kind["type"])


def _one_error(path: Path) -> Any:
    # fastavro raises what Python's own functions raise on damaged bytes.
    return typed.one_error(path, TITLE, Exception)
