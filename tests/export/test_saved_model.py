"""Every signature of the SavedModel gives the network's own answers, and needs only TensorFlow."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from helpers.exported import BATCH, SCHEMA, Exported, V1Session
from helpers.small_world import small_world

from mfx.columns import raw_features
from mfx.columns.tf_examples import serialize
from mfx.errors import MfxError
from mfx.export.saved_model import class_names, export, put_weights


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Exported:
    return Exported(tmp_path_factory.mktemp("export"))


def test_signatures_and_their_tensors(exported):
    inputs = {
        name: {k: (s.dtype, s.shape.as_list()) for k, s in f.structured_input_signature[1].items()}
        for name, f in exported.signatures.items()
    }
    # The label's column is no input.
    assert inputs == {
        "serving_default": {"examples": (tf.string, [None])},
        "predict": {"x": (tf.float32, [None]), "word": (tf.string, [None])},
        "classify": {"inputs": (tf.string, [None])},
        "regress": {"inputs": (tf.string, [None])},
        "transform_features": {"examples": (tf.string, [None])},
    }
    outputs = {
        name: {k: (t.dtype, t.shape.as_list()) for k, t in f.structured_outputs.items()}
        for name, f in exported.signatures.items()
    }
    network = {"outputs": (tf.float32, [None, 1])}
    assert outputs["predict"] == outputs["serving_default"] == network
    assert outputs["classify"] == {
        "classes": (tf.string, [None, 2]),
        "scores": (tf.float32, [None, 2]),
    }
    assert outputs["regress"] == {"outputs": (tf.float32, [None])}


def test_methods_are_those_that_tf_serving_looks_for(exported):
    methods = {name: s.method_name for name, s in exported.meta_graph.signature_def.items()}
    assert {name: methods[name] for name in exported.signatures} == {
        "serving_default": tf.saved_model.PREDICT_METHOD_NAME,
        "predict": tf.saved_model.PREDICT_METHOD_NAME,
        "classify": tf.saved_model.CLASSIFY_METHOD_NAME,
        "regress": tf.saved_model.REGRESS_METHOD_NAME,
        "transform_features": tf.saved_model.PREDICT_METHOD_NAME,
    }


def test_naming_the_methods_leaves_equal_bytes(exported):
    """Maps in a protobuf have no fixed order."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    written = (exported.folder / "saved_model.pb").read_bytes()
    assert SavedModel.FromString(written).SerializeToString(deterministic=True) == written


def test_saved_model_cli_shows_the_documented_signatures(exported):
    cli = Path(sys.executable).with_name("saved_model_cli")
    done = subprocess.run(
        [cli, "show", "--dir", exported.folder, "--all"],
        capture_output=True,
        text=True,
        check=True,
    )
    shown = done.stdout.replace("\n", " ")
    for name, kind, inputs, outputs in (
        ("serving_default", "predict", {"examples": "DT_STRING"}, {"outputs": ("DT_FLOAT", 1)}),
        (
            "predict",
            "predict",
            {"word": "DT_STRING", "x": "DT_FLOAT"},
            {"outputs": ("DT_FLOAT", 1)},
        ),
        (
            "classify",
            "classify",
            {"inputs": "DT_STRING"},
            {"classes": ("DT_STRING", 2), "scores": ("DT_FLOAT", 2)},
        ),
        ("regress", "regress", {"inputs": "DT_STRING"}, {"outputs": ("DT_FLOAT", 0)}),
    ):
        part = shown.split(f"signature_def['{name}']:")[1].split("Method name is: ")
        assert part[1].split()[0] == f"tensorflow/serving/{kind}"
        given = dict(re.findall(r"inputs\['(\w+)'\] tensor_info:\s+dtype: (\w+)", part[0]))
        assert given == inputs
        pattern = r"outputs\['(\w+)'\] tensor_info:\s+dtype: (\w+)\s+shape: \(-1(?:, (\d+))?\)"
        found = re.findall(pattern, part[0])
        assert {key: (kind, int(width or 0)) for key, kind, width in found} == outputs


def test_a_v1_session_answers_as_the_eager_signatures(exported):
    """As TensorFlow Serving does it: the graph's own initializers load tables and weights."""
    served = V1Session(exported.folder)
    examples = list(serialize(BATCH))
    for name, key in [
        ("serving_default", "examples"),
        ("classify", "inputs"),
        ("regress", "inputs"),
        ("transform_features", "examples"),
    ]:
        expected = exported.signatures[name](**{key: tf.constant(examples)})
        answers = served.ask(name, **{key: examples})
        assert sorted(answers) == sorted(expected)
        for output, values in answers.items():
            assert values.tolist() == expected[output].numpy().tolist(), (name, output)
    predict = exported.signatures["predict"]
    dense = raw_features.dense_inputs(BATCH, predict.structured_input_signature[1])
    answers = served.ask("predict", **{name: t.numpy() for name, t in dense.items()})
    assert answers["outputs"].tolist() == predict(**dense)["outputs"].numpy().tolist()
    assert answers["outputs"] == pytest.approx(exported.expected(BATCH), abs=1e-7)


