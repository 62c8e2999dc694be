import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from tensorflow.core.framework.tensor_pb2 import TensorProto

from mfx.serve.grpc import tensor_proto

LIMIT = 1 << 20
DTYPES = [
    tf.float32, tf.float64, tf.int32, tf.uint8, tf.int16, tf.int8, tf.uint16, tf.complex64,
    tf.int64, tf.bool, tf.bfloat16, tf.complex128, tf.half, tf.uint32, tf.uint64,
]  # fmt: skip


def values(proto: TensorProto, limit: int = LIMIT):
    found = tensor_proto.values(proto, tensor_proto.shape_of(proto), limit)
    column = tensor_proto.column(proto, tf.as_dtype(proto.dtype))
    if column is not None:
        again = np.array(column, found.dtype)
        assert (
            again.tolist() == found.tolist()
            if again.dtype == object
            else bits(again) == bits(found)
        )
    return found


def bits(array: np.ndarray) -> tuple:
    return array.dtype, array.shape, array.tobytes()


@st.composite
def arrays(draw):
    dtype = draw(st.sampled_from(DTYPES)).as_numpy_dtype
    shape = draw(npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    raw = draw(st.binary(min_size=512, max_size=512))
    array = np.frombuffer(raw, np.uint8)
    if dtype is np.bool_:
        array = array % 2
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(array.tobytes()[:size].ljust(size, b"\1"), dtype).reshape(shape)


@settings(max_examples=150, deadline=None)
@given(arrays())
def test_a_tensor_that_tensorflow_wrote_has_tensorflows_values(array):
    proto = tf.make_tensor_proto(array)
    assert bits(np.asarray(values(proto), array.dtype)) == bits(tf.make_ndarray(proto))


@settings(max_examples=150, deadline=None)
@given(arrays())
def test_tensorflow_reads_what_is_written_here(array):
    finite = array if array.dtype.kind not in "fcV" else np.nan_to_num(array.astype("c8").real)
    finite = finite.astype(array.dtype)
    proto = TensorProto()
    tensor_proto.fill(proto, finite)
    assert not proto.tensor_content
    assert bits(tf.make_ndarray(proto)) == bits(finite)
    assert bits(np.asarray(values(proto), array.dtype)) == bits(finite)


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_strings(strings):
    array = np.array(strings, object)
    proto = TensorProto()
    tensor_proto.fill(proto, array)
    assert list(proto.string_val) == strings
    assert tf.make_ndarray(proto).tolist() == strings
    assert values(proto).tolist() == strings
    assert tensor_proto.column(proto, tf.string) == (strings or None)
    assert list(values(tf.make_tensor_proto(array, tf.string))) == strings


def test_values_are_where_clients_look_for_them():
    proto = TensorProto()
    tensor_proto.fill(proto, np.array([[0.5], [2.0]], np.float32))
    assert proto.float_val == [0.5, 2.0]
    assert [dim.size for dim in proto.tensor_shape.dim] == [2, 1]


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (tf.make_tensor_proto(1.5, shape=[3]), [1.5, 1.5, 1.5]),
        (tf.make_tensor_proto(b"a", shape=[2, 2]), [[b"a", b"a"], [b"a", b"a"]]),
        (TensorProto(dtype=9, int64_val=[1, 2], tensor_shape={"dim": [{"size": 4}]}), [1, 2, 2, 2]),
        (TensorProto(dtype=1, tensor_shape={"dim": [{"size": 2}]}), [0.0, 0.0]),
        (TensorProto(dtype=7, tensor_shape={"dim": [{"size": 2}]}), [b"", b""]),
        (TensorProto(dtype=4, int_val=[255, 0], tensor_shape={"dim": [{"size": 2}]}), [255, 0]),
    ],
)
def test_the_last_value_is_repeated_up_to_the_shape(proto, expected):
    assert np.asarray(values(proto)).tolist() == expected


def test_strings_as_content():
    # What C++ clients send: the lengths as varints, then the bytes.
    content = bytes([1, 0, 200, 1]) + b"a" + b"b" * 200
    proto = TensorProto(dtype=7, tensor_content=content, tensor_shape={"dim": [{"size": 3}]})
    assert list(values(proto)) == [b"a", b"", b"b" * 200]


