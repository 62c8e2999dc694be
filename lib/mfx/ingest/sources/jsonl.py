"""JSON Lines: one object per line, as https://jsonlines.org has it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mfx.artifacts import Part
from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.sources import arrow_types, compression, file_kinds, typed
from mfx.ingest.sources.base import LeftOut, MisfitError, Tally, checked_names, cut_at
from mfx.ingest.sources.cells import Rows, typed_batch
from mfx.ingest.sources.compression import PACKED, blocks, compression_of

TITLE = "JSON Lines"
SUFFIXES = tuple(text + packed for text in (".jsonl", ".ndjson") for packed in PACKED)
LISTS, OPEN = True, True
OPTIONS: tuple[str, ...] = ("compression",)

BLOCK_BYTES = 8 * 2**20
"""Text that becomes a batch."""
MOST = 64 * 2**20
"""Bytes that a line may have."""

_KEY = re.compile(rb'"\s*:')


def takes(name: str, head: bytes) -> bool:
    """Whether it begins with an object, or is named as such files are; see `base.Source`."""
    if name.lower().endswith(SUFFIXES):
        return True
    return head.lstrip().startswith(b"{") and file_kinds.detect(head) == "JSON"


def header(path: Path, how: Reading) -> list[str]:
    """The keys of all objects, sorted; see `base.Source`."""
    found: dict[str, Any] = {}
    look(path, how, found)
    return checked_names(str(path), sorted(found))


def look(path: Path, how: Reading, found: dict[str, Any]) -> None:
    """The columns' types, from all values; see `base.Source`."""
    rows = (part.batch for part in _rows(path, how, {}))
    typed.look_at_rows(str(path), rows, found, one_is_list=True)


def batches(
    path: Path, types: Mapping[str, str], how: Reading, tally: Tally, part: Part | None = None
) -> Iterator[pa.RecordBatch]:
    """The file's rows; see `base.Source`."""
    for rows in _rows(path, how, types, part):
        yield typed_batch(rows, str(path), types, how, tally)


def parts(path: Path, how: Reading, size: float) -> list[Part]:
    """Parts of the file that end with a line; see `base.Cuts`."""
    if (how.compression or compression_of(path)) != "none":
        return []

    def places() -> Iterator[tuple[int, int, int]]:
        place = rows = 0
        for first, lines in _lines(
            path, "none", None, max(2**12, min(BLOCK_BYTES, int(size / 16)))
        ):
            place += sum(map(len, lines)) + len(lines)
            rows += sum(map(_is_row, lines))
            yield place, rows, first - 1 + len(lines)

    return cut_at(places(), path.stat().st_size, size)


def unpacked(path: Path, how: Reading) -> int:
    """The bytes of the text; see `base.Packs`."""
    return compression.unpacked(path, how.compression)


def around(path: Path, how: Reading) -> tuple[int, int]:
    """Nothing: a part is read by itself; see `base.Cuts`."""
    return 0, 0


def _rows(
    path: Path, how: Reading, types: Mapping[str, str], part: Part | None = None
) -> Iterator[Rows]:
    """The rows of the file, or of a part of it, some at a time."""
    before = part.rows if part else 0
    for first, lines in _lines(path, how.compression or compression_of(path), part):
        found = _Lines(str(path), first, lines, types, bool(how.tolerate)).rows(before)
        yield found
        before += found.batch.num_rows + len(found.left_out)


def _lines(
    path: Path, compression: str, part: Part | None, size: int | None = None
) -> Iterator[tuple[int, list[bytes]]]:
    """Parts of the file as lines, and the number of the first of them."""
    rest, first = b"", part.lines + 1 if part else 1
    for block in blocks(path, compression, size or BLOCK_BYTES, part):
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > MOST:
            raise MfxError(
                f"{path}, line {first + len(lines)}: a line of more than {MOST / 2**20:.0f} MiB",
                "Expected one JSON object per line.",
            )
        if lines:
            yield first, lines
            first += len(lines)
    if rest:
        yield first, [rest]


class _Lines:
    """Some lines of the file as rows.

    Args:
        where: The file.
        first: The number of the first line, from 1.
        lines: The lines.
        types: Each column's type, as far as types are known.
        tolerant: Whether lines that are no row are left out.
    """

    def __init__(
        self, where: str, first: int, lines: list[bytes], types: Mapping[str, str], tolerant: bool
    ) -> None:
        if first == 1:
            lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
        self.first, self.lines, self.types, self.tolerant = first, lines, types, tolerant
        self.objects: list[dict[str, Any]] = []
        self.left_out: dict[int, LeftOut] = {}
        for number, line in enumerate(lines, first):
            if _is_row(line):
                try:
                    self.objects.append(_object(where, number, line))
                except MisfitError as fault:
                    if not tolerant:
                        raise
                    self._leave_out(number, fault.reason)
        self._numbers: list[int] | None = None

    def rows(self, before: int) -> Rows:
        """The rows, and the lines that are none."""
        batch = _batch(self.objects, self.types)
        while self.tolerant and (nested := _nested(batch)):
            self._leave_out_nested(nested)
            batch = _batch(self.objects, self.types)
        return Rows(batch, before, [*self.left_out.values()], self._place, self._only)

    def _leave_out(self, number: int, reason: str) -> None:
        raw = self.lines[number - self.first]
        self.left_out[number] = LeftOut.of(number, "line", reason, raw)

    def _leave_out_nested(self, name: str) -> None:
        numbers, kept = self.numbers(), []
        for number, made in zip(numbers, self.objects, strict=True):
            value = made.get(name)
            if isinstance(value, dict) or (
                isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value)
            ):
                self._leave_out(number, f"column {name!r}: an object, or a list of lists")
            else:
                kept.append(made)
        self.objects, self._numbers = kept, None

    def numbers(self) -> list[int]:
        """The lines of the objects."""
        if self._numbers is None:
            numbered = enumerate(self.lines, self.first)
            rows = (number for number, line in numbered if _is_row(line))
            self._numbers = [number for number in rows if number not in self.left_out]
        return self._numbers

    def _place(self, row: int) -> tuple[int, str, bytes]:
        number = self.numbers()[row]
        return number, "line", self.lines[number - self.first]

    def _only(self, rows: np.ndarray) -> pa.RecordBatch:
        # Made anew: values of other types in a column make texts of all of them.
        return _batch([self.objects[row] for row in rows.tolist()], self.types)


