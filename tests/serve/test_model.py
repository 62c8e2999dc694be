"""A SavedModel in a session gives the same answers as its eager signatures."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.serving_models import small_model

from mfx.serve.batching import Task, Waiting
from mfx.serve.errors import RequestError
from mfx.serve.model import ServedModel
from mfx.serve.parameters import BatchingParameters

ROWS = {"amount": [1.5, float("nan")], "count": [2, 3], "kind": [b"abc", b""]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"), offset=0.5)


@pytest.fixture(scope="module")
def model(folder):
    model = ServedModel(folder, 7, BatchingParameters())
    yield model
    model.close()


def answer(model, signature, inputs, rows):
    waiting = Waiting()
    task = Task(inputs, rows, waiting)
    model.submit(signature, task)
    return waiting.outputs(task, timeout=30)


def test_outputs_are_those_worked_out_by_hand(model):
    assert model.run("predict", ROWS)["score"].tolist() == [7.0, 3.5]
    assert answer(model, "predict", ROWS, 2)["score"].tolist() == [7.0, 3.5]


def test_signatures_tell_names_dtypes_shapes_and_methods(model):
    predict = model.signature("predict")
    assert {n: (t.dtype, t.shape) for n, t in predict.inputs.items()} == {
        "amount": (tf.float32, (None,)),
        "count": (tf.int64, (None,)),
        "kind": (tf.string, (None,)),
    }
    assert model.signature("").name == "serving_default"
    assert model.signature("classify").method == "tensorflow/serving/classify"
    assert predict.batched
    assert "__saved_model_init_op" not in model.signatures


def test_an_unknown_signature_names_those_there_are(model):
    with pytest.raises(RequestError, match=r'"no" not found in signature def.*predict') as error:
        model.signature("no")
    assert error.value.code == "INVALID_ARGUMENT"


def test_what_tensorflow_refuses_is_the_clients_fault(model):
    with pytest.raises(RequestError, match="parse") as error:
        answer(model, "serving_default", {"examples": [b"\xff\xff\xff"]}, 1)
    assert error.value.code == "INVALID_ARGUMENT"
    assert "\n" not in error.value.message


def test_the_flows_model_answers_as_it_does_eagerly(flow_run):
    with flow_run.data.model.payload.files() as folder:
        eager = tf.saved_model.load(str(folder)).signatures["predict"]
        model = ServedModel(folder, 1, BatchingParameters())
    rows = {}
    for name, tensor in model.signature("predict").inputs.items():
        values = {
            tf.string: [b"", b"Cash", b"Credit Card"],
            tf.int64: [tf.int64.min, 0, 7],
            tf.float32: [float("nan"), 0.0, 12.5],
        }
        rows[name] = np.array(values[tensor.dtype], tensor.dtype.as_numpy_dtype)
    expected = eager(**{n: tf.constant(v) for n, v in rows.items()})["outputs"].numpy()
    np.testing.assert_allclose(model.run("predict", rows)["outputs"], expected, rtol=1e-6)
    model.close()


def test_variables_that_are_not_restored_are_found_when_loaded(tmp_path):
    """As exported by Keras 3: the restored variables are not those that the signature reads."""
    weight = keras.Variable(2.0)

    class Keras(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def serve(self, x):
            return {"y": x * weight.value}

    module = Keras()
    module.weights = [weight]
    tf.saved_model.save(module, str(tmp_path), {"serving_default": module.serve})
    with pytest.raises(RuntimeError, match="1 variables are not restored in a v1 session"):
        ServedModel(tmp_path, 1, BatchingParameters())
