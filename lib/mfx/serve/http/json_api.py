"""Read TF Serving's predict requests in JSON. Error texts are those of its `json_tensor.cc`.

`PredictReader` reads `instances` (rows) and `inputs` (columns). Numbers must fit the signature's
dtype: errors are a float for an integer input, a number outside the dtype's range, and a whole
number that a float cannot hold. (TF Serving also refuses whole numbers from 2^24 on that float32
can hold.)

Two things are not in TF Serving, on the signature `predict` for inputs with a dtype in
`missing.MISSING`. `null` means a missing value, and so does a name that is left out of an object in
`instances`; the value from there is used. And if an input has lists of any length, shape
[rows, None], the rows' lists may differ in length: shorter ones are filled up with that value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import tensorflow as tf

from mfx.columns.missing import MISSING
from mfx.serve.errors import RequestError
from mfx.serve.http.json_text import MOST_FLOAT, decoded, invalid, is_object, shown, type_name
from mfx.serve.model import MISSING_SIGNATURE, Signature

_DTYPE_NAMES = {tf.float32: "float", tf.float64: "double", tf.float16: "half"}
_FLOATS = (tf.float32, tf.float64)
_INTEGERS = (tf.int64, tf.int32, tf.int16, tf.int8, tf.uint8, tf.uint32, tf.uint64)
_MOST_LISTED = 1024
"""An input with more single values becomes an array: a list takes several times its memory."""
_NUMBERS = frozenset((int, float))
_EXACT = 2**24
"""float32 can hold all whole numbers up to this one."""
_MOST = {tf.float32: MOST_FLOAT, tf.float64: float(tf.float64.max)}


class PredictReader:
    """Reads `:predict` requests for one signature.

    Args:
        signature: The signature. Requests must fit its names, dtypes and shapes.
    """

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._nulls = signature.name == MISSING_SIGNATURE
        self._names = tuple(signature.inputs)
        # `_flat_row` reads single rows of single values, by far the most common requests.
        shapes = [tensor.shape for tensor in signature.inputs.values()]
        kinds = [_flat_kind(tensor.dtype) for tensor in signature.inputs.values()]
        self._flat = None
        if signature.batched and all(shape and len(shape) == 1 for shape in shapes) and all(kinds):
            self._flat = tuple(zip(self._names, kinds, strict=True))

    def read(self, document: Mapping[str, Any]) -> tuple[dict[str, Any], int, bool]:
        """Read a request.

        Returns:
            For each input a list or array whose first dimension is the rows; the number of rows;
            and whether the request came by rows, so that the answer must have rows too.

        Raises:
            RequestError: INVALID_ARGUMENT, the request does not fit the signature.
        """
        instances = document.get("instances")
        if "inputs" in document:
            if "instances" in document:
                raise invalid(
                    f"JSON Value: {shown(document)} Not formatted correctly expecting only "
                    "one of 'inputs' or 'instances' keys to exist "
                )
            return (*self._columns(document["inputs"]), False)
        if "instances" not in document:
            raise invalid("Missing 'inputs' or 'instances' key")
        if type(instances) is not list:
            raise invalid(
                f"JSON Value: {shown(document)} Expecting 'instances' to be an list/array"
            )
        if not instances:
            raise invalid(f"JSON Value: {shown(document)} No values in 'instances' array")
        if len(instances) == 1 and self._flat is not None:
            inputs = self._flat_row(instances[0])
            if inputs is not None:
                return inputs, 1, True
        return self._rows(instances), len(instances), True

    def _flat_row(self, row: Any) -> dict[str, Any] | None:
        """Read one row of single values; None if the row has anything else or must be checked."""
        if type(row) is not dict or len(row) != len(self._names):
            return None
        inputs = {}
        try:
            for name, kind in self._flat or ():
                value = row[name]
                given = type(value)
                if kind == "string":
                    if given is not str:
                        return None
                    value = value.encode()
                elif kind == "int64":
                    if given is not int or not -(2**63) <= value < 2**63:
                        return None
                # None also for a number that needs a closer check.
                elif given is float:
                    if not -MOST_FLOAT <= value <= MOST_FLOAT:
                        return None
                elif given is not int or not -_EXACT <= value <= _EXACT:
                    return None
                inputs[name] = [value]
        except (KeyError, UnicodeEncodeError):
            return None
        return inputs

    def _rows(self, instances: list[Any]) -> dict[str, Any]:
        first = instances[0]
        named = is_object(first)
        if not named and len(self._names) > 1:
            raise invalid(
                "instances is a plain list, but expecting list of objects as multiple input "
                "tensors required as per tensorinfo_map"
            )
        if not named:
            for at, value in enumerate(instances):
                if type(value) is dict and is_object(value):
                    raise invalid(f"Expecting value/list but got object at item {at} of input list")
            return {self._names[0]: self._column(self._names[0], instances, "")}
        self._check_names(instances)
        missing = self._nulls and any(len(row) < len(self._names) for row in instances)
        return {
            name: self._column(
                name,
                [row.get(name) for row in instances] if missing else [r[name] for r in instances],
                f" key: {name}",
            )
            for name in self._names
        }

    def _check_names(self, instances: list[Any]) -> None:
        names = set(self._names)
        for at, row in enumerate(instances):
            if type(row) is not dict or not is_object(row):
                raise invalid(f"Expecting object but got list at item {at} of input list")
            if row.keys() == names:
                continue
            for name in row:
                if name not in names:
                    raise invalid(
                        f"Failed to process element: {at} key: {name} of 'instances' list. Error: "
                        f"INVALID_ARGUMENT: JSON object: does not have named input: {name}"
                    )
            if not (self._nulls and all(self._may_miss(name) for name in names - row.keys())):
                raise invalid(
                    f"Failed to process element: {at} of 'instances' list. JSON object: "
                    f"{shown(row)} keys must be equal to: {','.join(sorted(names))}"
                )

    def _may_miss(self, name: str) -> bool:
        tensor = self._signature.inputs[name]
        single = len(tensor.shape or ()) == 1
        return self._nulls and tensor.dtype in MISSING and (single or self._has_lists(name))

    def _has_lists(self, name: str) -> bool:
        """Whether the lists of an input may have any length."""
        return name in self._signature.fillings

    def _column(self, name: str, values: list[Any], key: str) -> Any:
        """The values of one input from all rows. Errors name the row, as in TF Serving."""
        try:
            return self._values(name, values)
        except _BadValueError as error:
            row = error.at // max(1, error.per_row)
            raise invalid(
                f"Failed to process element: {row}{key} of 'instances' list. "
                f"Error: INVALID_ARGUMENT: {error}"
            ) from None

    def _columns(self, given: Any) -> tuple[dict[str, Any], int]:
        if not is_object(given):
            if len(self._names) > 1:
                raise invalid(
                    "inputs is a plain value/list, but expecting an object as multiple input "
                    "tensors required as per tensorinfo_map"
                )
            given = {self._names[0]: given}
        inputs = {}
        for name in self._names:
            if name not in given:
                raise invalid(f"Missing named input: {name} in 'inputs' object.")
            try:
                inputs[name] = self._values(name, given[name])
            except _BadValueError as error:
                row = error.at // max(1, error.per_row)
                raise invalid(f"Input: {name}, row {row}: {error}") from None
        if not self._signature.batched:
            return inputs, 1
        rows = {name: len(values) for name, values in inputs.items()}
        if len(set(rows.values())) != 1:
            raise invalid(f"Inputs have different numbers of rows: {rows}")
        if not rows[self._names[0]]:
            raise invalid("No rows in 'inputs'")
        return inputs, rows[self._names[0]]

    def _values(self, name: str, given: Any) -> Any:
        """The values of one input: a list, or an array if there are many or the rank is not 1."""
        tensor = self._signature.inputs[name]
        if self._has_lists(name) and type(given) is list:
            given = _filled(given, self._signature.fillings[name])
        flat, shape = _flattened(given)
        per_row = math.prod(shape[1:])
        try:
            nulls = self._may_miss(name) and not self._has_lists(name)
            values = _converted(flat, tensor.dtype, nulls)
        except _BadValueError as error:
            error.per_row = per_row
            raise
        fits = tensor.shape is None or (
            len(tensor.shape) == len(shape)
            and all(want in (None, size) for want, size in zip(tensor.shape, shape, strict=True))
        )
        if not fits or (self._signature.batched and not shape):
            wanted = [-1 if size is None else size for size in tensor.shape or (None,)]
            raise invalid(
                f"Input {name}: expecting shape [{','.join(map(str, wanted))}] "
                f"but got: [{','.join(map(str, shape))}]"
            )
        if len(shape) == 1 and (len(values) <= _MOST_LISTED or tensor.dtype == tf.string):
            return values
        return np.array(values, tensor.dtype.as_numpy_dtype).reshape(shape)


class _BadValueError(Exception):
    """A wrong value.

    Args:
        message: What is wrong.
        at: The index of the value among all values of the input.
        per_row: How many values each row has.
    """

    def __init__(self, message: str, at: int, per_row: int = 1) -> None:
        self.at, self.per_row = at, per_row
        super().__init__(message)


def _flattened(given: Any) -> tuple[list[Any], tuple[int, ...]]:
    """The single values in nested lists, and the shape.

    Raises:
        _BadValueError: The lists have different lengths or depths.
    """
    if type(given) is not list:
        return [given], ()
    flat, shape = given, [len(given)]
    while flat and type(flat[0]) is list:
        size, per_row, level = len(flat[0]), math.prod(shape[1:]), len(shape) - 1
        for at, value in enumerate(flat):
            if type(value) is not list:
                raise _BadValueError(
                    f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the "
                    f"JSON DOM. Expected at level: {level + 1 + _depth(flat[0])}",
                    at,
                    per_row,
                )
            if len(value) != size:
                raise _BadValueError(
                    f"Encountered list at unexpected size: {len(value)} at level: {level} "
                    f"expected size: {size}",
                    at,
                    per_row,
                )
        shape.append(size)
        flat = list(chain.from_iterable(flat))
    return flat, tuple(shape)


def _filled(rows: list[Any], filling: Any) -> list[Any]:
    """Lists of one length: shorter ones and missing ones (None) are filled up."""
    lists = [[] if row is None else row for row in rows]
    if not all(type(row) is list for row in lists):
        return rows  # The shape is wrong, and the caller says so.
    width = max([1, *map(len, lists)])
    return [row + [filling] * (width - len(row)) for row in lists]


def _depth(value: Any) -> int:
    depth = 0
    while type(value) is list:
        depth, value = depth + 1, value[0] if value else None
    return depth


def _converted(flat: list[Any], dtype: tf.DType, nulls: bool) -> list[Any]:
    """Check single values and convert them to a dtype.

    Raises:
        _BadValueError: A value has another type, or is out of range.
        RequestError: UNIMPLEMENTED, JSON has no form for this dtype.
    """
    kinds = set(map(type, flat))
    if nulls and type(None) in kinds:
        missing = MISSING[dtype]
        flat = [missing if value is None else value for value in flat]
        kinds = set(map(type, flat))
    if dtype in _FLOATS:
        if not kinds <= _NUMBERS:
            _refused(flat, dtype, _NUMBERS)
        most = _EXACT if int in kinds else _MOST[dtype]
        # A NaN may hide other values. Then a comparison is false, and each value is checked.
        if flat and not (-most <= min(flat) and max(flat) <= most):
            _must_hold(flat, dtype)
        return flat
    if dtype in _INTEGERS:
        if not kinds <= {int}:
            _refused(flat, dtype, {int})
        if flat and not (dtype.min <= min(flat) and max(flat) <= dtype.max):
            at = next(n for n, v in enumerate(flat) if not dtype.min <= v <= dtype.max)
            raise _wrong_type(flat[at], dtype, at)
        return flat
    if dtype == tf.string:
        return [_string(value, at) for at, value in enumerate(flat)]
    if dtype == tf.bool:
        return flat if kinds <= {bool} else _refused(flat, dtype, {bool})
    raise RequestError(
        "UNIMPLEMENTED",
        f"Conversion of JSON Value: {shown(flat[0] if flat else None)} "
        f"to type: {_DTYPE_NAMES.get(dtype, dtype.name)}",
    )


def _must_hold(flat: list[Any], dtype: tf.DType) -> None:
    """Check that the dtype can hold numbers: floats in its range, whole numbers exactly.

    NaN and the infinities are allowed.
    """
    kind, most = dtype.as_numpy_dtype, _MOST[dtype]
    for at, value in enumerate(flat):
        if -_EXACT <= value <= _EXACT or math.isnan(value) or math.isinf(value):
            continue
        if abs(value) > most or (type(value) is int and int(kind(value)) != value):
            raise _BadValueError(
                f"Cannot convert JSON value: {shown(value)} to {_DTYPE_NAMES[dtype]} without loss "
                f"of precision. {_holds(dtype)}",
                at,
            )


def _holds(dtype: tf.DType) -> str:
    """The numbers that a dtype can hold, in words; '' for other dtypes."""
    name = _DTYPE_NAMES.get(dtype, dtype.name)
    if dtype in _FLOATS:
        digits = 2 ** (24 if dtype == tf.float32 else 53)
        return (
            f"A {name} holds numbers from {dtype.min:.8g} to {dtype.max:.8g}, and all whole "
            f"numbers up to {digits}; write a larger one like 1.0e9 if it may be rounded"
        )
    if dtype in _INTEGERS:
        return f"An {name} holds whole numbers from {dtype.min} to {dtype.max}"
    return ""


def _refused(flat: list[Any], dtype: tf.DType, wanted: Any) -> Any:
    for at, value in enumerate(flat):
        if type(value) is list:
            raise _BadValueError("Encountered list at unexpected level", at)
        if type(value) not in wanted:
            raise _wrong_type(value, dtype, at)


def _wrong_type(value: Any, dtype: tf.DType, at: int) -> _BadValueError:
    said = (
        f"JSON Value: {shown(value)} Type: {type_name(value)} "
        f"is not of expected type: {_DTYPE_NAMES.get(dtype, dtype.name)}"
    )
    # TF Serving does not say what is wrong with a number.
    bounds = _holds(dtype) if type(value) in _NUMBERS else ""
    return _BadValueError(f"{said}. {bounds}" if bounds else said, at)


def _string(value: Any, at: int) -> bytes:
    try:
        if type(value) is str:
            return value.encode()
        if type(value) is dict:
            return decoded(value)
    except ValueError as error:
        raise _BadValueError(str(error), at) from None
    if type(value) is list:
        raise _BadValueError("Encountered list at unexpected level", at)
    raise _wrong_type(value, tf.string, at)


def _flat_kind(dtype: tf.DType) -> str:
    if dtype in _FLOATS:
        return "float"
    return {tf.int64: "int64", tf.string: "string"}.get(dtype, "")
