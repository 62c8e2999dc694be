"""JSON as in TF Serving: parse it, show it in messages, decode base64 objects."""

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
"""Measured bytes of memory for each character: an object, a list, half a string, a list item."""
_MOST_SPREAD = 80
"""The most bytes of memory for a byte of JSON: a list of empty objects has so many."""
_SLICE = 1 << 20
MOST_FLOAT = math.nextafter(2.0**128 - 2.0**103, 0.0)
"""The largest number whose nearest float32 is finite."""
_NO_SPACES = dict.fromkeys(map(ord, " \t\n\v\f\r"))
_SIXTY_FOUR_BITS = 20
"""The length of the longest 64-bit integer, with its sign."""


def check_fits(body: bytes | bytearray, most: int) -> None:
    """Check before parsing that JSON takes at most `most` bytes of memory as Python objects.

    Characters are counted. Each counts as the largest object that it may stand for, even in a
    string.

    Raises:
        RequestError: INVALID_ARGUMENT, it may take more.
    """
    if len(body) * _MOST_SPREAD <= most:
        return
    taken = 0
    for at in range(0, len(body), _SLICE):  # In slices: during `count` no other thread can run.
        part = body[at : at + _SLICE]
        taken += sum(part.count(character) * size for character, size in _SPREAD.items())
    if taken > most:
        raise invalid(
            f"This JSON of {len(body)} bytes may take {taken} bytes of memory when it is read; at "
            f"most {most} are allowed. Send fewer rows at once, send numbers as numbers and not as "
            "text, or send the rows by column ('inputs')"
        )


def read_object(body: bytes | bytearray) -> dict[str, Any]:
    """Parse a request. As in TF Serving, NaN, Infinity and -Infinity are numbers.

    Raises:
        RequestError: INVALID_ARGUMENT, it is not a JSON object.
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
    """The name of the signature in a request; '' for the default signature.

    Raises:
        RequestError: INVALID_ARGUMENT, the name is not a string.
    """
    name = document.get("signature_name", "")
    if type(name) is not str:
        raise invalid(
            f"JSON Value: {shown(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def decoded(value: dict[str, Any]) -> bytes:
    """Decode an object {"b64": "..."}.

    As in TF Serving, padding may be left out and white space is ignored. `-` and `_`, from the
    alphabet for URLs, are refused.

    Raises:
        ValueError: It is not such an object, or its text is not base64.
    """
    if is_object(value):
        raise ValueError(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = value["b64"]
    try:
        return _unpadded(text)
    except (binascii.Error, ValueError):
        with suppress(binascii.Error, ValueError):
            return _unpadded(text.translate(_NO_SPACES))
    hint = "; use + and / instead of - and _" if {"-", "_"} & set(text) else ""
    raise ValueError(f"Unable to base64 decode: {shown(text[:40])}{hint}")


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def is_object(value: Any) -> bool:
    """Whether a value is an object, but not a base64 object."""
    if type(value) is not dict:
        return False
    return not (len(value) == 1 and type(value.get("b64")) is str)


def invalid(message: str) -> RequestError:
    """The error of a wrong request: INVALID_ARGUMENT."""
    return RequestError("INVALID_ARGUMENT", message)


def type_name(value: Any) -> str:
    """The JSON type of a parsed value, as rapidjson names it."""
    return str(value) if type(value) is bool else _TYPE_NAMES[type(value)]


def shown(value: Any) -> str:
    """The begin of a value as JSON, for messages. No more than that is written."""
    parts: list[str] = []
    length = 0
    for part in json.JSONEncoder(ensure_ascii=False).iterencode(_cut(value)):
        parts.append(part)
        length += len(part)
        if length > _MOST_SHOWN:
            break
    return "".join(parts)[:_MOST_SHOWN].encode("utf-8", "replace").decode()


def _loaded(body: bytes | bytearray) -> Any:
    """Parse by orjson, without garbage collection: for a million lists 0.2 s instead of 3 s."""
    if len(body) < _LARGE or not gc.isenabled():
        return orjson.loads(body)
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        gc.enable()


def _with_literals(body: bytes | bytearray) -> Any:
    """Parse JSON with NaN or Infinity, which orjson does not accept."""

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
