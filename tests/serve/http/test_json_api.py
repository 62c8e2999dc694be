"""From TF Serving's JSON to inputs, and from outputs to JSON."""

from __future__ import annotations

import base64
import json
import math
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mfx.serve.errors import RequestError
from mfx.serve.http import json_answers, json_examples, json_text
from mfx.serve.http.json_api import PredictReader
from mfx.serve.model import Signature, Tensor

LOWEST = -(2**63)


def signature(name="serving_default", batched=True, **inputs):
    tensors = {key: Tensor(dtype, shape) for key, (dtype, shape) in inputs.items()}
    return Signature(name, "tensorflow/serving/predict", tensors, {}, None, batched)


ROWS = {"a": (tf.float32, (None,)), "b": (tf.int64, (None,)), "c": (tf.string, (None,))}
PREDICT = PredictReader(signature("predict", **ROWS))
DEFAULT = PredictReader(signature(**ROWS))
PAIRS = PredictReader(signature(x=(tf.float32, (None, 2))))
TEXT = PredictReader(signature(x=(tf.string, (None,))))


def read(reader, document):
    if not isinstance(document, bytes):
        document = json.dumps(document).encode()
    return reader.read(json_text.read_object(document))


def refused(reader, document, code="INVALID_ARGUMENT"):
    with pytest.raises(RequestError) as caught:
        read(reader, document)
    assert caught.value.code == code
    return caught.value.message


def test_rows_of_named_values():
    row = {"a": 1.5, "b": 2, "c": "é"}
    assert read(DEFAULT, {"instances": [row]}) == (
        {"a": [1.5], "b": [2], "c": ["é".encode()]},
        1,
        True,
    )
    inputs, rows, as_rows = read(DEFAULT, {"instances": [row, {"a": 1, "b": -1, "c": ""}]})
    assert (inputs, rows, as_rows) == (
        {"a": [1.5, 1], "b": [2, -1], "c": ["é".encode(), b""]},
        2,
        True,
    )


def test_rows_of_one_input_are_plain_values_lists_or_objects():
    assert read(TEXT, {"instances": ["x", {"b64": "/w=="}]})[0] == {"x": [b"x", b"\xff"]}
    assert read(TEXT, {"instances": [{"x": "y"}]})[0] == {"x": [b"y"]}
    inputs, rows, _ = read(PAIRS, {"instances": [[1, 2.5], [3, 4]]})
    assert rows == 2 and inputs["x"].dtype == np.float32
    assert inputs["x"].tolist() == [[1, 2.5], [3, 4]]


def test_columns():
    given_columns = {"inputs": {"a": [1, 2], "b": [3, 4], "c": ["x", {"b64": "YQ"}]}}
    assert read(DEFAULT, given_columns) == (
        {"a": [1, 2], "b": [3, 4], "c": [b"x", b"a"]},
        2,
        False,
    )
    assert read(PAIRS, {"inputs": [[1, 2]]})[0]["x"].tolist() == [[1, 2]]
    assert read(PAIRS, {"inputs": {"x": [[1, 2]]}})[1:] == (1, False)


def test_many_single_values_are_an_array():
    columns = {"a": [0.5] * 2000, "b": [2**62] * 2000, "c": ["x"] * 2000}
    inputs, rows, _ = read(DEFAULT, {"inputs": columns})
    assert rows == 2000 and inputs["a"].dtype == np.float32 and inputs["b"].dtype == np.int64
    assert inputs["b"].tolist() == columns["b"] and inputs["c"] == [b"x"] * 2000


def test_a_signature_of_fixed_sizes_takes_its_inputs_whole():
    reader = PredictReader(signature(batched=False, x=(tf.float32, ()), y=(tf.int32, (2,))))
    inputs, rows, _ = read(reader, {"inputs": {"x": 3, "y": [1, 2]}})
    assert inputs["x"].shape == () and inputs["y"] == [1, 2] and rows == 1
    assert "expecting shape [2] but got: [3]" in refused(reader, {"inputs": {"x": 3, "y": [1] * 3}})


