"""Columns that folders say, as Hive and Spark write them: `year=2020/month=1/part-0.parquet`.

All rows of a file have the values that the names of its folders give. It is the same for all
formats, as it is done with the rows that a source gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from mfx.artifacts import SourceFile
from mfx.columns import number_text
from mfx.columns.types import TYPES, is_list, value_kind
from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.finding import Found
from mfx.ingest.infer_types import Column
from mfx.ingest.sources import conversions
from mfx.ingest.sources.base import Tally

MISSING = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and Spark write for a missing value."""

Keys = tuple[tuple[str, str], ...]
"""The names and texts that the folders of a file give, the outermost first."""


class Key(Column):
    """What is known of such a column: `int64` if all texts are whole numbers, else `bytes`."""

    @property
    def kind(self) -> str | None:
        """See `base.Seen`."""
        kind = super().kind
        return "bytes" if kind and not (kind == "int64" and self.integral) else kind


@dataclass(frozen=True)
class Partitions:
    """What the folders of a data set's files say.

    Args:
        names: The columns, as the folders of the first file have them; empty if there are none.
        of: Each file's, by its address.
    """

    names: tuple[str, ...]
    of: Mapping[str, Keys]

    def look(self, how: Reading) -> dict[str, Key]:
        """What is known of each column, from all files."""
        found = {name: Key() for name in self.names}
        for texts in dict.fromkeys(self.of.values()):
            for name, text in texts:
                null = text == MISSING or text in how.null_values.of(name)
                found[name].add(pa.array([None if null else text], pa.string()))
        return found

    def check(self, address: str, names: Iterable[str]) -> None:
        """Check that a file has none of the columns itself.

        Raises:
            MfxError: It has one of them.
        """
        for name in self.names:
            if name in names:
                raise MfxError(
                    f"{address}: has a column {name!r}, and lies in a folder {name}=… as well",
                    "Remove the column from the files, or give a pattern that begins below these "
                    "folders.",
                )


def partitions(files: Sequence[Found]) -> Partitions:
    """What the folders of files say, below the path that each was found by.

    Raises:
        MfxError: A file lacks a key that others have; or a folder's name cannot be one.
    """
    of = {file.address: _keys(file) for file in files}
    first = files[0].address
    names = tuple(name for name, _ in of[first])
    for address, keys in of.items():
        here = {name for name, _ in keys}
        for one in sorted(here ^ set(names)):
            without, other = (address, first) if one in names else (first, address)
            raise MfxError(
                f"{without}: lies in no folder {one}=…, as {other} does",
                "Put all files into folders of the same keys, or give a pattern that fits only "
                "files with the same.",
            )
    return Partitions(names, of)


def _keys(file: Found) -> Keys:
    found: dict[str, str] = {}
    for folder in file.below.split("/")[:-1]:
        name, equals, text = folder.partition("=")
        if not name or not equals:
            continue
        name = unquote(name)
        if name in found or name != name.strip():
            fault = "has spaces around it" if name != name.strip() else "is there twice"
            raise MfxError(
                f"{file.address}: the key {name!r} of its folders {fault}",
                "Rename the folder, or give a pattern that begins below it.",
            )
        found[name] = unquote(text)
    return tuple(found.items())


def with_keys(
    batches: Iterable[pa.RecordBatch],
    file: SourceFile,
    types: Mapping[str, str],
    how: Reading,
    tally: Tally,
) -> Iterator[pa.RecordBatch]:
    """A file's rows, with the columns that its folders say.

    Args:
        batches: Its rows, with the other columns of `types` in their order.
        file: The file.
        types: Each column's type, a name in `columns.types.TYPES`.
        how: Which texts mean missing.
        tally: Gets the counts of such cells.

    Raises:
        MfxError: A text does not fit its column's type.
    """
    texts = dict(file.keys)
    made = {name: _cell(file.path, name, text, types[name], how) for name, text in texts.items()}
    for batch in batches:
        at, others = pa.array(np.zeros(batch.num_rows, np.int64)), iter(batch.columns)
        columns = [made[name].take(at) if name in made else next(others) for name in types]
        for name, cell in made.items():
            counts = tally.missing if cell.null_count else tally.rounded
            if cell.null_count or _is_rounded(texts[name], types[name]):
                counts[name, texts[name]] += batch.num_rows
        yield pa.RecordBatch.from_arrays(columns, names=list(types))


def _cell(where: str, name: str, text: str, kind: str, how: Reading) -> pa.Array:
    """The value of one row, with its column's type."""
    null = text == MISSING or text in how.null_values.of(name)
    given = pa.array([None if null else text.encode()], pa.binary())
    value, bad = conversions.TO["bytes", value_kind(kind)](given)
    if bad is not None:
        raise MfxError(
            f"{where}: folder {name}=…: expected {conversions.EXPECTED[value_kind(kind)]}, found "
            f"{text!r:.80}",
            "Mend the folder's name, or name the text in null_values under [data] if it means "
            "missing, or give the feature another type in the schema.",
        )
    if is_list(kind):
        return pa.array([None if value.null_count else value.to_pylist()], TYPES[kind])
    return value


def _is_rounded(text: str, kind: str) -> bool:
    if value_kind(kind) != "float32":
        return False
    return bool(number_text.lost_in_float32(pa.array([text], pa.string()))[0])
