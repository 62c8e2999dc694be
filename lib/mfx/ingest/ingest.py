"""Read a shard, type its columns, split its rows, write them as Parquet (TFX: ExampleGen)."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from mfx import label
from mfx.artifacts import Examples, Shard, SourceFile, Sources, spans, store
from mfx.artifacts.examples import paths_in_words
from mfx.columns.row_groups import RowGroups
from mfx.columns.types import TYPES
from mfx.errors import MfxError
from mfx.ingest import file_rows, folders, outside, rejected
from mfx.ingest.outside.base import Place
from mfx.ingest.rejected import Aside, by_number
from mfx.ingest.rows_hash import RowsHash, joined
from mfx.ingest.sources.base import Tally
from mfx.ingest.split import by_split

if TYPE_CHECKING:
    from mfx.ingest.spec import Reads


def ingest(shard: Shard, sources: Sources, settings: Reads) -> Examples:
    """Turn a shard's files into examples.

    Args:
        shard: The files to read.
        sources: All input files of the run, with the columns and their types.
        settings: The config's tables `[data]` and `[label]`.

    Returns:
        The shard's typed rows, split; how many rows came in and were rejected; and those that do
        not fit.

    Raises:
        MfxError: A file cannot be read or has changed; rows do not fit (the message names files,
            lines and columns), more than `tolerate` under `[data]`; or the numbers of rows in and
            out do not add up.
    """
    names = settings.data.split.names
    left_out: dict[str, int] = {}
    schema = pa.schema([(name, TYPES[kind]) for name, kind in sources.columns.items()])
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        paths = {split: Path(directory, f"{split}.parquet") for split in names}
        written = {split: RowGroups(path, schema) for split, path in paths.items()}
        hashes = {split: RowsHash() for split in names}
        aside = Aside(directory, settings.data.tolerate)
        for file, batch in _batches(shard, sources, settings, tally, aside):
            for split, part in by_split(batch, settings.data.split, file, left_out).items():
                part = label.drop_missing(part, settings.label, split, left_out)
                written[split].add(part)
                hashes[split].add(part)
        aside.close()
        for groups in written.values():
            groups.close()
        examples = Examples(
            shards=(store.save(directory),),
            rows={split: pq.read_metadata(paths[split]).num_rows for split in names},
            rows_in=tally.records,
            rejected=dict(by_number(tally.rejected)) | left_out,
            columns=sources.columns,
            lineage=sources.lineage.derived(shard.sha256),
            missing=_cells(tally.missing),
            rounded=_cells(tally.rounded),
            hashes={split: str(found) for split, found in hashes.items()},
            misfits=by_number(tally.rejected),
            tolerate=settings.data.tolerate,
        )
    _check_conservation(examples, paths_in_words(shard.files, settings.resolve))
    return examples


def _batches(
    shard: Shard, sources: Sources, settings: Reads, tally: Tally, aside: Aside
) -> Iterator[tuple[SourceFile, pa.RecordBatch]]:
    """The rows of the shard's files, in order, with a file; `aside` gets those that do not fit."""
    types, how = sources.columns, settings.data
    told = [file for file in shard.files if file.told is not None]
    if told and folders.has(told[0]):
        rows = folders.batches(told, types, how, tally, aside, settings.resolve)
        yield from ((told[0], batch) for batch in rows)
        return
    for piece in told:
        place = Place(piece.path, settings.resolve)
        batches = outside.batches(piece, types, how, tally, place)
        yield from ((piece, batch) for batch in aside.taking(batches, piece.path, tally))
    files = [file for file in shard.files if file.told is None]
    for file, batches in file_rows.each(files, types, how, tally, settings.resolve):
        yield from ((file, batch) for batch in aside.taking(batches, file.path, tally))


def merge(parts: Sequence[Examples], sources: Sources) -> Examples:
    """Put the examples of all shards together, in the order of the input files.

    Args:
        parts: The examples of each shard, in any order: Step Functions does not keep the order of a
            foreach's tasks.
        sources: All input files of the run, with their shards.

    Raises:
        MfxError: More rows do not fit than `tolerate` under `[data]`; or there are no rows, or a
            split is empty.
    """
    of: dict[str, list[Examples]] = {}
    for part in parts:
        of.setdefault(part.lineage.parents[0], []).append(part)
    # Shards of the same content have the same examples, and each has a place of its own.
    parts = [of[shard.sha256].pop() for shard in sources.shards]
    splits = parts[0].splits
    examples = Examples(
        shards=tuple(payload for part in parts for payload in part.shards),
        rows={split: sum(part.rows[split] for part in parts) for split in splits},
        rows_in=sum(part.rows_in for part in parts),
        rejected=dict(by_number(sum((Counter(part.rejected) for part in parts), Counter()))),
        columns=parts[0].columns,
        lineage=parts[0].lineage.derived(*(part.digest for part in parts)),
        missing=_cells(_sum(part.missing for part in parts)),
        rounded=_cells(_sum(part.rounded for part in parts)),
        hashes={s: joined((p.rows[s], (p.hashes or {})[s]) for p in parts) for s in splits},
        misfits=by_number(sum((Counter(dict(part.misfits)) for part in parts), Counter())),
        tolerate=parts[0].tolerate,
        spans=spans.grouped(
            [shard.files[0].span for shard in sources.shards],
            [part.rows for part in parts],
            [part.hashes or {} for part in parts],
            joined,
        ),
    )
    _check_conservation(examples, "all shards")
    rejected.check(examples)
    if sum(examples.rows.values()) == 0:
        raise MfxError(
            f"{paths_in_words(sources.files)}: a header but no rows",
            "Expected at least one row below the header.",
        )
    for split in splits:
        if examples.rows[split] == 0:
            raise MfxError(
                f"the {split} split is empty: {examples.rows_in} rows in, {examples.rows}",
                "Give more rows, or change split under [data]: its shares or its key; or, by a "
                "column, where splits begin (and the unit of whole numbers), or their values.",
            )
    return examples


def _cells(counted: Counter[tuple[str, str]]) -> tuple[tuple[str, str, int], ...]:
    return tuple((column, text, cells) for (column, text), cells in sorted(counted.items()))


def _sum(parts: Iterable[tuple[tuple[str, str, int], ...]]) -> Counter[tuple[str, str]]:
    total: Counter[tuple[str, str]] = Counter()
    for part in parts:
        total.update({(column, text): cells for column, text, cells in part})
    return total


def _check_conservation(examples: Examples, where: str) -> None:
    out, left_out = sum(examples.rows.values()), sum(examples.rejected.values())
    if examples.rows_in != out + left_out:
        raise MfxError(
            f"{where}: {examples.rows_in} rows in, but {out} rows out and {left_out} rejected",
            "Rows were lost: please report this with the file.",
        )