def test_null_and_what_is_left_out_are_missing_on_predict_alone():
    rows = {"instances": [{"a": None, "b": None, "c": None}, {"b": 5}]}
    inputs, *_ = read(PREDICT, rows)
    assert inputs["b"] == [LOWEST, 5] and inputs["c"] == [b"", b""]
    assert all(map(math.isnan, inputs["a"]))
    assert read(PREDICT, {"inputs": {"a": [1], "b": [None], "c": ["x"]}})[0]["b"] == [LOWEST]
    assert "Missing named input: a" in refused(PREDICT, {"inputs": {"b": [1], "c": ["x"]}})
    nulls = {"instances": [{"a": None, "b": 1, "c": ""}]}
    assert "Type: Null is not of expected type: float" in refused(DEFAULT, nulls)
    assert "keys must be equal to: a,b,c" in refused(DEFAULT, {"instances": [{"b": 5}]})
    # Only for inputs with one value per row and a dtype that can be missing.
    lists = PredictReader(signature("predict", x=(tf.float32, (None, 2))))
    assert "Type: Null" in refused(lists, {"instances": [[1, None]]})
    flags = PredictReader(signature("predict", x=(tf.bool, (None,)), y=(tf.int64, (None,))))
    assert "Type: Null" in refused(flags, {"instances": [{"x": None, "y": 1}]})
    assert "keys must be equal" in refused(flags, {"instances": [{"y": 1}]})


LISTS = PredictReader(
    signature("predict", ids=(tf.int64, (None, None)), words=(tf.string, (None, None)))
)


def test_lists_of_different_lengths_are_filled_up_on_predict():
    rows = [{"ids": [1, 2], "words": []}, {"ids": None, "words": ["é", ""]}, {"ids": [3]}]
    expected = {
        "ids": [[1, 2], [LOWEST, LOWEST], [3, LOWEST]],
        "words": [[b"", b""], ["é".encode(), b""], [b"", b""]],
    }
    columns = {"ids": [[1, 2], None, [3]], "words": [[], ["é", ""], None]}
    for document in ({"instances": rows}, {"inputs": columns}):
        inputs, count, _ = read(LISTS, document)
        assert {name: array.tolist() for name, array in inputs.items()} == expected
        assert count == 3


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"ids": 1, "words": []}, "expecting shape [-1,-1] but got: [1]"),
        ({"ids": [[1]], "words": []}, "expecting shape [-1,-1] but got: [1,1,1]"),
        ({"ids": [None], "words": []}, "JSON Value: null"),
        ({"ids": ["a"], "words": []}, "is not of expected type: int64"),
    ],
)
def test_lists_that_do_not_fit_are_refused(row, said):
    assert said in refused(LISTS, {"instances": [row]})


def test_lists_of_different_lengths_are_refused_elsewhere():
    reader = PredictReader(signature(ids=(tf.int64, (None, None))))
    assert "unexpected size" in refused(reader, {"instances": [[1], [1, 2]]})


def test_literals_are_numbers():
    inputs, *_ = read(DEFAULT, b'{"instances":[{"a":-Infinity,"b":1,"c":"NaN"}]}')
    assert inputs == {"a": [-math.inf], "b": [1], "c": [b"NaN"]}
    assert math.isnan(read(PAIRS, b'{"instances": [[NaN, 1]]}')[0]["x"][0, 0])


# The texts of TF Serving's json_tensor.cc.
BAD_ROWS = [
    ([{"a": 1, "b": 2.0, "c": ""}], "JSON Value: 2.0 Type: Number is not of expected type: int64"),
    ([{"a": 1, "b": 2**63, "c": ""}], "is not of expected type: int64"),
    ([{"a": 1, "b": True, "c": ""}], "JSON Value: true Type: True is not of expected type: int64"),
    ([{"a": "x", "b": 1, "c": ""}], 'JSON Value: "x" Type: String is not of expected type: float'),
    ([{"a": 1, "b": 1, "c": 1}], "JSON Value: 1 Type: Number is not of expected type: string"),
    ([{"a": 1, "b": 1, "c": {"b64": "?"}}], "Unable to base64 decode"),
    ([{"a": 1, "b": 1, "c": {"b65": ""}}], "not formatted correctly for base64 data"),
    ([{"a": 1, "b": 1, "c": "", "d": 1}], "JSON object: does not have named input: d"),
    ([{"a": [1], "b": 1, "c": ""}], "Input a: expecting shape [-1] but got: [1,1]"),
    ([1], "instances is a plain list, but expecting list of objects"),
    ([{"a": 1, "b": 1, "c": ""}, 1], "Expecting object but got list at item 1 of input list"),
    ([], "No values in 'instances' array"),
    ({}, "Expecting 'instances' to be an list/array"),
]