def test_classes_with_their_probabilities(exported):
    examples = tf.constant(list(serialize(BATCH)))
    classified = exported.signatures["classify"](inputs=examples)
    assert classified["classes"].numpy().tolist() == [[b"no", b"yes"]] * BATCH.num_rows
    second = exported.expected(BATCH)
    expected = np.concatenate([1 - second, second], axis=1)
    assert classified["scores"].numpy() == pytest.approx(expected, abs=1e-7)
    regressed = exported.signatures["regress"](inputs=examples)["outputs"]
    assert regressed.numpy() == pytest.approx(second[:, 0], abs=1e-7)


def test_all_ways_to_ask_give_the_networks_answer(exported):
    expected = exported.expected(BATCH)
    assert len(np.unique(expected)) > 3
    assert exported.served(BATCH) == pytest.approx(expected, abs=1e-7)
    assert exported.predicted(BATCH) == pytest.approx(expected, abs=1e-7)


def test_a_row_alone_is_answered_as_among_others(exported):
    expected = exported.expected(BATCH)
    for row in range(BATCH.num_rows):
        alone = BATCH.slice(row, 1)
        assert exported.served(alone) == pytest.approx(expected[row : row + 1], abs=1e-6)
        assert exported.predicted(alone) == pytest.approx(expected[row : row + 1], abs=1e-6)


def test_no_rows_no_answers(exported):
    assert exported.served(BATCH.slice(0, 0)).shape == (0, 1)
    assert exported.predicted(BATCH.slice(0, 0)).shape == (0, 1)


def test_missing_is_what_the_pipeline_fills_in(exported):
    filled = pa.RecordBatch.from_pydict({"x": [0.0], "word": [b""], "y": [0]}, SCHEMA)
    missing = pa.RecordBatch.from_pydict({"x": [None], "word": [None], "y": [None]}, SCHEMA)
    answers = [ask(b) for ask in (exported.served, exported.predicted) for b in (filled, missing)]
    for answer in answers:
        assert answer == pytest.approx(exported.expected(filled), abs=1e-7)


def test_the_label_changes_no_answer(exported):
    place = SCHEMA.get_field_index("y")
    other = pa.RecordBatch.from_arrays(
        [*BATCH.columns[:place], pa.array([9] * BATCH.num_rows)], schema=SCHEMA
    )
    assert exported.served(other).tolist() == exported.served(BATCH).tolist()


def test_transformed_features_come_with_the_label(exported):
    examples = tf.constant(list(serialize(BATCH)))
    features = exported.signatures["transform_features"](examples)
    assert sorted(features) == ["label", "word", "x"]
    assert features["label"].numpy().tolist() == [1, 0, 0, 1, 0, 1]
    expected = exported.transformed(BATCH)
    for name, values in expected.items():
        assert features[name].numpy() == pytest.approx(values.numpy(), abs=1e-6)


def test_dropout_is_off(exported):
    assert exported.served(BATCH).tolist() == exported.served(BATCH).tolist()


BLOCKED = """
import importlib.abc, json, sys

class Blocker(importlib.abc.MetaPathFinder):
    blocked = {"tensorflow_transform", "tfx_bsl", "mfx", "apache_beam", "metaflow"}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.blocked:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
import tensorflow as tf
# TensorFlow itself imports parts of Keras. From here on nothing else of it can be imported.
Blocker.blocked |= {"keras", "tf_keras"}
for name in [m for m in sys.modules if m.split(".")[0] in Blocker.blocked]:
    del sys.modules[name]
tf.io.gfile.listdir("/")
loaded = tf.saved_model.load(sys.argv[1])
examples = [bytes.fromhex(word) for word in sys.argv[2:]]
answers = loaded.signatures["serving_default"](tf.constant(examples))["outputs"]
present = sorted({m.split(".")[0] for m in sys.modules} & Blocker.blocked)
print(json.dumps({"answers": answers.numpy().tolist(), "present": present}))
"""


def test_it_loads_in_a_process_with_only_tensorflow(exported):
    """It can also be copied: it contains no path of the folder where it was made."""
    with tempfile.TemporaryDirectory() as folder:
        moved = Path(folder, "moved")
        exported.folder.rename(moved)
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", BLOCKED, str(moved)]
                + [example.hex() for example in serialize(BATCH)],
                capture_output=True,
                text=True,
                check=False,
                cwd=folder,
            )
        finally:
            moved.rename(exported.folder)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["present"] == []
    assert result["answers"] == pytest.approx(exported.expected(BATCH), abs=1e-6)


