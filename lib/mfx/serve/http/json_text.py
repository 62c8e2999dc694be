"""JSON as TF Serving takes it: parsed, quoted in errors, base64 objects."""

from __future__ import annotations

import base64
import binascii
import gc
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from mfx.serve.errors import RequestError

_MOST_SHOWN = 256
_LARGE = 1 << 16
_TYPE_NAMES = {
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
    type(None): "Null",
}
_LITERALS = (b"NaN", b"Infinity")
_SPREAD = {b"{": 200, b"[": 80, b'"': 32, b",": 40}
"""Bytes of memory, measured: of an object, a list, half a string, and a number with its place."""
_MOST_SPREAD = 80
"""Of memory for a byte of JSON: a list of empty objects."""
_SLICE = 1 << 20
MOST_FLOAT = math.nextafter(2.0**128 - 2.0**103, 0.0)
"""The largest number whose nearest float32 is not infinite."""
_NO_SPACES = dict.fromkeys(map(ord, " \t\n\v\f\r"))
_SIXTY_FOUR_BITS = 20
"""Digits and sign of the longest integer of 64 bits."""


def check_fits(body: bytes | bytearray, most: int) -> None:
    """Check, before it is parsed, that JSON takes no more memory than `most` bytes once it is read.

    By its characters: what one of them may stand for at the most, be it in a string or not.

    Raises:
        RequestError: INVALID_ARGUMENT, it may take more.
    """
    if len(body) * _MOST_SPREAD <= most:
        return
    taken = 0
    for at in range(0, len(body), _SLICE):  # in slices, as no other thread runs meanwhile
        part = body[at : at + _SLICE]
        taken += sum(part.count(character) * size for character, size in _SPREAD.items())
    if taken > most:
        raise invalid(
            f"This JSON of {len(body)} bytes may take {taken} bytes of memory once it is read; at "
            f"most {most}. Send fewer rows at once, numbers as they are and not as text, and by "
            "column ('inputs') what has many short names"
        )


def read_object(body: bytes | bytearray) -> dict[str, Any]:
    """Parse a request; NaN, Infinity and -Infinity are numbers, as for TF Serving.

    Raises:
        RequestError: INVALID_ARGUMENT, it is no JSON object.
    """
    try:
        document = _loaded(body)
    except orjson.JSONDecodeError as error:
        if not any(literal in body for literal in _LITERALS):
            raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
        document = _with_literals(body)
    if type(document) is not dict:
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature that a request asks for, '' for the default.

    Raises:
        RequestError: INVALID_ARGUMENT, the name is no string.
    """
    name = document.get("signature_name", "")
    if type(name) is not str:
        raise invalid(
            f"JSON Value: {shown(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def decoded(value: dict[str, Any]) -> bytes:
    """What an object {"b64": "..."} stands for.

    As in TF Serving padding may be left out and white space is passed over; `-` and `_`, of the
    alphabet for URLs, are refused.

    Raises:
        ValueError: It is none, or not base64.
    """
    if is_object(value):
        raise ValueError(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = value["b64"]
    try:
        return _unpadded(text)
    except (binascii.Error, ValueError):
        with suppress(binascii.Error, ValueError):
            return _unpadded(text.translate(_NO_SPACES))
    hint = "; its alphabet has + and / for - and _" if {"-", "_"} & set(text) else ""
    raise ValueError(f"Unable to base64 decode: {shown(text[:40])}{hint}")


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def is_object(value: Any) -> bool:
    """Whether it is an object other than a base64 one."""
    if type(value) is not dict:
        return False
    return not (len(value) == 1 and type(value.get("b64")) is str)


def invalid(message: str) -> RequestError:
    """INVALID_ARGUMENT."""
    return RequestError("INVALID_ARGUMENT", message)


def type_name(value: Any) -> str:
    """JSON's type of a parsed value, in rapidjson's words."""
    return str(value) if type(value) is bool else _TYPE_NAMES[type(value)]


def shown(value: Any) -> str:
    """The beginning of a value as JSON; no more of it is written than is shown."""
    parts: list[str] = []
    length = 0
    for part in json.JSONEncoder(ensure_ascii=False).iterencode(_cut(value)):
        parts.append(part)
        length += len(part)
        if length > _MOST_SHOWN:
            break
    return "".join(parts)[:_MOST_SHOWN].encode("utf-8", "replace").decode()


def _loaded(body: bytes | bytearray) -> Any:
    """orjson's; over a million lists it takes 0.2 s, with the collector's passes between 3 s."""
    if len(body) < _LARGE or not gc.isenabled():
        return orjson.loads(body)
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        gc.enable()


def _with_literals(body: bytes | bytearray) -> Any:
    """Parse JSON in which there are NaN or Infinity, which orjson does not take."""

    def real(text: str) -> float:
        value = float(text)
        if math.isinf(value):
            raise ValueError("Number too big to be stored in double.")
        return value

    def integer(text: str) -> int | float:
        return int(text) if len(text) <= _SIXTY_FOUR_BITS else real(text)

    try:
        return json.loads(body.decode(), parse_float=real, parse_int=integer)
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from None


def _cut(value: Any) -> Any:
    return value[:_MOST_SHOWN] if type(value) is str else value