@pytest.mark.parametrize(("instances", "message"), BAD_ROWS)
def test_bad_rows(instances, message):
    assert message in refused(PREDICT, {"instances": instances})


BIG = 3.4028235677973366e38  # From here on, float32 is infinite.


@pytest.mark.parametrize(
    ("dtype", "value", "said"),
    [
        (tf.int64, 2**63, "whole numbers from -9223372036854775808 to 9223372036854775807"),
        (tf.int64, 10**30, "is not of expected type: int64. An int64 holds whole numbers"),
        (tf.int64, 1.5, "JSON Value: 1.5 Type: Number is not of expected type: int64. An int64"),
        (tf.int64, -(2**63) - 1, "is not of expected type: int64"),
        (tf.int32, 2**31, "An int32 holds whole numbers from -2147483648 to 2147483647"),
        (tf.int32, -(2**31) - 1, "is not of expected type: int32"),
        (tf.uint8, 256, "from 0 to 255"),
        (tf.uint8, -1, "from 0 to 255"),
        (tf.int8, 1e2, "JSON Value: 100.0 Type: Number is not of expected type: int8"),
        (tf.float32, 1e39, "Cannot convert JSON value: 1e+39 to float without loss of precision"),
        (tf.float32, BIG, "A float holds numbers from -3.4028235e+38 to 3.4028235e+38"),
        (tf.float32, -1e300, "to float without loss"),
        (tf.float32, 2**24 + 1, "JSON value: 16777217 to float without loss of precision"),
        (tf.float32, -(2**62) - 1, "and all whole numbers up to 16777216"),
        (tf.float64, 2**53 + 1, "JSON value: 9007199254740993 to double without loss"),
        (tf.float32, True, "JSON Value: true Type: True is not of expected type: float"),
        (tf.int64, False, "Type: False is not of expected type: int64"),
        (tf.bool, 1, "Type: Number is not of expected type: bool"),
        (tf.int64, None, "Type: Null is not of expected type: int64"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_with_their_place(dtype, value, said):
    reader = PredictReader(signature(x=(dtype, (None,))))
    one = True if dtype == tf.bool else 1
    row = refused(reader, {"instances": [{"x": value}]})
    assert row.startswith("Failed to process element: 0 key: x of 'instances'") and said in row
    for rows in ([one] * 3, [one] * 2000):
        row = refused(reader, {"instances": [*rows, value]})
        assert row.startswith(f"Failed to process element: {len(rows)} of") and said in row
        column = refused(reader, {"inputs": [*rows, value]})
        assert column.startswith(f"Input: x, row {len(rows)}: ") and said in column


def test_no_number_hides_behind_nan():
    reader = PredictReader(signature(x=(tf.float32, (None,))))
    for body in (b"[NaN, 1e39]", b"[1, NaN, 1e39]", b"[NaN, -1e39, 1]", b"[Infinity, 16777217]"):
        message = refused(reader, b'{"instances": ' + body + b"}")
        assert "without loss of precision" in message


@given(st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_read_as_a_float_is_its_nearest(number):
    reader = PredictReader(signature(x=(tf.float32, (None,)), y=(tf.float64, (None,))))
    for name, kind in (("x", np.float32), ("y", np.float64)):
        document = {"instances": [{"x": 0, "y": 0, name: number}]}
        with np.errstate(over="ignore"):
            near = kind(number)
        fits = np.isfinite(near) and (type(number) is float or int(near) == number)
        if fits:
            assert read(reader, document)[0][name] == [number]
        else:
            assert "without loss of precision" in refused(reader, document)


def test_a_bad_value_is_found_in_its_row():
    rows = [{"a": 1, "b": 1, "c": "x"}] * 2 + [{"a": 1, "b": "no", "c": "x"}]
    assert refused(DEFAULT, {"instances": rows}) == (
        "Failed to process element: 2 key: b of 'instances' list. Error: INVALID_ARGUMENT: "
        'JSON Value: "no" Type: String is not of expected type: int64'
    )
    assert "element: 1 of 'instances'" in refused(PAIRS, {"instances": [[1, 2], [3, "x"]]})
    unlike = refused(PAIRS, {"instances": [[1, 2], [3]]})
    assert "element: 1" in unlike and "unexpected size: 1 at level: 0 expected size: 2" in unlike
    assert "element: 1" in refused(PAIRS, {"instances": [[1, 2], 3]})
    assert "[-1,2] but got: [1,3]" in refused(PAIRS, {"instances": [[1, 2, 3]]})
    assert "unexpected level" in refused(PAIRS, {"instances": [[1, [2]]]})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error"),
        (b'{"instances": [1', "JSON Parse error"),
        (b'{"instances": [1e999]}', "JSON Parse error"),
        (b'{"instances": [NaN, 1e999]}', "Number too big to be stored in double."),
        (b'{"instances": [NaN}', "JSON Parse error"),
        (b'{"instances": ["\xff"]}', "JSON Parse error"),
        (b'{"a":' + b"[" * 100_000, "JSON Parse error"),
        (b'{"a": NaN, "b":' + b"[" * 100_000, "JSON Parse error"),
        (b'["NaN", 1]', 'JSON Value: ["NaN", 1] Is not object'),
        (b'{"instances": [NaN, "\\ud800"]}', "Type: String"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (b'{"inputs": [1], "instances": [1]}', "expecting only one of 'inputs' or 'instances'"),
    ],
)
def test_bad_documents(body, message):
    assert message in refused(PAIRS, body)


def test_bad_columns():
    assert "plain value/list" in refused(DEFAULT, {"inputs": [1]})
    different = {"inputs": {"a": [1], "b": [1], "c": ["x", "y"]}}
    assert "different numbers of rows" in refused(DEFAULT, different)
    assert "No rows" in refused(TEXT, {"inputs": []})
    assert "but got: []" in refused(TEXT, {"inputs": "x"})


def test_a_long_value_is_quoted_in_part():
    assert len(refused(TEXT, {"instances": [["x" * 10**6] * 3, 1]})) < 500
    assert len(refused(PAIRS, {"instances": ["x" * 10**7]})) < 500


def test_dtypes_without_json():
    reader = PredictReader(signature(x=(tf.complex64, (None,))))
    assert "to type: complex64" in refused(reader, {"instances": [1]}, "UNIMPLEMENTED")


@pytest.mark.parametrize("item", [b"{}", b"[[]]", b'{"a":1}', b'"ab"', b"1.5", b"[1,2]"])
def test_what_json_takes_in_memory_is_told_before_it_is_read(item):
    """At least as much memory as Python says that the objects take."""
    body = b"[" + (item + b",") * 99_999 + item + b"]"

    def taken(value):
        inner = value.values() if type(value) is dict else value if type(value) is list else ()
        return sys.getsizeof(value) + sum(map(taken, inner))

    at_least = taken(json.loads(body)[:1000]) * 100
    with pytest.raises(RequestError, match="of memory when it is read") as caught:
        json_text.check_fits(body, at_least)
    assert caught.value.code == "INVALID_ARGUMENT"
    json_text.check_fits(body, 80 * len(body))


def test_signature_name():
    assert json_text.signature_name({"signature_name": "x"}) == "x"
    assert json_text.signature_name({}) == ""
    with pytest.raises(RequestError, match="'signature_name' key must be a string value"):
        json_text.signature_name({"signature_name": 1})


VALUES = st.fixed_dictionaries(
    {
        "a": st.floats(width=32),
        "b": st.integers(LOWEST, 2**63 - 1),
        "c": st.text(st.characters(exclude_categories=["Cs"])),
    }
)


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_rows_and_columns_are_read_alike(rows):
    as_rows, *_ = read(DEFAULT, {"instances": rows})
    columns = {name: [row[name] for row in rows] for name in ROWS}
    as_columns, *_ = read(DEFAULT, {"inputs": columns})
    np.testing.assert_equal(as_rows, as_columns)
    np.testing.assert_equal(as_rows["a"], columns["a"])
    assert as_rows["b"] == columns["b"]
    assert as_rows["c"] == [text.encode() for text in columns["c"]]


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3), elements=st.floats(width=32)))
def test_floats_come_back_bit_for_bit(array):
    shape = (None, *array.shape[1:])
    written = json_answers.predictions({"x": array}, rows=False)
    given_back = {"inputs": json.loads(written)["outputs"]}
    reader = PredictReader(signature(x=(tf.float32, shape)))
    again, rows, _ = read(reader, given_back)
    assert rows == len(array)
    np.testing.assert_array_equal(np.asarray(again["x"], np.float32), array)


