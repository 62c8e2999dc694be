"""Spans: the data of one period, such as a day, and which of them a run read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import NamedTuple


class Span(NamedTuple):
    """A span that was read.

    Attributes:
        number: The span; of a date, the days since 1970-01-01.
        version: The version that was read; None where paths say no version.
        dated: Whether paths say the date.
    """

    number: int
    version: int | None = None
    dated: bool = False

    def __str__(self) -> str:
        return self.name + (f" (version {self.version})" if self.version is not None else "")

    @property
    def name(self) -> str:
        """The number, or the date."""
        return named(self.number, self.dated)


def named(number: int, dated: bool) -> str:
    """A span's number, or its date."""
    try:
        return (date(1970, 1, 1) + timedelta(number)).isoformat() if dated else str(number)
    except OverflowError:
        return str(number)


def in_words(spans: Iterable[Span | None]) -> str:
    """Spans in a few words: "3 to 9", "2024-01-30, 2024-02-01 to 2024-02-03", "7 (version 2)".

    Args:
        spans: The spans, ascending; None, for data without spans, is passed over.
    """
    found = [span for span in spans if span is not None]
    runs = [
        [span for _, span in run]
        for _, run in groupby(
            enumerate(found), lambda one: (one[1].number - one[0], one[1].version)
        )
    ]
    said = []
    for run in runs:
        first, last = run[0], run[-1]
        version = f" (version {first.version})" if first.version is not None else ""
        said.append(f"{first.name} to {last}" if len(run) > 1 else f"{first.name}{version}")
    return ", ".join(said)


@dataclass(frozen=True)
class SpanRows:
    """The rows of one span among a run's examples.

    Args:
        span: The span.
        shards: How many of the examples' payloads have its rows; those of the first span come
            first.
        rows: The number of rows of each split.
        hashes: For each split, the hash of its rows in order.
    """

    span: Span
    shards: int
    rows: dict[str, int]
    hashes: Mapping[str, str]


def grouped(
    spans: Sequence[Span | None],
    rows: Sequence[Mapping[str, int]],
    hashes: Sequence[Mapping[str, str]],
    joined: Callable[[Iterable[tuple[int, str]]], str],
) -> tuple[SpanRows, ...]:
    """The rows of each span, from those of each shard.

    Args:
        spans: The span of each shard; shards of one span are beside each other. Without spans,
            there is nothing to group.
        rows: Each shard's number of rows by split.
        hashes: Each shard's hash by split.
        joined: Makes the hash of rows that follow each other from their numbers and hashes.
    """
    found = []
    for span, group in groupby(range(len(spans)), lambda place: spans[place]):
        if span is None:
            return ()
        places = list(group)
        found.append(
            SpanRows(
                span,
                len(places),
                {split: sum(rows[n][split] for n in places) for split in rows[places[0]]},
                {
                    split: joined((rows[n][split], hashes[n][split]) for n in places)
                    for split in rows[places[0]]
                },
            )
        )
    return tuple(found)
