"""The rows that a folder's files are, without their contents: by class, or by a table.

A row is an `artifacts.SourceFile` of its file. Its `keys` are its columns but the content, as JSON;
its `told` is the key of the folder and the storage's tag. What a table has beside rows is an entry
of its own in front of them, whose `told` has `TABLE`; that of a row without a file has `GONE`.
"""

from __future__ import annotations

import base64
import json
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from mfx.artifacts import SourceFile
from mfx.config.data import Folder
from mfx.errors import MfxError, nearest
from mfx.ingest.folders.members import Member
from mfx.ingest.sources.base import TOLERATE, LeftOut, Tally

PATH, LABEL = "path", "label"
"""The columns of files by class, beside their content."""
TABLE = "table"
"""Names what a table leaves out, and its counts of cells."""
GONE = "no such file in the folder"
"""Names the row, counted without those that do not fit; and is why it is left out."""


def by_class(key: str, where: str, members: Sequence[Member]) -> list[SourceFile]:
    """A row for each file; its label is the folder that it lies in.

    Args:
        key: The key that names the folder.
        where: The folder, for messages.
        members: Its files.

    Raises:
        MfxError: A file lies in no folder, or beside folders with files.
    """
    folders = dict[str, Member]()
    for member in members:
        folders.setdefault(posixpath.dirname(member.below), member)
    for folder in sorted(folders):
        around = folder
        while around:
            around = posixpath.dirname(around)
            if around in folders:
                raise _mixed(key, where, folders[around], folders[folder])
    if "" in folders:
        raise MfxError(
            f"data.{key}: {where}: its files, such as {folders[''].below}, lie in no folder of "
            "their class",
            f"Put each into a folder named like its class, such as cats/1.jpg; or set table in "
            f"{key} under [data] to a file whose rows name the files and their labels.",
        )
    return [
        _row(key, member, {PATH: member.below, LABEL: member.below.split("/")[-2]})
        for member in members
    ]


def _mixed(key: str, where: str, above: Member, below: Member) -> MfxError:
    return MfxError(
        f"data.{key}: {where}: {above.below} lies beside a folder that has files too, such as "
        f"{below.below}: which folder is the class is not clear",
        "Put all files into folders of their classes, and none beside these; or set table in "
        f"{key} under [data].",
    )


def _row(key: str, member: Member, values: dict[str, Any]) -> SourceFile:
    keys = tuple((name, json.dumps(value)) for name, value in values.items())
    return SourceFile(member.path, member.sha256, member.size, keys=keys, told=(key, member.tag))


class Named(NamedTuple):
    """What a table says.

    Attributes:
        paths: For each of its rows the path below the folder, as it stands in the table; None where
            there is none.
        values: For each row all its columns.
        tally: The counts of cells and of rows that are left out, which are still in it.
    """

    paths: list[str | None]
    values: list[dict[str, Any]]
    tally: Tally


def named(column: str, batches: Iterable[pa.RecordBatch], tally: Tally) -> Named:
    """What a table says.

    Args:
        column: Its column of paths.
        batches: All its rows.
        tally: Gets their counts while they are read.
    """
    values = [_as_json(row) for batch in batches for row in batch.to_pylist()]
    return Named([row[column] for row in values], values, tally)


def check_column(where: str, folder: Folder, content: str, types: dict[str, str]) -> str:
    """The table's column of paths.

    Args:
        where: The table, for messages.
        folder: The folder's settings.
        content: The column of the files' contents.
        types: The table's columns and their types.

    Raises:
        MfxError: There is none, it has no text, or the table has a column `content` as well.
    """
    column = folder.column or PATH
    if content in types:
        raise MfxError(
            f"{where}: has a column {content!r}, which is the name for the files' contents",
            "Rename the table's column.",
        )
    if column not in types:
        raise MfxError(
            f"{where}: no column {column!r}, which names the files{nearest(column, types)}",
            f"Set column beside table to one of its columns: {', '.join(types)}",
        )
    if types[column] != "bytes":
        raise MfxError(
            f"{where}: column {column!r} has {types[column]}, not the paths of files",
            f"Set column beside table to the column of paths; columns: {', '.join(types)}",
        )
    return column


def by_table(
    key: str, table: SourceFile, said: Named, members: Sequence[Member], tolerate: bool
) -> tuple[list[SourceFile], list[int]]:
    """A row for each row of a table, without the files' hashes.

    Args:
        key: The key that names the folder.
        table: The table's file.
        said: What it says.
        members: The folder's files. Those that the table does not name are passed over.
        tolerate: Whether rows may be left out.

    Returns:
        The rows, and for each the place of its file in `members`; -1 for one that is left out.

    Raises:
        MfxError: A row's file is not there, and none may be left out.
    """
    places = {member.below: place for place, member in enumerate(members)}
    found = [_of_table(key, table, said.tally)]
    at = [-1]
    for number, (path, values) in enumerate(zip(said.paths, said.values, strict=True), 1):
        place = places.get(_normal(path), -1)
        if place < 0 and not tolerate:
            raise MfxError(
                f"{table.path}, row {number}: {path!r}: {GONE} of data.{key}",
                f"Expected paths that start at the folder, such as {members[0].below}. {TOLERATE}",
            )
        if place >= 0:
            found.append(_row(key, members[place], values))
        else:
            gone = _row(key, Member("", table.path), values)
            found.append(gone._replace(told=(key, {GONE: number})))
        at.append(place)
    return found, at


def _normal(path: str | None) -> str:
    return posixpath.normpath(path.replace("\\", "/")) if path else ""


def _of_table(key: str, table: SourceFile, tally: Tally) -> SourceFile:
    left_out = [
        [*found[:3], base64.b64encode(found.raw).decode(), found.cut]
        for found in sorted(tally.left_out)
    ]
    cells = [
        [[*name, number] for name, number in sorted(counts.items())]
        for counts in (tally.missing, tally.rounded)
    ]
    return table._replace(told=(key, {TABLE: [left_out, *cells]}))


def is_note(file: SourceFile) -> bool:
    """Whether it is what a table says beside rows with files, for `add_note`."""
    return file.told is not None and isinstance(file.told[1], dict)


def add_note(file: SourceFile, tally: Tally) -> None:
    """Count what a table says beside rows with files."""
    assert file.told is not None
    told = file.told[1]
    if GONE in told:
        tally.records += 1
        row = json.dumps({name: json.loads(text) for name, text in file.keys}, ensure_ascii=False)
        raw = row.encode("utf-8", "surrogateescape")
        tally.leave_out(LeftOut.of(told[GONE], "row", GONE, raw))
        return
    left_out, missing, rounded = told[TABLE]
    for number, unit, reason, raw, cut in left_out:
        tally.records += 1
        tally.leave_out(LeftOut(number, unit, reason, base64.b64decode(raw), cut))
    for counts, cells in ((tally.missing, missing), (tally.rounded, rounded)):
        for column, text, number in cells:
            counts[column, text] += number


def values(file: SourceFile) -> Iterator[tuple[str, Any]]:
    """A row's columns but the content: int, float, bytes, lists of them, or None."""
    for name, text in file.keys:
        yield name, _as_bytes(json.loads(text))


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, dict):
        return {name: _as_json(inner) for name, inner in value.items()}
    return [_as_json(inner) for inner in value] if isinstance(value, list) else value


def _as_bytes(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return [_as_bytes(inner) for inner in value] if isinstance(value, list) else value