@given(st.lists(st.binary(), min_size=1, max_size=4))
def test_bytes_come_back(values):
    array = np.empty(len(values), object)
    array[:] = values
    written = json_answers.predictions({"x_bytes": array}, rows=True)
    inputs, *_ = read(TEXT, {"instances": json.loads(written)["predictions"]})
    assert inputs["x"] == values


@given(st.binary(max_size=200), st.integers(1, 80), st.sampled_from(["\n", "\r\n", " ", "\t"]))
def test_base64_in_lines(value, width, end):
    text = base64.b64encode(value).decode()
    lines = end.join(text[at : at + width] for at in range(0, len(text), width)) + end
    for given_text in (lines, lines.replace("=", "")):
        assert read(TEXT, {"instances": [{"b64": given_text}]})[0]["x"] == [value]


def test_base64_for_urls_is_refused_with_a_hint():
    message = refused(TEXT, {"instances": [{"b64": "_-8="}]})
    assert 'Unable to base64 decode: "_-8="; use + and / instead of - and _' in message
    assert "alphabet" not in refused(TEXT, {"instances": [{"b64": "é"}]})


def test_answers():
    scores = np.array([[0.2, 5]], np.float32)
    assert json_answers.predictions({"s": scores}, rows=True) == b'{"predictions":[[0.2,5.0]]}'
    assert json_answers.predictions({"s": scores}, rows=False) == b'{"outputs":[[0.2,5.0]]}'
    both = {"n": np.array([7], np.int64), "s": scores, "t": np.array([b"null"], object)}
    assert json.loads(json_answers.predictions(both, rows=True)) == {
        "predictions": [{"n": 7, "s": [0.2, 5.0], "t": "null"}]
    }
    assert json.loads(json_answers.predictions(both, rows=False)) == {
        "outputs": {"n": [7], "s": [[0.2, 5.0]], "t": ["null"]}
    }
    literals = {"s": np.array([0.2, np.nan, -np.inf], np.float32)}
    assert json_answers.predictions(literals, rows=True) == b'{"predictions":[0.2,NaN,-Infinity]}'
    mixed = {"s": np.array([np.nan, 1], np.float32), "t": np.array([b"a", b"null"], object)}
    assert json_answers.predictions(mixed, rows=True) == (
        b'{"predictions":[{"s":NaN,"t":"a"},{"s":1.0,"t":"null"}]}'
    )
    assert json_answers.predictions({"x": np.array(2.5, np.float32)}, rows=False) == (
        b'{"outputs":2.5}'
    )


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"x": np.float32(1)}, "Tensor name: x has no shape information"),
        ({"x": np.zeros(2), "y": np.zeros(3)}, "y has inconsistent batch size: 3 expecting: 2"),
        ({"x": np.array([b"\xff"], object)}, "x is not UTF-8"),
        ({"x": np.zeros(1, np.complex64)}, "tensor type: complex64"),
    ],
)
def test_outputs_without_json(outputs, message):
    outputs = {name: np.asarray(array) for name, array in outputs.items()}
    with pytest.raises(RequestError, match=message):
        json_answers.predictions(outputs, rows=True)


