"""TFRecord files of tf.Examples or tf.SequenceExamples, decoded by TFX's own decoder.

A SequenceExample's context features are columns as an Example's are. A feature list with one value
per step is a column of lists, one value for each step.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfx.artifacts import Part
from mfx.columns import _private
from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.sources import typed
from mfx.ingest.sources.base import Tally, checked_names, cut_at
from mfx.ingest.sources.compression import PACKED, blocks, compression_of

TITLE = "TFRecord"
SUFFIXES = tuple(text + packed for text in (".tfrecord", ".tfrecords") for packed in PACKED)
LISTS, OPEN = True, True
OPTIONS: tuple[str, ...] = ("compression",)

BLOCK_BYTES = 16 * 2**20
"""Bytes of records that become a batch."""
MOST = 1 * 2**30
"""Bytes that a record may have."""

_LENGTH, _SUM = struct.Struct("<Q"), struct.Struct("<I")
_BEFORE = _LENGTH.size + _SUM.size
_LISTS = "\0feature lists"


def takes(name: str, head: bytes) -> bool:
    """Whether it begins with a record's length and the checksum of that; see `base.Source`."""
    return len(head) >= _BEFORE and _checksum(head[:8]) == _SUM.unpack_from(head, 8)[0]


def header(path: Path, how: Reading) -> list[str]:
    """The names of all features, sorted; see `base.Source`."""
    found: dict[str, Any] = {}
    look(path, how, found)
    return checked_names(str(path), sorted(found))


def look(path: Path, how: Reading, found: dict[str, Any]) -> None:
    """The features' types, from all records; see `base.Source`."""
    typed.look_at_rows(str(path), _batches(path, how), found, one_is_list=False)


def batches(
    path: Path, types: Mapping[str, str], how: Reading, tally: Tally, part: Part | None = None
) -> Iterator[pa.RecordBatch]:
    """The file's records; see `base.Source`."""
    first = part.rows if part else 0
    table = typed.Table(
        str(path), pa.schema([]), None, lambda columns: _batches(path, how, part), first
    )
    return typed.batches(table, types, how, tally)


def parts(path: Path, how: Reading, size: float) -> list[Part]:
    """Parts of the file that end with a record; see `base.Cuts`."""
    if (how.compression or compression_of(path)) != "none":
        return []
    return cut_at(_places(path), path.stat().st_size, size)


def _places(path: Path) -> Iterator[tuple[int, int, int]]:
    """Where each record begins, by the lengths alone, and how many come before it."""
    place = number = 0
    with path.open("rb") as file:
        while len(head := file.read(_BEFORE)) == _BEFORE:
            yield place, number, 0
            if _checksum(head[:8]) != _SUM.unpack_from(head, 8)[0]:
                return  # Whoever reads the record says so.
            place += _BEFORE + _LENGTH.unpack_from(head)[0] + _SUM.size
            number += 1
            file.seek(place)


def _batches(path: Path, how: Reading, part: Part | None = None) -> Iterator[pa.RecordBatch]:
    decoders = {False: _private.example_decoder(), True: _private.sequence_decoder(_LISTS)}
    first = part.rows if part else 0
    for records in _parts(path, how.compression or compression_of(path), part):
        decode = decoders[any(map(_has_feature_lists, records))]
        try:
            batch = decode(records)
        except RuntimeError as error:
            raise _undecodable(str(path), first, records, decode, error) from None
        if not batch.num_columns:
            batch = pa.RecordBatch.from_arrays([pa.nulls(len(records))], [typed.NO_COLUMN])
        if batch.num_rows != len(records):
            raise MfxError(
                f"{path}: of {len(records)} records from record {first + 1} on, {batch.num_rows} "
                "were decoded",
                "Rows were lost: please report this with the file.",
            )
        yield _flattened(str(path), first, batch)
        first += len(records)


def _undecodable(
    where: str, first: int, records: list[bytes], decode: Any, error: Exception
) -> MfxError:
    """The first record that is to blame, if one alone is."""
    for number, record in enumerate(records, first + 1):
        try:
            decode([record])
        except RuntimeError:
            return MfxError(
                f"{where}, record {number}: no tf.Example",
                "Expected records that are serialized tf.Examples or tf.SequenceExamples.",
            )
    return MfxError(
        f"{where}, records {first + 1} to {first + len(records)}: {str(error).split(': ', 1)[-1]}",
        "Write all values of a feature with one type.",
    )


