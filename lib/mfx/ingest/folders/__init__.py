"""Folders whose files are rows: images and texts (`images`, `texts` under `[data]`).

`start` lists the files and knows each by its hash, in a storage by size and tag, so that nothing is
fetched there. A task of `ingest` reads those of its shard, each once, and leaves out what does not
fit. It is no kind of `outside`, as there are files that have bytes; and none of `sources`, as there
a file has many rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from mfx.artifacts import SourceFile
from mfx.config import Reading, Settings
from mfx.errors import MfxError
from mfx.ingest import file_rows
from mfx.ingest.folders import images, members, reading, rows, texts
from mfx.ingest.folders.base import Content
from mfx.ingest.rejected import Aside
from mfx.ingest.sources.base import FOR_SOME, Tally
from mfx.ingest.sources.typed import Seen

KINDS: Mapping[str, Content] = {"images": images, "texts": texts}
"""By the key under `[data]` that asks for it."""


def has(file: SourceFile) -> bool:
    """Whether it is a row of a folder."""
    return file.told is not None and file.told[0] in KINDS


def by_class(settings: Settings, found: dict[str, Any]) -> list[SourceFile]:
    """The rows of a folder whose folders are classes.

    Args:
        settings: The config.
        found: Gets what is known of each column, see `sources.base.Source.look`.

    Raises:
        MfxError: The folder cannot be read, or classes are not clear.
    """
    key, where, there = _members(settings)
    for option in FOR_SOME:
        if getattr(settings.data, option) != Reading.model_fields[option].default:
            raise MfxError(
                f"data.{option}: means nothing beside data.{key} without a table",
                f"Remove {option} under [data].",
            )
    found |= _seen(where, KINDS[key].COLUMN, rows.PATH, rows.LABEL)
    there = members.identified(there, settings.resolve)
    return rows.by_class(key, where, there)


def by_table(
    settings: Settings,
    table: Sequence[SourceFile],
    types: dict[str, str],
    found: dict[str, Any],
) -> list[SourceFile]:
    """The rows of a folder whose files a table names.

    Args:
        settings: The config.
        table: The table's files, or their parts.
        types: The table's columns and their types.
        found: Gets what is known of the files' content.

    Raises:
        MfxError: The folder or the table cannot be read, the table does not name the files, or one
            is not there.
    """
    key, where, there = _members(settings)
    assert settings.data.folder
    content, folder = KINDS[key].COLUMN, settings.data.folder[1]
    column = rows.check_column(table[0].path, folder, content, types)
    found |= _seen(where, content)
    listed: list[SourceFile] = []
    places: list[int] = []
    for part in table:
        tally = Tally()
        for _, batches in file_rows.each([part], types, settings.data, tally, settings.resolve):
            said = rows.named(column, batches, tally)
        here, at = rows.by_table(key, part, said, there, bool(settings.data.tolerate))
        listed += here
        places += at
    named = sorted({place for place in places if place >= 0})
    hashed = members.identified([there[place] for place in named], settings.resolve)
    known = dict(zip(named, hashed, strict=True))
    return [
        file._replace(sha256=known[at].sha256, size=known[at].size) if at >= 0 else file
        for file, at in zip(listed, places, strict=True)
    ]


def _members(settings: Settings) -> tuple[str, str, list[members.Member]]:
    assert settings.data.folder
    key, folder = settings.data.folder
    where = settings.resolve(folder.path)
    return key, where, members.find(settings, key, folder.path)


def _seen(where: str, *names: str) -> dict[str, Seen]:
    return {name: Seen(where, "binary", "bytes") for name in names}


def batches(
    files: Sequence[SourceFile],
    types: Mapping[str, str],
    how: Reading,
    tally: Tally,
    aside: Aside,
    resolve: Callable[[str], str],
) -> Iterator[pa.RecordBatch]:
    """The rows of a folder's files; see `reading.batches`."""
    assert files[0].told
    kind = KINDS[files[0].told[0]]
    return reading.batches(files, types, kind, how, tally, aside, resolve)
