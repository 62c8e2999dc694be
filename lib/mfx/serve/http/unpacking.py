"""Unpack compressed bodies (`Content-Encoding`) step by step, never more than is asked for."""

from __future__ import annotations

import zlib

PLAIN = ""
CODINGS = {"": PLAIN, "identity": PLAIN, "gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
"""The allowed values of Content-Encoding, and the coding of each."""
_PIECE = 1 << 16
"""Packed bytes that zlib gets at a time. It copies those that it has not used yet."""
_MOST_MEMBERS = 1000
"""The most members of a gzip body: a member may have twenty bytes and unpack to none."""
_GZIP = b"\x1f\x8b"
_ZLIB = 8
"""The lowest bits of a zlib stream's first byte. Without them it is a raw deflate stream."""


class UnpackError(ValueError):
    """A body that is not what its Content-Encoding says."""


class Unpacker:
    """Unpacks one body.

    Args:
        coding: `gzip` or `deflate`. The latter is a zlib stream or, from some clients, a raw
            deflate stream.
        packed: The whole body.
    """

    def __init__(self, coding: str, packed: bytes | bytearray) -> None:
        self._coding, self._packed, self._at = coding, packed, 0
        bits = zlib.MAX_WBITS
        if coding == "gzip":
            bits += 16
        elif packed and packed[0] & 15 != _ZLIB:
            bits = -bits
        self._bits, self._members = bits, 1
        self._stream = zlib.decompressobj(bits)

    def next(self, most: int) -> bytes:
        """The next unpacked bytes, at most `most`; b"" at the end.

        Raises:
            UnpackError: The body is damaged, not whole, or has another coding.
        """
        while not self._ended():
            packed: bytes | bytearray = self._stream.unconsumed_tail
            if not packed:
                packed = self._packed[self._at : self._at + _PIECE]
                self._at += len(packed)
            try:
                unpacked = self._stream.decompress(packed, most)
            except zlib.error as error:
                raise UnpackError(f"not {self._coding}: {error}") from None
            if unpacked:
                return unpacked
            if not packed and not self._stream.eof:
                raise UnpackError(f"the {self._coding} data end in the middle")
        return b""

    def _ended(self) -> bool:
        """Whether everything is unpacked. If a gzip body has another member, start with it."""
        if not self._stream.eof:
            return False
        self._at -= len(self._stream.unused_data)
        if self._at == len(self._packed):
            return True
        if self._coding != "gzip":
            raise UnpackError(
                f"{len(self._packed) - self._at} bytes follow the {self._coding} data"
            )
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise UnpackError(f"more than {_MOST_MEMBERS} gzip members")
        self._stream = zlib.decompressobj(self._bits)
        return False


def said_size(coding: str, packed: bytes | bytearray) -> int:
    """The size to which a body at least unpacks, by its own data; 0 if it does not say.

    The last four bytes of gzip data are the size of its last member, modulo 2^32.
    """
    says = coding == "gzip" and packed.startswith(_GZIP)
    return int.from_bytes(packed[-4:], "little") if says else 0
