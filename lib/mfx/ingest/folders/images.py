"""Images that `tf.io.decode_image` decodes: JPEG, PNG, GIF, BMP. Each is decoded once, to check it.

Pillow decodes them, as this step does without TensorFlow. Files that Pillow lets pass and
TensorFlow does not, such as a PNG without its end, are found here.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

from mfx.errors import MfxError
from mfx.ingest.sources import file_kinds

COLUMN = "image"
EXPECTED = "a whole JPEG, PNG, GIF or BMP: these are what tf.io.decode_image decodes"

LARGE = 2**24
"""Images with more pixels than this are decoded one at a time, for the memory."""
_DECODING_LARGE = threading.Lock()


def prepare() -> None:
    """Load Pillow and its formats; see `base.Content`."""
    try:
        from PIL import Image
    except ImportError:
        raise MfxError(
            "data.images: Pillow, which checks images, is not installed",
            "Install it: pip install 'mfx[images]'",
        ) from None
    Image.preinit()
    # It warns of images with half as many pixels as it refuses to decode.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def value(data: bytes) -> bytes:
    """The file's bytes as they are; see `base.Content`."""
    kind = next((kind for kind in _KINDS if data.startswith(kind.begins)), None)
    if kind is None:
        raise ValueError(_what(data[:4096]))
    if fault := kind.fault(data) or _decoding_fault(kind.name, data):
        raise ValueError(f"{kind.name} {fault}")
    return data


def _decoding_fault(name: str, data: bytes) -> str:
    """What keeps Pillow from decoding an image; "" if nothing does."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=[name]) as image:
            # Of a JPEG all bytes are decoded, to an eighth of width and height: it is faster.
            image.draft(None, (1, 1))
            large = image.width * image.height > LARGE
            with _DECODING_LARGE if large else nullcontext():
                _decode_frames(image)
    except Image.DecompressionBombError:
        return f"of more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels"
    except Exception as error:  # Pillow raises of many kinds on damaged files.
        return _CUT_OFF if "truncated" in str(error) else "that is damaged"
    return ""


def _decode_frames(image: Any) -> None:
    while True:
        image.load()
        try:
            image.seek(image.tell() + 1)
        except EOFError:
            return


_CUT_OFF = "that is cut off"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def _png_fault(data: bytes) -> str:
    return "" if _PNG_END in data else _CUT_OFF


def _bmp_fault(data: bytes) -> str:
    """Pillow knows more kinds of BMP than TensorFlow."""
    bits, compression = (int.from_bytes(data[at : at + 2], "little") for at in (28, 30))
    plain = bits in (8, 24, 32) and compression in (0, 3)
    return "" if plain else "of a kind that tf.io.decode_image does not decode"


def _gif_fault(data: bytes) -> str:
    """Pillow takes the end of a file that is cut off between two frames for the end of the GIF."""
    try:
        place = 13 + _colors(data[10])
        while (block := data[place]) != 0x3B:
            if block == 0x2C:  # a frame: its place and size, colors, pixels
                place += 11 + _colors(data[place + 9])
            else:  # an extension
                place += 2
            while size := data[place]:
                place += 1 + size
            place += 1
    except IndexError:
        return _CUT_OFF
    return ""


def _colors(flags: int) -> int:
    """The bytes of a table of colors, which a flag tells of."""
    return 6 << (flags & 7) if flags & 0x80 else 0


class _Kind(NamedTuple):
    """A format: its name in Pillow, first bytes, and what is wrong with a file of it, if Pillow
    does not tell."""

    name: str
    begins: tuple[bytes, ...]
    fault: Callable[[bytes], str] = lambda data: ""


_KINDS = (
    _Kind("JPEG", (b"\xff\xd8\xff",)),
    _Kind("PNG", (b"\x89PNG\r\n\x1a\n",), _png_fault),
    _Kind("GIF", (b"GIF87a", b"GIF89a"), _gif_fault),
    _Kind("BMP", (b"BM",), _bmp_fault),
)
_OTHERS = (
    (0, (b"II*\0", b"MM\0*"), "TIFF"),
    (8, (b"WEBP",), "WebP"),
    (4, (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1"), "HEIC"),
    (4, (b"ftypavif", b"ftypavis"), "AVIF"),
)
"""Formats that TensorFlow does not decode, and the bytes at a place that tell them."""


def _what(head: bytes) -> str:
    """Why a file that begins so does not fit."""
    if not head:
        return "an empty file"
    for place, begins, name in _OTHERS:
        if head[place:].startswith(begins):
            return f"{name}, which tf.io.decode_image does not decode"
    kind = file_kinds.detect(head)
    return f"no image but {kind}" if kind and kind != "binary" else "no image"