def test_networks_of_any_layers(tmp_path):
    """Lookup tables and statistics are exported too, even those of a model inside the model."""
    import tensorflow_transform as tft

    world = small_world()
    graph = tft.TFTransformOutput(str(world.graph.save_to(tmp_path / "graph")))
    inner = keras.Sequential([keras.layers.IntegerLookup(vocabulary=[0, 1, 2])])
    inputs = {"x": keras.Input((), name="x"), "word": keras.Input((), name="word", dtype="int64")}
    x = keras.layers.Reshape((1,))(inputs["x"])
    x = keras.layers.BatchNormalization()(keras.layers.Normalization(mean=1.0, variance=4.0)(x))
    word = keras.layers.Embedding(6, 2)(inner(inputs["word"]))
    joined = keras.layers.Concatenate()([x, word])
    network = keras.Model(inputs, keras.layers.Dense(2)(joined))
    network.compile("adam", "mse")
    export(network, graph, ["y"], tmp_path / "model")
    rows = {"x": np.array([0.5, -1, 2] * 8, "float32"), "word": np.array([0, 1, 3] * 8)}
    network.fit(rows, np.ones((24, 2)), epochs=3, verbose=0)
    put_weights(network, tmp_path / "model")

    predict = tf.saved_model.load(str(tmp_path / "model")).signatures["predict"]
    specs = predict.structured_input_signature[1]
    served = predict(**raw_features.dense_inputs(BATCH, specs))["outputs"].numpy()
    features = graph.transform_features_layer()(
        raw_features.raw_inputs(BATCH, graph.raw_feature_spec())
    )
    expected = network({name: features[name] for name in inputs}, training=False).numpy()
    assert served == pytest.approx(expected, abs=1e-6)
    names = tf.train.load_checkpoint(str(tmp_path / "model" / "variables" / "variables"))
    assert not [n for n in names.get_variable_to_shape_map() if "optimizer" in n]


def small_network(units: int, activation: str | None, loss) -> keras.Model:
    inputs = {"x": keras.Input((), name="x"), "word": keras.Input((), name="word", dtype="int64")}
    word = keras.layers.Embedding(6, 1, embeddings_initializer="ones")(inputs["word"])
    joined = keras.layers.Concatenate()([keras.layers.Reshape((1,))(inputs["x"]), word])
    dense = keras.layers.Dense(units, activation, kernel_initializer="ones")
    network = keras.Model(inputs, dense(joined))
    network.compile("adam", loss)
    return network


BINARY, NUMBER = keras.losses.BinaryCrossentropy(), keras.losses.MeanSquaredError()
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize(
    ("units", "loss", "given", "expected"),
    [
        (1, BINARY, [], ["0", "1"]),
        (1, "binary_crossentropy", ["no", "yes"], ["no", "yes"]),
        (1, keras.losses.binary_crossentropy, [], ["0", "1"]),
        (3, LOGITS, [], ["0", "1", "2"]),
        (3, "categorical_crossentropy", ["a", "b", "c"], ["a", "b", "c"]),
        (1, NUMBER, [], []),
        (2, "mse", [], []),
        (1, NUMBER, ["no", "yes"], ["no", "yes"]),
        (1, lambda y, p: (y - p) ** 2, [], []),
    ],
)
def test_what_a_network_tells_apart(units, loss, given, expected):
    assert class_names(small_network(units, None, loss), given) == expected


@pytest.mark.parametrize(("units", "given"), [(1, ["a"]), (1, ["a", "b", "c"]), (3, ["a", "b"])])
def test_as_many_classes_as_outputs(units, given):
    with pytest.raises(MfxError, match=f"label.classes: {len(given)} classes, .* {units} outputs"):
        class_names(small_network(units, None, BINARY), given)


@pytest.mark.parametrize(
    ("units", "activation", "loss", "names"),
    [
        (1, "sigmoid", BINARY, {"classify", "regress"}),
        (1, None, keras.losses.BinaryCrossentropy(from_logits=True), {"classify", "regress"}),
        (1, None, NUMBER, {"regress"}),
        (3, "softmax", keras.losses.SparseCategoricalCrossentropy(), {"classify"}),
        (3, None, LOGITS, {"classify"}),
        (3, None, NUMBER, set()),
    ],
)
def test_each_task_has_its_signatures(tmp_path, units, activation, loss, names):
    import tensorflow_transform as tft

    graph = tft.TFTransformOutput(str(small_world().graph.save_to(tmp_path / "graph")))
    network = small_network(units, activation, loss)
    export(network, graph, ["y"], tmp_path / "model")
    signatures = tf.saved_model.load(str(tmp_path / "model")).signatures
    assert set(signatures) == {"serving_default", "predict", "transform_features", *names}
    examples = tf.constant(list(serialize(BATCH)))
    # Every output is x + 1, so the probability is sigmoid(x + 1), or a third.
    features = graph.transform_features_layer()(
        raw_features.raw_inputs(BATCH, graph.raw_feature_spec())
    )
    value = features["x"].numpy() + 1
    if "classify" in names:
        scores = signatures["classify"](inputs=examples)["scores"].numpy()
        second = 1 / (1 + np.exp(-value))
        expected = np.stack([1 - second, second], 1) if units == 1 else np.full((6, 3), 1 / 3)
        assert scores == pytest.approx(expected, abs=1e-6)
    if "regress" in names:
        answers = signatures["regress"](inputs=examples)["outputs"].numpy()
        expected = second if "classify" in names else value
        assert answers == pytest.approx(expected, abs=1e-6)