def test_classifications_and_regressions():
    classes = np.array([[b"a", b"b"]], object)
    scores = np.array([[0.1, np.inf]], np.float32)
    both = {"classes": classes, "scores": scores}
    assert json_answers.classifications(both) == b'{"results":[[["a",0.1],["b",Infinity]]]}'
    # Missing fields have proto3's default.
    assert (
        json_answers.classifications({"classes": classes}) == b'{"results":[[["a",0.0],["b",0.0]]]}'
    )
    assert json.loads(json_answers.classifications({"scores": scores[:, :1]})) == {
        "results": [[["", 0.1]]]
    }
    with pytest.raises(RequestError, match="Expected Tensor shape"):
        json_answers.classifications({"scores": scores[0]})
    assert json_answers.regressions({"outputs": scores[:, :1]}) == b'{"results":[0.1]}'
    with pytest.raises(RequestError, match="Expected output Tensor shape"):
        json_answers.regressions({"outputs": scores})


def examples(document):
    found = json_examples.read_examples(document, "classify")
    return [tf.train.Example.FromString(example).features.feature for example in found]


def test_examples():
    (first, second) = examples(
        {
            "context": {"city": "x", "n": 1},
            "examples": [
                {"n": 2, "f": [1.5, 2.0], "s": ["a", {"b64": "/w=="}], "flag": True, "none": []},
                {},
            ],
        }
    )
    assert first["n"].int64_list.value == [2] and second["n"].int64_list.value == [1]
    assert first["city"].bytes_list.value == [b"x"]
    assert first["f"].float_list.value == [1.5, 2.0]
    assert first["s"].bytes_list.value == [b"a", b"\xff"]
    assert first["flag"].int64_list.value == [1]
    assert first["none"].WhichOneof("kind") is None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "When method is classify, key 'examples' is expected and was not found"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"a": None}]}, "Feature: a has element with unexpected JSON type: Null"),
        ({"examples": [{"a": [[1]]}]}, "Feature: a has element with unexpected JSON type: Array"),
        (
            {"examples": [{"a": [1, 2.5]}]},
            "Unexpected element type in feature: a expecting type: int64",
        ),
        ({"examples": [{"a": 2**63}]}, "Feature: a has uint64_t element"),
        ({"examples": [{}, {"a": 1e39}]}, r"a has 1e\+39; a float holds .* \(in example 1\)"),
        ({"examples": [{"a": {"b64": "?"}}]}, "Unable to base64 decode"),
        ({"examples": [{"a": "\ud800"}]}, "Feature: a"),
        ({"context": 1, "examples": [{}]}, "Example must be JSON object"),
    ],
)
def test_bad_examples(document, message):
    with pytest.raises(RequestError, match=message) as caught:
        examples(document)
    assert caught.value.code == "INVALID_ARGUMENT"


def test_methods():
    def of(method, inputs, outputs):
        tensors = {name: Tensor(tf.string, (None,)) for name in inputs}
        return Signature("s", f"tensorflow/serving/{method}", tensors, dict.fromkeys(outputs), None)

    json_answers.check_method(of("classify", ["inputs"], ["scores"]), "classify")
    json_answers.check_method(of("regress", ["inputs"], ["outputs"]), "regress")
    for signature_, method, message in [
        (of("predict", ["inputs"], ["scores"]), "classify", "Was: tensorflow/serving/predict"),
        (of("classify", ["a", "b"], ["scores"]), "classify", "Expected one input Tensor."),
        (of("classify", ["a"], ["scores"]), "classify", "No classification inputs"),
        (of("regress", ["inputs"], ["scores"]), "regress", "Expected regression signature outputs"),
    ]:
        with pytest.raises(RequestError, match=message):
            json_answers.check_method(signature_, method)
