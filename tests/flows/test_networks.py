"""One tiny network of each kind, trained, exported and evaluated: what the evaluator sees, what is
served and what plain Keras answers on the same rows are the same."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from helpers.checkpoints import Checkpoints
from helpers.small_world import LINEAGE, save_examples, write_pipeline
from helpers.storing import saving

from mfx.artifacts import Schema
from mfx.columns import input_names
from mfx.columns.raw_features import dense_inputs
from mfx.columns.tf_examples import serialize
from mfx.evaluate.evaluate import evaluate
from mfx.serve.model import ServedModel
from mfx.serve.parameters import BatchingParameters
from mfx.train import train
from mfx.transform.transform import transform
from mfx.user_code import loading

TITLES = LENGTH, TRIES, WORD, NOISE, KEY = "Länge, in cm", "class", "1 a/b.c", "noise: %", 'row "k"'
"""The columns' names. Networks take features made from the first three."""
COLUMNS = {
    LENGTH: "float32",
    WORD: "bytes",
    TRIES: "int64",
    NOISE: "float32",
    KEY: "bytes",
    "region": "bytes",
    "yes": "int64",
    "kind": "int64",
    "amount": "float32",
}
KINDS = {"float32": "FLOAT", "int64": "INT", "bytes": "BYTES"}
SCHEMA = "\n".join(
    f"feature {{ name: {json.dumps(name, ensure_ascii=False)} type: {KINDS[kind]} }}"
    for name, kind in COLUMNS.items()
)
MODEL_PY = """
import functools

import keras
import tensorflow as tf
import tensorflow_transform as tft
from mfx.features import fill_missing

LOSSES = {
    "sigmoid": keras.losses.BinaryCrossentropy(),
    "logits": functools.partial(keras.losses.binary_crossentropy, from_logits=True),
    "softmax": "sparse_categorical_crossentropy",
    "class logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "number": "mse",
}
ENDS = {"sigmoid": (1, "sigmoid"), "logits": (1, None), "softmax": (3, "softmax")}
ENDS |= {"class logits": (3, None), "number": (1, None)}

def preprocessing_fn(inputs):
    words = tft.compute_and_apply_vocabulary(fill_missing(inputs["WORD"]), num_oov_buckets=1)
    return {
        "LENGTH": tft.scale_to_z_score(fill_missing(inputs["LENGTH"])),
        "WORD": words,
        "TRIES": fill_missing(inputs["TRIES"]),
        # No input takes these two: one sorts before all others, one is text.
        "A_NOISE": 100 * fill_missing(inputs["NOISE"]),
        "KEY": fill_missing(inputs["KEY"]),
        "yes": fill_missing(inputs["yes"]),
        "kind": fill_missing(inputs["kind"]),
        "amount": fill_missing(inputs["amount"]),
    }

def build_model(kind):
    length = keras.Input((), name="LENGTH")
    word = keras.Input((), name="WORD", dtype="int64")
    tries = keras.Input((), name="TRIES")
    numbers = [keras.layers.Reshape((1,))(given) for given in (length, tries)]
    joined = keras.layers.Concatenate()([*numbers, keras.layers.Embedding(8, 2)(word)])
    units, activation = ENDS[kind]
    output = keras.layers.Dense(units, activation)(keras.layers.Dense(4, "tanh")(joined))
    inputs = [word, (tries, length)] if kind == "number" else {
        given.name: given for given in (word, length, tries)
    }
    model = keras.Model(inputs, output)
    model.compile(keras.optimizers.Adam(0.05), LOSSES[kind])
    return model
"""
for word, title in zip(("LENGTH", "TRIES", "WORD", "NOISE", "KEY"), TITLES, strict=True):
    MODEL_PY = MODEL_PY.replace(f'inputs["{word}"]', f"inputs[{title!r}]")

CONFIG = """
[pipeline]
name = "tiny"
[data]
path = "none.csv"
[label]
name = "{label}"
columns = ["{label}"]
[train]
steps = 80
batch_size = 32
epochs = 1
hyperparameters = {{ kind = "{kind}" }}
[evaluate]
metrics = [{metrics}]
select = "{select}"
slices = [["region"]]
[push]
destination = "pushed"
"""
BINARY = ("yes", '"ExampleCount", "BinaryAccuracy", "AUC", "Calibration"', "binary_accuracy")
CLASSES = ("kind", '"ExampleCount", "SparseCategoricalAccuracy"', "sparse_categorical_accuracy")
NUMBER = ("amount", '"ExampleCount", "MeanSquaredError"', "mean_squared_error")
ASKED = {
    "sigmoid": BINARY,
    "logits": BINARY,
    "softmax": CLASSES,
    "class logits": CLASSES,
    "number": NUMBER,
}


