"""Convert TensorProtos to values and back, as TF Serving does.

`tf.make_ndarray` makes an array of each tensor. For a single row a list is faster, and batches are
made from lists anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

STRING = types_pb2.DT_STRING
# The repeated field that has the values of a dtype; int_val is for all small integers.
_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_STRING: "string_val",
    types_pb2.DT_COMPLEX64: "scomplex_val",
    types_pb2.DT_COMPLEX128: "dcomplex_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_BFLOAT16: "half_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
}
# Dtypes whose lists become arrays simply by np.array(list, dtype).
_PLAIN = {
    dtype: (dtype.as_datatype_enum, _FIELDS[dtype.as_datatype_enum])
    for dtype in (tf.float32, tf.float64, tf.int32, tf.int64, tf.string, tf.bool)
}


def column(proto: Any, dtype: tf.DType) -> list[Any] | None:
    """The values of a TensorProto if it has the usual form; otherwise None.

    The usual form has rank 1 and at least one value, with all values in the field of the dtype.
    """
    enum, field = _PLAIN.get(dtype, (0, ""))
    if not enum or proto.dtype != enum:
        return None
    given, dims = getattr(proto, field), proto.tensor_shape.dim
    if given and len(dims) == 1 and dims[0].size == len(given) and not proto.tensor_content:
        return list(given)
    return None


def shape_of(proto: Any) -> tuple[int, ...]:
    """The sizes of a TensorProto.

    Raises:
        ValueError: A size is negative, or the rank is unknown.
    """
    shape = tuple([dim.size for dim in proto.tensor_shape.dim])
    if proto.tensor_shape.unknown_rank or (shape and min(shape) < 0):
        raise ValueError("its shape is not fully known")
    return shape


def values(proto: Any, shape: tuple[int, ...], max_bytes: int) -> np.ndarray:
    """The values of a TensorProto as an array.

    As in TF Serving, the last value is repeated up to the shape. If there is no value at all, all
    values are 0 or "".

    Args:
        proto: A TensorProto.
        shape: Its shape, from `shape_of`.
        max_bytes: The most bytes of the array, since a small message can have a large shape.

    Raises:
        ValueError: The values do not fit the dtype and shape, or `max_bytes`.
    """
    dtype = proto.dtype
    if dtype not in _FIELDS:
        raise ValueError(f"tensors of {dtype_name(dtype)} are not served")
    content = proto.tensor_content
    size, numpy = prod(shape), numpy_dtype(dtype)
    if size * numpy.itemsize > max_bytes:
        raise ValueError(f"shape {list(shape)} takes more than {max_bytes} bytes")
    if content and dtype == STRING:
        return _objects(list(_strings(content, size)), shape)
    if content:
        if len(content) != size * numpy.itemsize:
            raise ValueError(
                f"tensor_content of {len(content)} bytes for {size} values of {dtype_name(dtype)}"
            )
        return np.frombuffer(content, numpy.newbyteorder("<")).reshape(shape)
    return _from_field(proto, shape, size, numpy)


def fill(proto: Any, array: np.ndarray) -> None:
    """Write an array into an empty TensorProto. Values go into the field of their dtype.

    TF Serving does so too: clients read fields such as `float_val`.

    Raises:
        ValueError: TensorProto has no field for the dtype.
    """
    dtype = STRING if array.dtype == object else _enum(array.dtype)
    if dtype not in _FIELDS:
        raise ValueError(f"tensors of {dtype_name(dtype)} are not served")
    proto.dtype = dtype
    dims = proto.tensor_shape.dim
    for size in array.shape:
        dims.add(size=size)
    flat = array.ravel()
    name = _FIELDS[dtype]
    if name == "half_val":
        flat = flat.view(np.uint16)
    elif name == "scomplex_val":
        flat = flat.view(np.float32)
    elif name == "dcomplex_val":
        flat = flat.view(np.float64)
    getattr(proto, name).extend(flat.tolist())


def dtype_name(dtype: int) -> str:
    """TensorFlow's C++ name of a dtype, such as `float` or `int64`."""
    if dtype not in types_pb2.DataType.values():
        return f"DataType {dtype}"
    return types_pb2.DataType.Name(dtype)[3:].lower()


@lru_cache(maxsize=64)
def numpy_dtype(dtype: int) -> np.dtype:
    """NumPy's dtype for a DataType; object for strings."""
    return np.dtype(tf.as_dtype(dtype).as_numpy_dtype)


@lru_cache(maxsize=64)
def _enum(dtype: np.dtype) -> int:
    return tf.as_dtype(dtype).as_datatype_enum


def _from_field(proto: Any, shape: tuple[int, ...], size: int, numpy: np.dtype) -> np.ndarray:
    """The values of a repeated field; the last one is repeated up to the shape."""
    name = _FIELDS[proto.dtype]
    given = getattr(proto, name)
    if name == "string_val":
        found = list(given)
        if len(found) > size:
            raise ValueError(f"{len(found)} values for shape {list(shape)}")
        return _objects(found + [found[-1] if found else b""] * (size - len(found)), shape)
    if name == "half_val":
        flat = _within(given, np.dtype(np.uint16), name).view(numpy)
    elif name in ("scomplex_val", "dcomplex_val"):
        if len(given) % 2:
            raise ValueError(f"{name} has half a value")
        part = np.float32 if name == "scomplex_val" else np.float64
        flat = np.array(given, part).view(numpy)
    elif name == "int_val":
        flat = _within(given, numpy, name)
    else:
        flat = np.array(given, numpy)
    if len(flat) > size:
        raise ValueError(f"{len(flat)} values for shape {list(shape)}")
    if len(flat) < size:
        last = flat[-1:] if len(flat) else np.zeros(1, numpy)
        flat = np.concatenate([flat, np.repeat(last, size - len(flat))])
    return flat.reshape(shape)


def _within(given: Any, numpy: np.dtype, field: str) -> np.ndarray:
    """The values of a field that has int32 for every dtype. (C++ takes the low bits.)

    Raises:
        ValueError: A value is outside the dtype's range.
    """
    wide, bounds = np.array(given, np.int64), np.iinfo(numpy)
    if wide.size and not (bounds.min <= wide.min() and wide.max() <= bounds.max):
        at = int(np.argmax((wide < bounds.min) | (wide > bounds.max)))
        raise ValueError(
            f"{field} {at} is {wide[at]}, {numpy.name} holds {bounds.min} to {bounds.max}"
        )
    return wide.astype(numpy)


def _objects(found: list[bytes], shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(len(found), object)
    array[:] = found
    return array.reshape(shape)


def _strings(content: bytes, size: int) -> Iterator[bytes]:
    """Yield the strings in tensor_content: first come all lengths as varints, then all bytes."""
    if len(content) < size:
        raise ValueError(f"tensor_content of {len(content)} bytes for {size} strings")
    lengths, at = [], 0
    for _ in range(size):
        length = shift = 0
        while True:
            if at == len(content) or shift > 28:
                raise ValueError("tensor_content does not have the lengths of its strings")
            byte = content[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        lengths.append(length)
    if at + sum(lengths) != len(content):
        raise ValueError(f"tensor_content of {len(content)} bytes, {at + sum(lengths)} expected")
    for length in lengths:
        yield content[at : at + length]
        at += length
