"""Tell by its first bytes what a file is, if it is no text that a CSV reader could read."""

from __future__ import annotations

import json

_BEGINS: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a", "a RAR archive"),
    (b"PAR1", "Parquet"),
    (b"Obj\x01", "Avro"),
    (b"ORC", "ORC"),
    (b"ARROW1", "Arrow (Feather)"),
    (b"FEA1", "Feather"),
    (b"\xff\xff\xff\xff", "an Arrow stream"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"SQLite format 3\x00", "a SQLite database"),
    (b"%PDF-", "PDF"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (such as xls)"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x00\x05\x16\x07", "macOS metadata of a file (AppleDouble)"),
    (b"\x7fELF", "a program"),
    (b"\xff\xfe\x00\x00", "UTF-32 text"),
    (b"\x00\x00\xfe\xff", "UTF-32 text"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)
"""First bytes of each kind of file. A longer entry comes before any entry that it begins with."""

_MARKUP = ((b"<!doctype html", "HTML"), (b"<html", "HTML"), (b"<?xml", "XML"))
_NO_TEXT = bytes(range(9)) + bytes(range(14, 32))

_ZIPPED = (
    (b"xl/", "an Excel workbook (xlsx)"),
    (b"[Content_Types].xml", "an Office file (such as xlsx)"),
    (b"opendocument.spreadsheet", "an OpenDocument spreadsheet (ods)"),
    (b".npy", "NumPy arrays (npz)"),
)

REMEDIES = {
    "UTF-16 text": "Convert the file, for example: iconv -f UTF-16 -t UTF-8 IN > OUT",
    "UTF-32 text": "Convert the file, for example: iconv -f UTF-32 -t UTF-8 IN > OUT",
    "a zip archive": "Unpack it, and use the CSV file in it.",
    "a tar archive": "Unpack it, and use the CSV files in it.",
    "a Git LFS pointer, not the file itself": "Get the file itself: git lfs pull",
}
"""What the user can do about a kind of file. For all others it is `REMEDY`."""

REMEDY = "Write the data as CSV in UTF-8; it may be compressed with gzip, bz2, xz or zstd."


def detect(head: bytes) -> str:
    """Name the kind of a file.

    Args:
        head: The file's first bytes: 64 or more, unless the file is shorter.

    Returns:
        The kind in words, such as "Parquet"; "" for text.
    """
    binary = any(code in _NO_TEXT for code in head)
    for begin, kind in _BEGINS:
        # The header of a CSV file may begin with letters such as ORC.
        if head.startswith(begin) and (binary or not begin.isalnum()):
            if kind == "a zip archive":
                return next((inner for word, inner in _ZIPPED if word in head), kind)
            return kind
    if head[257:262] == b"ustar":
        return "a tar archive"
    # A record's length in eight bytes, a checksum in four, a tf.Example's first field.
    if len(head) > 12 and head[4:8] == b"\0\0\0\0" and head[12] == 0x0A:
        return "TFRecord"
    if b"\0" in head:
        zeros = head[:1024]
        even, odd = zeros[0::2].count(0), zeros[1::2].count(0)
        return "UTF-16 text" if max(even, odd) > 0.4 * len(zeros) / 2 > min(even, odd) else "binary"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for begin, kind in _MARKUP:
        if text[: len(begin)].lower() == begin:
            return kind
    return "JSON" if _is_json(text) else ""


def _is_json(text: bytes) -> bool:
    if not text.startswith((b"{", b"[")):
        return False
    line = text.splitlines()[0].rstrip()
    try:
        json.loads(line)
    except ValueError:
        # JSON on several lines, or cut off. A CSV header does not begin with `{"name":`.
        return line in (b"{", b"[") or b'":' in line.split(b",")[0]
    return True