def rows(count: int, seed: int) -> dict[str, list]:
    """Rows whose labels follow from features that networks take; in region "none" all are 0."""
    random = np.random.default_rng(seed)
    length, tries = random.normal(170, 10, count), random.integers(0, 3, count)
    score = (length - 170) / 10 + tries - 1
    region = np.where(score < -0.5, "none", random.choice(["north", "south"], count))
    missing = random.random(count) < 0.1
    return {
        LENGTH: [
            None if gone and value > 169 else float(value)
            for gone, value in zip(missing, length, strict=True)
        ],
        WORD: [[b"a", b"b", None][number % 3] for number in range(count)],
        TRIES: tries.tolist(),
        NOISE: random.normal(size=count).tolist(),
        KEY: [b"k%d" % number for number in range(count)],
        "region": [name.encode() for name in region],
        "yes": (score > 0).astype(int).tolist(),
        "kind": np.digitize(score, [-0.7, 0.7]).tolist(),
        "amount": (3 * score).tolist(),
    }


@functools.cache
def _world(folder: Path):
    (folder / "p").mkdir(parents=True)
    settings = settings_of(folder / "p", "sigmoid")
    splits = {"train": rows(300, 1), "eval": rows(120, 2)}
    examples = save_examples(folder / "raw", COLUMNS, **splits)
    schema = Schema(SCHEMA, "schema.pbtxt", False, "", LINEAGE)
    return (examples, *transform(examples, schema, settings))


def settings_of(folder: Path, kind: str):
    label, metrics, select = ASKED[kind]
    text = CONFIG.format(label=label, kind=kind, metrics=metrics, select=select)
    return write_pipeline(folder, MODEL_PY, text)


class Trained:
    """A network of some kind: its evaluation, and answers to the same rows by other ways."""

    def __init__(self, kind: str, base: Path, folder: Path) -> None:
        self.kind = kind
        self.examples, graph, self.transformed = _world(base)
        settings, checkpoints = settings_of(folder / "p", kind), Checkpoints(folder / "kept")
        graph = dataclasses.replace(graph, label=None)  # The graph's label differs.
        self.lines: list[str] = []
        self.model = train.train(
            graph, self.transformed, settings, 0, checkpoints, self.lines.append
        )
        _, self.evaluation = evaluate([self.model], self.examples, self.transformed, settings, None)
        self.folder = self.model.save_to(folder / "model")
        self.signatures = tf.saved_model.load(str(self.folder)).signatures
        self.network = loading.load(settings).build_model(kind)
        self.network.load_weights(checkpoints.saved[-1] / "model.weights.h5")

    def evaluated(self, column: str) -> np.ndarray:
        with self.evaluation.predictions.files() as folder:
            table = pq.read_table(folder / "predictions.parquet")
        return np.array(table[column].to_pylist()).reshape(table.num_rows, -1)

    def keras_answers(self) -> np.ndarray:
        """The answers of the network's own predict, with each input set by hand."""
        made = self.transformed.to_arrow("eval")
        names = ("WORD", "TRIES", "LENGTH")
        by_hand = [made[name].to_numpy() for name in names]
        given = dict(zip(names, by_hand, strict=True))
        inputs = [by_hand[0], (by_hand[1], by_hand[2])] if self.kind == "number" else given
        return self.network.predict(inputs, verbose=0)

    def batch(self):
        (batch,) = self.examples.batches("eval")
        return batch


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    with saving(folder / "datastore"):
        yield folder


@pytest.fixture(scope="module", params=list(ASKED))
def trained(request, base, tmp_path_factory) -> Trained:
    return Trained(request.param, base, tmp_path_factory.mktemp("network"))


def probability(kind: str, answers: np.ndarray) -> np.ndarray:
    """The meaning of the answers of such a network for its loss."""
    if kind == "logits":
        return 1 / (1 + np.exp(-answers))
    if kind == "class logits":
        return np.exp(answers) / np.exp(answers).sum(axis=1, keepdims=True)
    return answers


def test_evaluated_is_what_plain_keras_says(trained):
    answers = trained.keras_answers()
    assert trained.evaluated("answer") == pytest.approx(answers, abs=1e-5)
    expected = probability(trained.kind, answers)
    assert trained.evaluated("prediction") == pytest.approx(expected, abs=1e-5)


