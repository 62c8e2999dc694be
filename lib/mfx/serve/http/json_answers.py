"""Write outputs as TF Serving's JSON; see `json_api`.

A float32 is written with as few digits as identify it. NaN, Infinity and -Infinity are written as
in TF Serving.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from mfx.serve.errors import RequestError
from mfx.serve.model import Signature

_PIECE = 4096
_NUMPY = orjson.OPT_SERIALIZE_NUMPY
METHODS = {"classify": "classification", "regress": "regression"}


def predictions(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """The answer of `:predict`.

    Args:
        outputs: Arrays by name. Strings are written as base64 if the output's name ends in
            `_bytes`.
        rows: Whether to write `predictions` with one value or object per row; otherwise `outputs`
            with one value or object for all rows.

    Raises:
        RequestError: INVALID_ARGUMENT, an output cannot be written as JSON.
    """
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        if rows:
            _row_count(outputs)
        return _written({"predictions" if rows else "outputs": _ready(name, array)})
    if not rows:
        return _written({"outputs": {name: _ready(name, array) for name, array in outputs.items()}})
    count = _row_count(outputs)
    # In pieces: while orjson works, no other thread can run.
    pieces = [_rows(outputs, at, min(at + _PIECE, count)) for at in range(0, count, _PIECE)]
    return b'{"predictions":[' + b",".join(pieces) + b"]}"


def check_method(signature: Signature, method: str) -> None:
    """Check that a signature can answer `:classify` or `:regress`, as TF Serving does.

    Raises:
        RequestError: INVALID_ARGUMENT, it has another method, or other inputs or outputs.
    """
    kind, wanted = METHODS[method], f"tensorflow/serving/{method}"
    if signature.method != wanted:
        raise _invalid(
            f"Expected {kind} signature method_name to be {wanted}. Was: {signature.method}"
        )
    if len(signature.inputs) != 1:
        raise _invalid("Expected one input Tensor.")
    if "inputs" not in signature.inputs:
        raise _invalid(f"No {kind} inputs found in SignatureDef: {signature.name}")
    names = {"outputs"} if method == "regress" else {"classes", "scores"}
    if not signature.outputs or not signature.outputs.keys() <= names:
        raise _invalid(
            f"Expected {kind} signature outputs to be of {', '.join(sorted(names))}. "
            f"Was: {', '.join(signature.outputs)}"
        )


def classifications(outputs: Mapping[str, np.ndarray]) -> bytes:
    """The answer of `:classify`: for each row a list of [label, score].

    Args:
        outputs: `classes` (strings) and `scores` (floats) of shape [rows, classes]. One of them may
            be missing.

    Raises:
        RequestError: INVALID_ARGUMENT, they have another shape.
    """
    shape = next(iter(outputs.values())).shape
    for array in outputs.values():
        if array.ndim != 2 or array.shape != shape:
            raise _invalid(
                "Expected Tensor shape: [batch_size num_classes] but got "
                f"[{','.join(map(str, array.shape))}]"
            )
    labels = _texts("classes", outputs["classes"]) if "classes" in outputs else None
    scores = outputs.get("scores")
    if labels is None:
        labels = [[""] * shape[1]] * shape[0]
    if scores is None:
        scores = np.zeros(shape, np.float32)
    # orjson writes NaN as `null`; a label is never null, so `_written` can find NaN by it.
    pairs = [
        [[label, score] for label, score in zip(row, values, strict=True)]
        for row, values in zip(labels, _reals(scores), strict=True)
    ]
    return _written({"results": pairs})


def regressions(outputs: Mapping[str, np.ndarray]) -> bytes:
    """The answer of `:regress`: one value per row.

    Args:
        outputs: The output `outputs`, of shape [rows] or [rows, 1].

    Raises:
        RequestError: INVALID_ARGUMENT, it has another shape.
    """
    array = outputs["outputs"]
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise _invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"[{','.join(map(str, array.shape))}]"
        )
    return _written({"results": array.reshape(-1)})


def failure(message: str) -> bytes:
    """The body of an error."""
    # The message may have text from a client, even half a surrogate pair.
    return orjson.dumps({"error": message.encode("utf-8", "replace").decode()})


def _row_count(outputs: Mapping[str, np.ndarray]) -> int:
    count = -1
    for name, array in outputs.items():
        if not array.ndim:
            raise _invalid(f"Tensor name: {name} has no shape information ")
        if count >= 0 and len(array) != count:
            raise _invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {count}"
            )
        count = len(array)
    return count


def _rows(outputs: Mapping[str, np.ndarray], start: int, end: int) -> bytes:
    """Write some rows as objects, without the brackets around them."""
    columns = [_listed(name, array[start:end]) for name, array in outputs.items()]
    names = tuple(outputs)
    return _written([dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])[
        1:-1
    ]


def _listed(name: str, array: np.ndarray) -> Any:
    """An output as nested lists."""
    ready = _ready(name, array)
    if not isinstance(ready, np.ndarray):
        return ready
    if ready.dtype != np.float32:
        return ready.tolist()
    if not np.isfinite(ready).all():
        return _reals(ready)
    # By orjson's text, a float32 gets its own digits and not those of a double.
    return orjson.loads(orjson.dumps(ready, option=_NUMPY))


def _ready(name: str, array: np.ndarray) -> Any:
    """An output in a form that orjson accepts."""
    kind = array.dtype.kind
    if kind == "O":
        return _texts(name, array)
    if kind not in "biuf" or (array.dtype.itemsize * 8 == 16 and kind == "f"):
        raise _invalid(f"Failed to write JSON value for tensor type: {array.dtype.name}: {name}")
    return np.ascontiguousarray(array) if array.ndim else array[()]


def _texts(name: str, array: np.ndarray) -> Any:
    values = array.reshape(-1).tolist()
    try:
        if name.endswith("_bytes"):
            flat: list[Any] = [{"b64": base64.b64encode(value).decode()} for value in values]
        else:
            flat = [value.decode() for value in values]
    except UnicodeDecodeError:
        raise _invalid(
            f"Failed to write JSON value for tensor type: string: {name} is not UTF-8; "
            "an output whose name ends in '_bytes' is written as base64"
        ) from None
    shaped = np.empty(len(flat), object)
    shaped[:] = flat
    return shaped.reshape(array.shape).tolist()


def _reals(array: np.ndarray) -> Any:
    """Floats as nested lists of Python floats, which print with the digits of their precision."""
    return array.astype("U32").astype(np.float64).tolist()


def _written(answer: Any) -> bytes:
    try:
        written = orjson.dumps(answer, option=_NUMPY)
    except TypeError as error:
        raise _invalid(f"Failed to write JSON value: {error}") from None
    # orjson writes NaN and infinities as null.
    if b"null" in written and b"null" in orjson.dumps(_without_texts(answer), option=_NUMPY):
        return json.dumps(
            _with_literals(answer), ensure_ascii=False, separators=(",", ":")
        ).encode()
    return written


def _without_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return [_without_texts(item) for item in value.values()]
    if isinstance(value, list):
        return [_without_texts(item) for item in value]
    return 0 if isinstance(value, str) else value


def _with_literals(value: Any) -> Any:
    """The answer with Python's own numbers, for `json`, which can write NaN and Infinity."""
    if isinstance(value, dict):
        return {name: _with_literals(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_literals(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _reals(np.asarray(value)) if value.dtype.kind == "f" else value.tolist()
    return value


def _invalid(message: str) -> RequestError:
    return RequestError("INVALID_ARGUMENT", message)
