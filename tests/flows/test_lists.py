"""A pipeline whose features are lists, from a TFRecord file to a server's answers: tokens, a basket
of ids with weights, pixels with a shape; as sparse and as ragged tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.checkpoints import Checkpoints
from helpers.small_world import write_pipeline
from helpers.storing import saving

from mfx.columns import input_names
from mfx.columns.raw_features import dense_inputs
from mfx.columns.tf_examples import serialize, to_example
from mfx.evaluate.evaluate import ask, evaluate
from mfx.flow import start
from mfx.ingest.ingest import ingest, merge
from mfx.push import infra_validation, servers
from mfx.train import train
from mfx.transform.transform import transform
from mfx.validate.validate import validate

KINDS = {
    "ids": "int64 list",
    "pixels": "float32 list",
    "spam": "int64",
    "tags": "bytes list",
    "tokens": "bytes list",
    "weights": "float32 list",
}
MODEL_PY = """
import keras
import tensorflow as tf
import tensorflow_transform as tft
from mfx.features import fill_missing

def ragged(feature):
    return tf.RaggedTensor.from_sparse(feature) if isinstance(feature, tf.SparseTensor) else feature

def preprocessing_fn(inputs):
    words = ragged(tft.compute_and_apply_vocabulary(inputs["tokens"], num_oov_buckets=1))
    ids, weights = (ragged(inputs[name]) for name in ("ids", "weights"))
    label = inputs["spam"]
    label = label.to_sparse() if isinstance(label, tf.RaggedTensor) else label
    return {
        "tokens": (words + 1).to_tensor(0, shape=[None, 4]),
        "basket": tf.reduce_sum(tf.cast(ids, tf.float32) * weights, axis=1),
        "pixels": tf.reshape(inputs["pixels"], [-1, 4]),
        "spam": fill_missing(label),
    }

def build_model():
    inputs = {
        "tokens": keras.Input((4,), name="tokens", dtype="int64"),
        "basket": keras.Input((), name="basket"),
        "pixels": keras.Input((4,), name="pixels"),
    }
    words = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(10, 4)(inputs["tokens"]))
    joined = [words, keras.layers.Reshape((1,))(inputs["basket"]), inputs["pixels"]]
    output = keras.layers.Dense(1, "sigmoid")(keras.layers.Concatenate()(joined))
    model = keras.Model(inputs, output)
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy")
    return model
