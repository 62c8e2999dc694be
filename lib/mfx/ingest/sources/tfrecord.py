"""TFRecord files of tf.Examples or tf.SequenceExamples, decoded by TFX's own decoder.

A SequenceExample's context features are columns as an Example's are. A feature list with one value
per step is a column of lists, one value for each step.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mfx.artifacts import Part
from mfx.columns import _private
from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.sources import compression, typed
from mfx.ingest.sources.base import LeftOut, MisfitError, Tally, checked_names, cut_at
from mfx.ingest.sources.cells import Rows, typed_batch
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
_LISTS = "\1feature lists"


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
    rows = (part.batch for part in _rows(path, how))
    typed.look_at_rows(str(path), rows, found, one_is_list=False)


def batches(
    path: Path, types: Mapping[str, str], how: Reading, tally: Tally, part: Part | None = None
) -> Iterator[pa.RecordBatch]:
    """The file's records; see `base.Source`."""
    for rows in _rows(path, how, part):
        yield typed_batch(rows, str(path), types, how, tally)


def parts(path: Path, how: Reading, size: float) -> list[Part]:
    """Parts of the file that end with a record; see `base.Cuts`."""
    if (how.compression or compression_of(path)) != "none":
        return []
    return cut_at(_places(path), path.stat().st_size, size)


def unpacked(path: Path, how: Reading) -> int:
    """The bytes of the records; see `base.Packs`."""
    return compression.unpacked(path, how.compression)


def around(path: Path, how: Reading) -> tuple[int, int]:
    """Nothing: a part is read by itself; see `base.Cuts`."""
    return 0, 0


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


@dataclass
class _Records:
    """Some records of the file, one after another.

    Args:
        first: How many come before them.
        data: The records that are whole.
        numbers: The place of each in the file, from 1.
        left_out: The others.
    """

    first: int
    data: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def _rows(path: Path, how: Reading, part: Part | None = None) -> Iterator[Rows]:
    """The rows of the file, or of a part of it, some at a time."""
    decoding = _Decoding(str(path), bool(how.tolerate))
    for records in _parts(path, how, part):
        decoded = decoding.decoded(records)
        left_out = sorted(records.left_out)
        for number, (some, batch) in enumerate(decoded):
            last = number == len(decoded) - 1
            here = [found for found in left_out if last or found.number <= some.numbers[-1]]
            left_out = left_out[len(here) :]
            yield Rows(batch, some.first, here, partial(_place, some))
        if left_out:
            yield Rows(_nothing(0), records.first, left_out)


def _place(records: _Records, row: int) -> tuple[int, str, bytes]:
    return records.numbers[row], "record", records.data[row]


def _nothing(rows: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(rows)], [typed.NO_COLUMN])


class _Decoding:
    """Decodes records.

    Args:
        where: The file.
        tolerant: Whether records that are no tf.Examples are left out.
    """

    def __init__(self, where: str, tolerant: bool) -> None:
        self.where, self.tolerant = where, tolerant
        self._decoders = {
            False: _private.example_decoder(),
            True: _private.sequence_decoder(_LISTS),
        }

    def decoded(self, records: _Records) -> list[tuple[_Records, pa.RecordBatch]]:
        """Records with the rows that they are; some at a time where not all can be decoded at once.

        Records that are no tf.Examples are left out of all but `records`.

        Raises:
            MfxError: There are such records, and none is tolerated.
        """
        found: list[tuple[_Records, pa.RecordBatch]] = []
        waiting = [records] if records.data else []
        while waiting:
            some = waiting.pop()
            try:
                found.append((some, self._decode(some)))
            except (RuntimeError, MisfitError) as error:
                if self.tolerant and len(some.data) > 1:
                    waiting += reversed(_halves(some))
                    continue
                fault = error if isinstance(error, MisfitError) else self._fault(some, error)
                if not self.tolerant:
                    raise fault from None
                number, raw = some.numbers[0], some.data[0]
                records.left_out.append(LeftOut.of(number, "record", fault.reason, raw))
        return found

    def _fault(self, records: _Records, error: RuntimeError) -> MisfitError:
        """The first record that is to blame, if one alone is."""
        for number, record in zip(records.numbers, records.data, strict=True):
            try:
                self._batch([record])
            except RuntimeError:
                return MisfitError(
                    f"{self.where}, record {number}: no tf.Example",
                    "Expected records that are serialized tf.Examples or tf.SequenceExamples.",
                    "no tf.Example",
                )
        first, last = records.numbers[0], records.numbers[-1]
        return MisfitError(
            f"{self.where}, records {first} to {last}: {str(error).split(': ', 1)[-1]}",
            "Write all values of a feature with one type.",
        )

    def _batch(self, data: list[bytes]) -> pa.RecordBatch:
        return self._decoders[any(map(_has_feature_lists, data))](data)

    def _decode(self, records: _Records) -> pa.RecordBatch:
        data = records.data
        batch = self._batch(data)
        if not batch.num_columns:
            batch = _nothing(len(data))
        if batch.num_rows != len(data):
            raise MfxError(
                f"{self.where}: of {len(data)} records from record {records.first + 1} on, "
                f"{batch.num_rows} were decoded",
                "Rows were lost: please report this with the file.",
            )
        return _flattened(self.where, records.first, batch)