def _batch(rows: list[dict[str, Any]], types: Mapping[str, str]) -> pa.RecordBatch:
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    columns = [
        _array([row.get(name) for row in rows], types.get(name, "").startswith("bytes"))
        for name in names
    ]
    if not columns:  # Objects without keys: a batch without columns would have no rows.
        return pa.RecordBatch.from_arrays([pa.nulls(len(rows))], [typed.NO_COLUMN])
    return pa.RecordBatch.from_arrays(columns, list(names))


def _nested(batch: pa.RecordBatch) -> str:
    """A column with values that no tf.Example can hold; "" if there is none."""
    return next(
        (
            f.name
            for f in batch.schema
            if not arrow_types.rule_of(arrow_types.value_type(f.type)[0])
        ),
        "",
    )


def _is_row(line: bytes) -> bool:
    return bool(line) and not line.isspace()


def _object(where: str, number: int, line: bytes) -> dict[str, Any]:
    import orjson

    def fault(reason: str, what: str, remedy: str) -> MisfitError:
        return MisfitError(f"{where}, line {number}: {what}", remedy, reason)

    try:
        made = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        shown = line[:60].decode("utf-8", "replace").strip()
        nan = re.search(rb"[:,\[]\s*-?(NaN|Infinity)", line)
        remedy = "Expected one JSON object per line, in UTF-8."
        raise fault(
            "not JSON",
            f"not JSON: {str(error).split(': line 1')[0]}: {shown!r}",
            "JSON has no NaN and no infinity: write null." if nan else remedy,
        ) from None
    if not isinstance(made, dict):
        raise fault(
            "not a JSON object",
            f"expected an object, found {line[:60].decode('utf-8', 'replace').strip()!r}",
            "Write one object per line; of a list, jq -c '.[]' makes them.",
        )
    # Every key ends so; texts may have it in them, or objects within.
    if len(_KEY.findall(line)) != len(made):
        _check_keys(line, fault)
    if any(isinstance(value, float) and abs(value) >= 2**63 for value in made.values()) or (
        b"[" in line
    ):
        # orjson makes floats of whole numbers beyond uint64.
        made = json.loads(line)
    return made


def _check_keys(line: bytes, fault: Any) -> None:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in found]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise fault(
                "a key twice", f"key {twice!r} is there twice", "Give each value a key of its own."
            )
        return dict(found)

    json.loads(line, object_pairs_hook=pairs)


def _array(values: list[Any], as_text: bool = False) -> pa.Array:
    """Values of one column as the Arrow type that holds all of them; text holds anything.

    Args:
        values: The values, in row order.
        as_text: Whether the column is text. Then what a value becomes does not depend on others.
    """
    kinds = {type(value) for value in values} - {type(None)}
    if list in kinds:
        # Beside lists, a value alone stands for a list of it.
        lists = [v if v is None or isinstance(v, list) else [v] for v in values]
        inner = _array([value for part in lists for value in part or ()], as_text)
        ends = itertools.accumulate((len(part or ()) for part in lists), initial=0)
        # A null offset makes the list that starts there null.
        missing = [part is None for part in lists]
        offsets = pa.array(list(ends), pa.int32(), mask=np.array([*missing, False]))
        return pa.ListArray.from_arrays(offsets, inner)
    if dict in kinds:
        objects = [value for value in values if isinstance(value, dict)]
        return pa.nulls(len(values), pa.struct([(key, pa.null()) for key in objects[0]]))
    if not kinds:
        return pa.nulls(len(values))
    if kinds <= {int, bool}:
        whole = [None if value is None else int(value) for value in values]
        if all(value is None or -(2**63) <= value < 2**63 for value in whole):
            return pa.array(whole, pa.int64())
        return pa.array([None if value is None else str(value) for value in whole], pa.string())
    if kinds <= {int, bool, float} and not as_text:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    """A value as text; a number so that it can be read back as the same."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and 2**53 < abs(value) < 2**63:
        return f"{int(value)}.0"
    return str(int(value)) if isinstance(value, bool) else json.dumps(value)
