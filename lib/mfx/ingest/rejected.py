"""Rows that do not fit: kept aside beside the examples, and bounded by `[data] tolerate`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from mfx.artifacts import Examples
from mfx.artifacts.example_rows import rejected_schema
from mfx.artifacts.examples import REJECTED
from mfx.columns.row_groups import RowGroups
from mfx.errors import MfxError
from mfx.ingest.sources.base import LeftOut, Tally

_SHOWN = 3
"""How many places, and how many reasons, a message names."""


class Aside:
    """Writes the rows that a shard leaves out. There is no file if there are none.

    Args:
        directory: The folder of the file `REJECTED`.
        tolerate: `tolerate` under `[data]`.
    """

    def __init__(self, directory: str, tolerate: int | float) -> None:
        self._schema = rejected_schema()
        self._groups = RowGroups(Path(directory, REJECTED))
        self._tolerate = tolerate
        self._first: list[str] = []

    def taking(
        self, batches: Iterable[pa.RecordBatch], source: str, tally: Tally
    ) -> Iterator[pa.RecordBatch]:
        """A file's batches but empty ones; rows that the file leaves out are written meanwhile.

        Args:
            batches: The file's.
            source: Its path, as the config says it.
            tally: Gets the rows that the file leaves out, and has the counts of the whole shard.

        Raises:
            MfxError: There are more such rows than the run tolerates. A share is not known before
                all shards are read, see `check`.
        """
        for batch in batches:
            self.take(source, tally)
            if batch.num_rows:
                yield batch
        self.take(source, tally)

    def take(self, source: str, tally: Tally) -> None:
        """Write the rows that a file has left out so far; see `taking`."""
        found = sorted(tally.left_out)
        tally.left_out.clear()
        self._first += [_place(source, *row[:3]) for row in found[: _SHOWN - len(self._first)]]
        left_out = sum(tally.rejected.values())
        if isinstance(self._tolerate, int) and left_out > self._tolerate:
            raise _too_many(
                f"{left_out:,} rows so far do not fit", self._tolerate, tally.rejected, self._first
            )
        if found:
            self._groups.add(self._batch(source, found))

    def close(self) -> None:
        """Finish the file."""
        self._groups.close()

    def _batch(self, source: str, found: list[LeftOut]) -> pa.RecordBatch:
        columns = [[source] * len(found), *map(list, zip(*found, strict=True))]
        arrays = [
            pa.array(values, field.type)
            for values, field in zip(columns, self._schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def check(examples: Examples) -> None:
    """Check that a run has not left out more rows than it tolerates.

    Args:
        examples: All rows of the run.

    Raises:
        MfxError: It has. The message counts the reasons and names the first places.
    """
    reasons = dict(examples.misfits)
    left_out, tolerate = sum(reasons.values()), examples.tolerate
    if left_out <= (tolerate if isinstance(tolerate, int) else tolerate * examples.rows_in):
        return
    first: list[str] = []
    for batch in examples.rejected_batches():
        for row in batch.slice(0, _SHOWN - len(first)).to_pylist():
            first.append(_place(row["source"], row["number"], row["unit"], row["reason"]))
        if len(first) == _SHOWN:
            break
    share = left_out / max(examples.rows_in, 1)
    raise _too_many(
        f"{left_out:,} of {examples.rows_in:,} rows ({share:.2%}) do not fit",
        tolerate,
        reasons,
        first,
    )


def by_number(reasons: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Reasons and numbers of rows, the largest numbers first."""
    return tuple(sorted(reasons.items(), key=lambda one: (-one[1], one[0])))


def _place(source: str, number: int, unit: str, reason: str) -> str:
    return f"{source}, {unit} {number}: {reason}"


def _too_many(
    what: str, tolerate: int | float, reasons: Mapping[str, int], first: Iterable[str]
) -> MfxError:
    ordered = by_number(reasons)
    counts = "; ".join(f"{reason} ({rows:,})" for reason, rows in ordered[:_SHOWN])
    more = f"; {len(ordered) - _SHOWN} more reasons" if len(ordered) > _SHOWN else ""
    places = "; ".join(first)
    return MfxError(
        f"{what}, and tolerate under [data] is {tolerate}: {counts}{more}"
        + (f". The first: {places}" if places else ""),
        "Mend the rows, or give their columns other types in the schema, or raise tolerate.",
    )