def _halves(records: _Records) -> list[_Records]:
    middle = len(records.data) // 2
    return [
        _Records(records.numbers[begin] - 1, records.data[begin:end], records.numbers[begin:end])
        for begin, end in ((0, middle), (middle, len(records.data)))
    ]


def _flattened(where: str, first: int, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Feature lists as columns beside the others."""
    place = batch.schema.get_field_index(_LISTS)
    if place < 0:
        return batch
    names = [name for name in batch.schema.names if name != _LISTS]
    columns = [column for n, column in enumerate(batch.columns) if n != place]
    inner = batch.column(place)
    for kind, steps in zip(inner.type, inner.flatten(), strict=True):
        if kind.name in names:
            raise MisfitError(
                f"{where}: {kind.name!r} is a context feature and a feature list",
                "Give each a name of its own.",
                f"{kind.name!r} is a context feature and a feature list",
            )
        names.append(kind.name)
        columns.append(_one_per_step(where, first, kind.name, steps))
    return pa.RecordBatch.from_arrays(columns, names)


def _one_per_step(where: str, first: int, name: str, steps: pa.Array) -> pa.Array:
    inner = steps.flatten()
    if pa.types.is_null(inner.type):
        return pa.nulls(len(steps))
    counts = np.asarray(pc.list_value_length(inner).fill_null(0))
    if (counts != 1).any():
        at = np.repeat(np.arange(len(steps)), pc.list_value_length(steps).fill_null(0))
        record = first + int(at[int(np.argmax(counts != 1))]) + 1
        raise MisfitError(
            f"{where}, record {record}: a step of feature list {name!r} has "
            f"{int(counts[counts != 1][0])} values",
            "Expected one value per step: write a feature list for each of them.",
            f"feature list {name!r}: a step without one value",
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


def _parts(path: Path, how: Reading, part: Part | None) -> Iterator[_Records]:
    """The records of the file, or of a part of it, some at a time.

    A record is its length in 8 bytes, the length's checksum in 4, the data, the data's checksum
    (https://www.tensorflow.org/tutorials/load_data/tfrecord).

    Raises:
        MfxError: A checksum is wrong (that of data only if this is not tolerated), or the file ends
            within a record.
    """
    rest, number = b"", part.rows if part else 0
    for block in blocks(path, how.compression or compression_of(path), BLOCK_BYTES, part):
        text = rest + block
        records, end = _whole(str(path), text, number, bool(how.tolerate))
        number += len(records.data) + len(records.left_out)
        rest = text[end:]
        if end:
            yield records
    if rest:
        raise MfxError(
            f"{path}, record {number + 1}: the file ends within it",
            "The file is cut off: get it again.",
        )


def _whole(where: str, text: bytes, first: int, tolerant: bool) -> tuple[_Records, int]:
    """The whole records at the begin of `text`, and where they end."""
    records = _Records(first)
    place, number = 0, first
    while len(text) >= place + _BEFORE:
        begin, number = place + _BEFORE, number + 1
        (length,), (of_length,) = (
            _LENGTH.unpack_from(text, place),
            _SUM.unpack_from(text, begin - 4),
        )
        if _checksum(text[place : place + 8]) != of_length or length > MOST:
            raise _damaged(where, number)  # Where the next record begins is not known.
        end = begin + length
        if len(text) < end + _SUM.size:
            break
        record = text[begin:end]
        place = end + _SUM.size
        if _checksum(record) == _SUM.unpack_from(text, end)[0]:
            records.data.append(record)
            records.numbers.append(number)
        elif tolerant:
            records.left_out.append(LeftOut.of(number, "record", "a wrong checksum", record))
        else:
            raise _damaged(where, number, "a wrong checksum")
    return records, place


def _damaged(where: str, number: int, reason: str = "") -> MfxError:
    return MisfitError(
        f"{where}, record {number}: its checksum is wrong",
        "The file is damaged: get it again, or write it anew.",
        reason,
    )


def _checksum(data: bytes) -> int:
    """TFRecord's masked CRC-32C (tensorflow/core/lib/hash/crc32c.h)."""
    import google_crc32c

    value = google_crc32c.value(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
