"""The SavedModel: every signature gives the network's own answers, with nothing but TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from test_transform import small_world

from mfx import tensors, user_module
from mfx.export import export, put_weights
from mfx.tf_examples import serialize

ROWS = {
    "x": [1.0, None, -2.5, 0.0, 1e6, None],
    "word": [b"a", b"b", None, b"zebra", "café".encode(), None],
    "y": [1, 0, None, 1, 0, 1],
}
SCHEMA = pa.schema([("x", pa.float32()), ("word", pa.binary()), ("y", pa.int64())])
BATCH = pa.RecordBatch.from_pydict(ROWS, SCHEMA)


class Exported:
    def __init__(self, folder: Path) -> None:
        import tensorflow_transform as tft

        world = small_world()
        self.folder = folder / "model"
        self.network = user_module.load(world.settings).build_model()
        self.graph = tft.TFTransformOutput(str(world.graph.save_to(folder / "graph")))
        export(self.network, self.graph, ["y"], self.folder)
        # An embedding of zeros would hide a wrong word.
        for variable in self.network.trainable_variables:
            values = np.random.default_rng(len(variable.shape)).normal(size=variable.shape)
            variable.assign(values)
        put_weights(self.network, self.folder)
        self.loaded = tf.saved_model.load(str(self.folder))
        self.signatures = self.loaded.signatures

    def expected(self, batch: pa.RecordBatch) -> np.ndarray:
        """The network on what the transform graph makes of the rows."""
        layer = self.graph.transform_features_layer()
        features = layer(tensors.sparse_inputs(batch, batch.schema.names))
        inputs = {name: features[name] for name in ("x", "word")}
        return self.network(inputs, training=False).numpy()

    def served(self, batch: pa.RecordBatch) -> np.ndarray:
        examples = tf.constant(list(serialize(batch)), tf.string)
        return self.signatures["serving_default"](examples)["outputs"].numpy()

    def predicted(self, batch: pa.RecordBatch) -> np.ndarray:
        predict = self.signatures["predict"]
        specs = predict.structured_input_signature[1]
        return predict(**tensors.dense_inputs(batch, specs))["outputs"].numpy()


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Exported:
    return Exported(tmp_path_factory.mktemp("export"))


def test_signatures_and_their_tensors(exported):
    assert sorted(exported.signatures) == ["predict", "serving_default", "transform_features"]
    inputs = {
        name: {k: (s.dtype, s.shape.as_list()) for k, s in f.structured_input_signature[1].items()}
        for name, f in exported.signatures.items()
    }
    examples = {"examples": (tf.string, [None])}
    assert inputs["serving_default"] == inputs["transform_features"] == examples
    # The label's column is not asked for.
    assert inputs["predict"] == {"x": (tf.float32, [None]), "word": (tf.string, [None])}
    for name in ("predict", "serving_default"):
        assert exported.signatures[name].structured_outputs["outputs"].shape.as_list() == [None, 1]


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
    expected = exported.graph.transform_features_layer()(tensors.sparse_inputs(BATCH, SCHEMA.names))
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
# TensorFlow loads some of Keras by itself; what is left cannot come in from here on.
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
    """Copied elsewhere too: no path of where it was made is left in it."""
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
    """Lookup tables and statistics, also in a model within the model, come along."""
    import keras
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
    served = predict(**tensors.dense_inputs(BATCH, specs))["outputs"].numpy()
    features = graph.transform_features_layer()(tensors.sparse_inputs(BATCH, BATCH.schema.names))
    expected = network({name: features[name] for name in inputs}, training=False).numpy()
    assert served == pytest.approx(expected, abs=1e-6)
    names = tf.train.load_checkpoint(str(tmp_path / "model" / "variables" / "variables"))
    assert not [n for n in names.get_variable_to_shape_map() if "optimizer" in n]
