"""An exported model with rows to ask it for; TF 1's session, as model servers have it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf

from helpers.small_world import small_world
from mfx.columns import raw_features
from mfx.columns.tf_examples import serialize
from mfx.export.saved_model import export, put_weights
from mfx.user_code import loading

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
        self.network = loading.load(world.settings).build_model()
        self.graph = tft.TFTransformOutput(str(world.graph.save_to(folder / "graph")))
        export(self.network, self.graph, ["y"], self.folder, ["no", "yes"])
        # An embedding of zeros would hide a wrong word.
        for variable in self.network.trainable_variables:
            values = np.random.default_rng(len(variable.shape)).normal(size=variable.shape)
            variable.assign(values)
        put_weights(self.network, self.folder)
        self.loaded = tf.saved_model.load(str(self.folder))
        self.signatures = self.loaded.signatures

    def transformed(self, batch: pa.RecordBatch) -> dict[str, tf.Tensor]:
        """What the transform graph makes of the rows."""
        layer = self.graph.transform_features_layer()
        return layer(raw_features.raw_inputs(batch, self.graph.raw_feature_spec()))

    def expected(self, batch: pa.RecordBatch) -> np.ndarray:
        """The network on what the transform graph makes of the rows."""
        features = self.transformed(batch)
        inputs = {name: features[name] for name in ("x", "word")}
        return self.network(inputs, training=False).numpy()

    def served(self, batch: pa.RecordBatch) -> np.ndarray:
        examples = tf.constant(list(serialize(batch)), tf.string)
        return self.signatures["serving_default"](examples)["outputs"].numpy()

    def predicted(self, batch: pa.RecordBatch) -> np.ndarray:
        predict = self.signatures["predict"]
        specs = predict.structured_input_signature[1]
        return predict(**raw_features.dense_inputs(batch, specs))["outputs"].numpy()

    @property
    def meta_graph(self):
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

        saved = SavedModel.FromString((self.folder / "saved_model.pb").read_bytes())
        (meta_graph,) = saved.meta_graphs
        return meta_graph


class V1Session:
    """The SavedModel as TF Serving runs it."""

    def __init__(self, folder: Path) -> None:
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self.session, ["serve"], str(folder))
        self.signatures = loaded.signature_def

    def ask(self, name: str, **inputs) -> dict[str, np.ndarray]:
        signature = self.signatures[name]
        feeds = {signature.inputs[key].name: value for key, value in inputs.items()}
        fetches = {key: info.name for key, info in signature.outputs.items()}
        return self.session.run(fetches, feeds)
