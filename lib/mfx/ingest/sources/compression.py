"""The kinds of compression that input files may have, and how to read such files."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mfx.artifacts import Part
from mfx.errors import MfxError


@dataclass(frozen=True)
class Compression:
    """One kind of compression.

    Args:
        begin: The first bytes of such a file.
        suffix: The ending of such a file's name.
        open: Opens a path for reading; gives the unpacked bytes.
    """

    begin: bytes
    suffix: str
    open: Callable[[Path], Any]


COMPRESSIONS: dict[str, Compression] = {
    "gzip": Compression(b"\x1f\x8b", ".gz", gzip.open),
    "bz2": Compression(b"BZh", ".bz2", bz2.open),
    "xz": Compression(b"\xfd7zXZ\x00", ".xz", lzma.open),
    "zstd": Compression(
        b"\x28\xb5\x2f\xfd", ".zst", lambda path: pa.CompressedInputStream(str(path), "zstd")
    ),
}
PACKED = ("", *(kind.suffix for kind in COMPRESSIONS.values()))
"""Endings that compression adds to a file's name; '' for no compression."""

SHRINKS = 6
"""By how much compression makes rows smaller, about."""


def blocks(path: Path, compression: str, size: int, part: Part | None = None) -> Iterator[bytes]:
    """Read a file's bytes, unpacked.

    Args:
        path: The file.
        compression: A name in `COMPRESSIONS`, or "none".
        size: The most bytes per block.
        part: The part to read, of a file that is not compressed; by default all.

    Yields:
        Blocks of at most `size` bytes, none of them empty.

    Raises:
        MfxError: The file cannot be read or unpacked.
    """
    try:
        opened = path.open("rb") if compression == "none" else COMPRESSIONS[compression].open(path)
        with opened as file:
            if part:
                file.seek(part.begin)
            while block := file.read(min(size, part.end - file.tell()) if part else size):
                yield block
    except (EOFError, zlib.error, lzma.LZMAError, pa.ArrowInvalid, OSError) as error:
        reason = getattr(error, "strerror", None)
        if reason or compression == "none":
            raise MfxError(f"{path}: cannot read the file: {reason or error}") from None
        raise MfxError(
            f"{path}: cannot unpack it as {compression}: {error}",
            "The file is damaged or cut off: get it again. Or compression under [data] is wrong: "
            "set the right one.",
        ) from None


def unpacked(path: Path, compression: str | None) -> int:
    """About how many bytes a file has when it is unpacked; see `base.Packs`.

    Args:
        path: The file.
        compression: A name in `COMPRESSIONS`, or "none"; by default its first bytes tell.
    """
    packed = (compression or compression_of(path)) != "none"
    return path.stat().st_size * (SHRINKS if packed else 1)


def compression_of(path: Path) -> str:
    """How a file is compressed, by its first bytes: a name in COMPRESSIONS, or "none".

    Raises:
        MfxError: The file cannot be read.
    """
    head = next(blocks(path, "none", 16), b"")
    kinds = (name for name, kind in COMPRESSIONS.items() if head.startswith(kind.begin))
    name = next(kinds, "none")
    # `BZh` may begin a header; what follows it in a compressed file is a digit and no text.
    return "none" if name == "bz2" and head[4:10] not in (b"1AY&SY", b"\x17rE8P\x90") else name