@pytest.mark.parametrize(
    "proto",
    [
        tf.make_tensor_proto([1.0, 2.0], tf.float64),
        tf.make_tensor_proto([1.0, 2.0], shape=[2, 1]),
        tf.make_tensor_proto(1.0),
        tf.make_tensor_proto(1.0, shape=[2]),
        tf.make_tensor_proto(np.array([1, 2], np.float32).astype(np.float16)),
        TensorProto(dtype=1, tensor_shape={"dim": [{"size": 0}]}),
        TensorProto(
            dtype=1, float_val=[1], tensor_content=b"1234", tensor_shape={"dim": [{"size": 1}]}
        ),
    ],
)
def test_only_the_usual_form_is_a_column(proto):
    assert tensor_proto.column(proto, tf.float32) is None


def test_a_column():
    proto = TensorProto(dtype=9, int64_val=[3, -4], tensor_shape={"dim": [{"size": 2}]})
    assert tensor_proto.column(proto, tf.int64) == [3, -4]


@pytest.mark.parametrize("content", [b"\1", b"\2a", b"\xff\xff\xff\xff\xff\xff", b"\1ab", b"\x80"])
def test_strings_as_content_that_do_not_fit(content):
    proto = TensorProto(dtype=7, tensor_content=content, tensor_shape={"dim": [{"size": 1}]})
    with pytest.raises(ValueError, match="tensor_content"):
        values(proto)


@pytest.mark.parametrize(
    ("proto", "said"),
    [
        (
            TensorProto(dtype=1, tensor_content=b"12345", tensor_shape={"dim": [{"size": 1}]}),
            "tensor_content of 5 bytes for 1 values of float",
        ),
        (
            TensorProto(dtype=4, int_val=[255, 257], tensor_shape={"dim": [{"size": 2}]}),
            "int_val 1 is 257, uint8 holds 0 to 255",
        ),
        (
            TensorProto(dtype=6, int_val=[-129], tensor_shape={"dim": [{"size": 1}]}),
            "int_val 0 is -129, int8 holds -128 to 127",
        ),
        (
            TensorProto(dtype=19, half_val=[65536], tensor_shape={"dim": [{"size": 1}]}),
            "half_val 0 is 65536, uint16 holds 0 to 65535",
        ),
        (
            TensorProto(dtype=1, float_val=[1, 2, 3], tensor_shape={"dim": [{"size": 2}]}),
            r"3 values for shape \[2\]",
        ),
        (
            TensorProto(dtype=7, string_val=[b"a", b"b"], tensor_shape={"dim": [{"size": 1}]}),
            r"2 values for shape \[1\]",
        ),
        (TensorProto(dtype=1, tensor_shape={"dim": [{"size": -1}]}), "shape is not fully known"),
        (TensorProto(dtype=1, tensor_shape={"unknown_rank": True}), "shape is not fully known"),
        (TensorProto(dtype=20), "resource are not served"),
        (TensorProto(), "invalid are not served"),
        (
            TensorProto(dtype=8, scomplex_val=[1], tensor_shape={"dim": [{"size": 1}]}),
            "half a value",
        ),
        (
            TensorProto(dtype=1, float_val=[1], tensor_shape={"dim": [{"size": 10**9}]}),
            "takes more than",
        ),
        (
            TensorProto(dtype=9, tensor_shape={"dim": [{"size": 2**40}, {"size": 2**40}]}),
            "takes more than",
        ),
    ],
)
def test_what_does_not_fit_is_named(proto, said):
    with pytest.raises(ValueError, match=said):
        values(proto)


@given(st.binary(max_size=60), st.integers(0, 40), st.lists(st.integers(-2, 5), max_size=3))
def test_no_message_does_more_than_raise_value_error(content, dtype, shape):
    proto = TensorProto(
        dtype=dtype, tensor_content=content, tensor_shape={"dim": [{"size": s} for s in shape]}
    )
    try:
        found = values(proto)
    except ValueError:
        return
    assert np.shape(found) == tuple(shape)