"""
CONFIG = """
[pipeline]
name = "lists"
[data]
path = "rows.tfrecord"
[label]
name = "spam"
columns = ["spam"]
[train]
steps = 120
batch_size = 32
epochs = 1
[evaluate]
metrics = ["ExampleCount", "BinaryAccuracy", "AUC"]
select = "auc"
slices = [["tags"]]
[push]
destination = "pushed"
"""


def rows(count: int) -> list[dict]:
    random = np.random.default_rng(5)
    made = []
    for number in range(count):
        spam = int(random.random() < 0.5)
        words = [b"buy", b"now", b"hello", b"friend", "été".encode()]
        first = 0 if spam else 2
        tokens = [words[first + int(n)] for n in random.integers(0, 3, number % 5)]
        ids = random.integers(1, 9, number % 4).tolist()
        made.append(
            {
                "tokens": tokens if number % 11 else None,
                "ids": ids,
                "weights": [random.random() + spam for _ in ids],
                "pixels": random.normal(spam, 1, 4).tolist(),
                "tags": [[], [b"a"], [b"a", b"b"]][number % 3],
                "spam": spam,
            }
        )
    return made


class Trained:
    def __init__(self, folder: Path, as_ragged: bool) -> None:
        self.settings = write_pipeline(folder / "p", MODEL_PY, CONFIG)
        self.rows = rows(400)
        with tf.io.TFRecordWriter(str(folder / "p" / "rows.tfrecord")) as writer:
            for row in self.rows:
                writer.write(to_example(row, KINDS))
        self.sources = start.resolve(self.settings)
        parts = [ingest(shard, self.sources, self.settings) for shard in self.sources.shards]
        self.examples = merge(parts, self.sources)
        _, schema, self.anomalies = validate(self.examples, self.settings)
        if as_ragged:
            text = schema.text + "represent_variable_length_as_ragged: true\n"
            (folder / "p" / "schema.pbtxt").write_text(text)
            assert start.resolve(self.settings).columns == self.sources.columns
            _, schema, self.anomalies = validate(self.examples, self.settings)
        graph, transformed = transform(self.examples, schema, self.settings)
        checkpoints = Checkpoints(folder / "kept")
        self.model = train.train(graph, transformed, self.settings, 0, checkpoints, lambda line: 0)
        _, self.evaluation = evaluate([self.model], self.examples, transformed, self.settings, None)
        self.folder = self.model.save_to(folder / "model")


@pytest.fixture(scope="module", params=[False, True], ids=["sparse", "ragged"])
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    with saving(folder / "datastore"):
        yield Trained(folder, request.param)


def test_columns_are_lists_and_nothing_is_wrong_with_them(trained):
    assert trained.sources.columns == KINDS
    assert trained.anomalies.errors == ()
    tables = [trained.examples.to_arrow(split) for split in ("train", "eval")]
    read = [row for table in tables for row in table.to_pylist()]
    for name in ("ids", "tokens"):
        lengths = [
            [-1 if row[name] is None else len(row[name]) for row in made]
            for made in (read, trained.rows)
        ]
        assert sorted(lengths[0]) == sorted(lengths[1])


def test_it_learned(trained):
    assert trained.evaluation.overall["auc"] > 0.8


def test_a_row_is_in_the_slice_of_each_of_its_tags(trained):
    counts = {str(row.slice): row.metrics["example_count"] for row in trained.evaluation.rows}
    tags = trained.examples.to_arrow("eval", ["tags"])["tags"].to_pylist()
    assert counts == {
        "Overall": len(tags),
        "tags:a": sum(b"a" in each for each in tags),
        "tags:b": sum(b"b" in each for each in tags),
    }


def test_all_signatures_answer_alike(trained):
    (batch,) = trained.examples.batches("eval")
    signatures = tf.saved_model.load(str(trained.folder)).signatures
    examples = tf.constant(list(serialize(batch)))
    arguments = input_names.read(trained.folder)
    taken = signatures["predict"].structured_input_signature[1]
    specs = {title: taken[name] for title, name in arguments.items()}
    assert {name: spec.shape.as_list() for name, spec in specs.items()} == {
        "ids": [None, None],
        "pixels": [None, 4],
        "tags": [None, None],
        "tokens": [None, None],
        "weights": [None, None],
    }
    given = dense_inputs(batch, specs)
    answers = signatures["predict"](**{arguments[n]: given[n] for n in given})["outputs"].numpy()
    served = signatures["serving_default"](examples=examples)["outputs"].numpy()
    assert served == pytest.approx(answers, abs=1e-6)
    regressed = signatures["regress"](inputs=examples)["outputs"].numpy()
    assert regressed == pytest.approx(answers[:, 0], abs=1e-6)
    scores = signatures["classify"](inputs=examples)["scores"].numpy()
    assert scores[:, 1] == pytest.approx(answers[:, 0], abs=1e-6)


@pytest.mark.parametrize("kind", ["mfx", pytest.param("triton", marks=pytest.mark.deploy)])
def test_a_server_answers_as_was_evaluated(trained, kind):
    """By REST and gRPC, with both signatures, in batches of several sizes."""
    if missing := servers.find(kind).missing():
        pytest.skip(missing)
    (batch,) = trained.examples.batches("eval")
    expected = np.array(ask(trained.folder, trained.examples)[0].to_pylist()).reshape(-1, 1)
    replay = infra_validation.validate(
        trained.folder, "lists", batch.to_pylist()[:50], expected[:50], trained.settings.push, kind
    )
    assert replay.error == ""
    assert replay.max_difference < 1e-5