def _flattened(where: str, first: int, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Feature lists as columns beside the others."""
    place = batch.schema.get_field_index(_LISTS)
    if place < 0:
        return batch
    names = [name for name in batch.schema.names if name != _LISTS]
    columns = [column for n, column in enumerate(batch.columns) if n != place]
    inner = batch.column(place)
    for field, steps in zip(inner.type, inner.flatten(), strict=True):
        if field.name in names:
            raise MfxError(
                f"{where}: {field.name!r} is a context feature and a feature list",
                "Give each a name of its own.",
            )
        names.append(field.name)
        columns.append(_one_per_step(where, first, field.name, steps))
    return pa.RecordBatch.from_arrays(columns, names)


def _one_per_step(where: str, first: int, name: str, steps: pa.Array) -> pa.Array:
    inner = steps.flatten()
    if pa.types.is_null(inner.type):
        return pa.nulls(len(steps))
    counts = np.asarray(pc.list_value_length(inner).fill_null(0))
    if (counts != 1).any():
        at = np.repeat(np.arange(len(steps)), pc.list_value_length(steps).fill_null(0))
        record = first + int(at[int(np.argmax(counts != 1))]) + 1
        raise MfxError(
            f"{where}, record {record}: a step of feature list {name!r} has "
            f"{int(counts[counts != 1][0])} values",
            "Expected one value per step: write a feature list for each of them.",
        )
    lengths = np.asarray(pc.list_value_length(steps).fill_null(0))
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    missing = np.concatenate([np.asarray(steps.is_null()), [False]])
    return pa.ListArray.from_arrays(pa.array(ends, mask=missing), inner.flatten())


def _has_feature_lists(record: bytes) -> bool:
    """Whether a serialized message has a field 2, which an Example has not."""
    place = 0
    while place < len(record):
        tag = record[place]
        if tag & 7 != 2:
            return False  # No Example either; the decoder says so.
        if tag >> 3 == 2:
            return True
        length, place = _varint(record, place + 1)
        place += length
    return False


def _varint(record: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(record):
        byte = record[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return value, place


def _parts(path: Path, compression: str, part: Part | None) -> Iterator[list[bytes]]:
    """The records of the file, or of a part of it, some at a time.

    A record is its length in 8 bytes, the length's checksum in 4, the data, the data's checksum
    (https://www.tensorflow.org/tutorials/load_data/tfrecord).

    Raises:
        MfxError: A checksum is wrong, or the file ends within a record.
    """
    rest, number = b"", part.rows if part else 0
    for block in blocks(path, compression, BLOCK_BYTES, part):
        text = rest + block
        records, end = _whole(str(path), text, number)
        number += len(records)
        rest = text[end:]
        if records:
            yield records
    if rest:
        raise MfxError(
            f"{path}, record {number + 1}: the file ends within it",
            "The file is cut off: get it again.",
        )


def _whole(where: str, text: bytes, number: int) -> tuple[list[bytes], int]:
    """The whole records at the begin of `text`, and where they end."""
    records: list[bytes] = []
    place = 0
    while len(text) >= place + _BEFORE:
        begin = place + _BEFORE
        (length,), (of_length,) = (
            _LENGTH.unpack_from(text, place),
            _SUM.unpack_from(text, begin - 4),
        )
        if _checksum(text[place : place + 8]) != of_length or length > MOST:
            raise _damaged(where, number + len(records) + 1)
        end = begin + length
        if len(text) < end + _SUM.size:
            break
        record = text[begin:end]
        if _checksum(record) != _SUM.unpack_from(text, end)[0]:
            raise _damaged(where, number + len(records) + 1)
        records.append(record)
        place = end + _SUM.size
    return records, place


def _damaged(where: str, number: int) -> MfxError:
    return MfxError(
        f"{where}, record {number}: its checksum is wrong",
        "The file is damaged: get it again, or write it anew.",
    )


def _checksum(data: bytes) -> int:
    """TFRecord's masked CRC-32C (tensorflow/core/lib/hash/crc32c.h)."""
    import google_crc32c

    value = google_crc32c.value(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
