"""The rows of input files, by what `start` saw of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa

from mfx.artifacts import SourceFile
from mfx.config import Reading
from mfx.ingest import input_files
from mfx.ingest import sources as kinds
from mfx.ingest.partitions import with_keys
from mfx.ingest.sources.base import Tally, can_cut
from mfx.ingest.unchanged import unchanged


def each(
    files: Sequence[SourceFile],
    types: Mapping[str, str],
    how: Reading,
    tally: Tally,
    resolve: Callable[[str], str],
) -> Iterator[tuple[SourceFile, Iterator[pa.RecordBatch]]]:
    """Files, or their parts, in order, each with its rows, which are to be read before the next.

    Args:
        files: As `start` saw them.
        types: Each column's type, a name in `columns.types.TYPES`.
        how: How files are read.
        tally: Gets the counts of all files.
        resolve: Makes a path absolute.

    Raises:
        MfxError: A file cannot be read, has changed, or has rows that do not fit, see
            `sources.base.Source.batches`.
    """
    opened = input_files.each_on_disk([resolve(file.path) for file in files], files)
    for file, (address, at_hand) in zip(files, opened, strict=True):
        yield file, _rows(file, address, at_hand, types, how, tally)


def _rows(
    file: SourceFile,
    address: str,
    at_hand: AbstractContextManager[Path],
    types: Mapping[str, str],
    how: Reading,
    tally: Tally,
) -> Iterator[pa.RecordBatch]:
    with at_hand as path, unchanged(path, file, address):
        source, keys = kinds.source_of(path), dict(file.keys)
        own = {name: kind for name, kind in types.items() if name not in keys}
        if file.part and can_cut(source):
            batches = source.batches(path, own, how, tally, file.part)
        else:
            batches = source.batches(path, own, how, tally)
        yield from with_keys(batches, file, types, how, tally) if keys else batches
