"""Arrow files (Feather, version 2) and Arrow streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from mfx.config import Reading
from mfx.errors import MfxError
from mfx.ingest.sources import typed
from mfx.ingest.sources.base import Tally

TITLE = "Arrow"
SUFFIXES = (".arrow", ".feather", ".ipc", ".arrows")
LISTS, OPEN = True, False
OPTIONS: tuple[str, ...] = ()

_FILE, _STREAM = b"ARROW1", b"\xff\xff\xff\xff"
_END = b"\xff\xff\xff\xff\0\0\0\0"
"""What a stream ends with. A reader takes one without it for whole."""


def takes(name: str, head: bytes) -> bool:
    """Whether it begins as a file or a stream does; see `base.Source`."""
    return head.startswith((_FILE, _STREAM))


def header(path: Path, how: Reading) -> list[str]:
    """The names of the file's columns; see `base.Source`."""
    return typed.header(_open(path))


def look(path: Path, how: Reading, found: dict[str, Any]) -> None:
    """The columns' types, as the file says; see `base.Source`."""
    typed.look(_open(path), found)


def batches(
    path: Path, types: Mapping[str, str], how: Reading, tally: Tally
) -> Iterator[pa.RecordBatch]:
    """The file's rows; see `base.Source`."""
    return typed.batches(_open(path), types, how, tally)


def _open(path: Path) -> typed.Table:
    import pyarrow.ipc as ipc

    def rows(columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        with _one_error(path), pa.memory_map(str(path)) as opened:
            if in_file:
                reader = ipc.open_file(opened)
                parts = map(reader.get_batch, range(reader.num_record_batches))
            else:
                parts = iter(ipc.open_stream(opened))
            for part in parts:
                part.validate()
                yield from typed.cut(part)

    with _one_error(path):
        with path.open("rb") as file:
            in_file = file.read(len(_FILE)) == _FILE
        if not in_file and not _ends_as_stream(path):
            raise MfxError(f"{path}: the Arrow stream is cut off", "Get the file again.")
        with pa.memory_map(str(path)) as opened:
            schema = (ipc.open_file if in_file else ipc.open_stream)(opened).schema
    return typed.Table(str(path), schema, None, rows)


def _ends_as_stream(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_END)))
        return file.read() == _END


def _one_error(path: Path) -> Any:
    return typed.one_error(path, TITLE, pa.ArrowException, OSError)