def test_training_saw_the_features_that_are_served(trained):
    """The loss that Keras reported after the last epoch equals that of the evaluated answers."""
    label, found = trained.evaluated("label")[:, 0], trained.evaluated("prediction")
    if trained.kind == "number":
        losses = (found[:, 0] - label) ** 2
    elif found.shape[1] == 1:
        losses = -np.log(np.where(label == 1, found[:, 0], 1 - found[:, 0]))
    else:
        losses = -np.log(found[np.arange(len(label)), label.astype(int)])
    assert trained.model.history["val_loss"][-1] == pytest.approx(losses.mean(), rel=1e-5)


def test_it_learned_from_what_the_label_is_made_of(trained):
    overall = trained.evaluation.overall
    value = overall[ASKED[trained.kind][2]]
    assert value < 4 if trained.kind == "number" else value > 0.75


def test_metrics_are_of_probabilities(trained):
    label, found = trained.evaluated("label")[:, 0], trained.evaluated("prediction")
    by_slice = {str(row.slice): row.metrics for row in trained.evaluation.rows}
    assert {"Overall", "region:none", "region:north", "region:south"} == set(by_slice)
    regions = np.array(rows(120, 2)["region"])
    for name, row in by_slice.items():
        chosen = np.full(120, True) if name == "Overall" else regions == name.split(":")[1].encode()
        truth, said = label[chosen], found[chosen]
        if trained.kind == "number":
            expected = {"mean_squared_error": ((said[:, 0] - truth) ** 2).mean()}
        elif found.shape[1] == 1:
            right = (said[:, 0] > 0.5) == (truth == 1)
            expected = {"binary_accuracy": right.mean()}
            if truth.any():
                expected["calibration"] = said.sum() / truth.sum()
        else:
            expected = {"sparse_categorical_accuracy": (said.argmax(1) == truth).mean()}
        shown = {key: row[key] for key in expected}
        assert shown == pytest.approx(expected, rel=1e-5), name


def test_served_is_what_was_evaluated(trained):
    """`predict` and `serving_default` give the network's own answers, the others probabilities."""
    answer, prediction = trained.evaluated("answer"), trained.evaluated("prediction")
    batch = trained.batch()
    predict = trained.signatures["predict"]
    arguments = input_names.read(trained.folder)
    assert not {ASKED[trained.kind][0]} & set(arguments) and {*TITLES} < set(arguments)
    taken = predict.structured_input_signature[1]
    given = dense_inputs(batch, {title: taken[name] for title, name in arguments.items()})
    served = predict(**{arguments[title]: values for title, values in given.items()})
    served = served["outputs"].numpy()
    assert served == pytest.approx(answer, abs=1e-5)
    examples = tf.constant(list(serialize(batch)))
    served = trained.signatures["serving_default"](examples=examples)["outputs"].numpy()
    assert served == pytest.approx(answer, abs=1e-5)
    for name, outputs in expected_heads(prediction, trained.kind).items():
        for key, values in outputs.items():
            served = trained.signatures[name](inputs=examples)[key].numpy()
            assert served == pytest.approx(values, abs=1e-5), name


def expected_heads(prediction: np.ndarray, kind: str) -> dict[str, dict[str, np.ndarray]]:
    regress = {"regress": {"outputs": prediction[:, 0]}}
    if kind == "number":
        return regress
    if prediction.shape[1] > 1:
        return {"classify": {"scores": prediction}}
    return {"classify": {"scores": np.hstack([1 - prediction, prediction])}, **regress}


def test_the_server_answers_so_too(trained):
    """Run by the server's own code, in the way of TF Serving."""
    examples = list(serialize(trained.batch()))
    model = ServedModel(trained.folder, 1, BatchingParameters())
    try:
        served = model.run("serving_default", {"examples": examples})["outputs"]
        assert served == pytest.approx(trained.evaluated("answer"), abs=1e-5)
        heads = expected_heads(trained.evaluated("prediction"), trained.kind)
        for name, outputs in heads.items():
            answered = model.run(name, {"inputs": examples})
            for key, values in outputs.items():
                assert answered[key] == pytest.approx(values, abs=1e-5), name
    finally:
        model.close()


def test_what_no_input_takes_is_named_once(trained):
    others = sorted({"yes", "kind", "amount"} - {ASKED[trained.kind][0]})
    unused = ", ".join(sorted(["A_NOISE", "KEY", *others]))
    named = [line for line in trained.lines if "does not use" in line]
    assert named == [f"columns that the network does not use: {unused}"]
    assert {"A_NOISE", "KEY"} < set(trained.transformed.columns)
