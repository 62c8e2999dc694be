"""A pipeline of a few rows, transformed: what most tests of steps begin with."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.storing import saving
from mfx import config
from mfx.artifacts import Examples, Schema, TransformGraph, store
from mfx.artifacts.lineage import Lineage
from mfx.columns.types import TYPES
from mfx.config import Settings
from mfx.transform.transform import transform

LINEAGE = Lineage("data", "code", "config")
COLUMNS = {"x": "float32", "word": "bytes", "y": "int64"}
SCHEMA = "\n".join(
    f'feature {{ name: "{name}" type: {kind} }}'
    for name, kind in [("x", "FLOAT"), ("word", "BYTES"), ("y", "INT")]
)
MODEL_PY = """
import keras
import tensorflow as tf
import tensorflow_transform as tft
from mfx.features import fill_missing

def preprocessing_fn(inputs):
    words = tft.compute_and_apply_vocabulary(fill_missing(inputs["word"]), num_oov_buckets=1)
    return {
        "x": tft.scale_to_z_score(fill_missing(inputs["x"])),
        "word": words,
        "label": fill_missing(inputs["y"]),
    }

def build_model(learning_rate=0.01, scale=1.0):
    inputs = {
        "x": keras.Input((), name="x"),
        "word": keras.Input((), name="word", dtype="int64"),
    }
    number = keras.layers.Reshape((1,))(inputs["x"])
    hidden = keras.layers.Dense(4, activation="tanh")(number)
    hidden = keras.layers.Dropout(0.25)(hidden)
    word = keras.layers.Embedding(6, 2)(inputs["word"])
    joined = keras.layers.Concatenate()([hidden, word])
    output = keras.layers.Dense(1, activation="sigmoid")(joined)
    model = keras.Model(inputs, output)
    optimizer = keras.optimizers.Adam(learning_rate)
    loss = lambda y, p: scale * keras.losses.binary_crossentropy(y, p)
    model.compile(optimizer, loss, metrics=[keras.metrics.AUC(name="auc")])
    return model
"""
CONFIG = """
[pipeline]
name = "small"
[data]
path = "none.csv"
[label]
name = "label"
columns = ["y"]
[train]
steps = 12
batch_size = 8
epochs = 3
[evaluate]
metrics = ["AUC"]
select = "auc"
[push]
destination = "pushed"
"""
TRAIN = {
    "x": [1.0, 2.0, 3.0, None, 6.0, 0.0],
    "word": [b"a", b"b", b"b", b"c", b"b", b"a"],
    "y": [0, 1, 1, 0, 1, 0],
}
EVAL = {"x": [None, 4.0, -1.0], "word": [b"b", b"zebra", None], "y": [1, 0, None]}


def write_pipeline(folder: Path, model: str = MODEL_PY, text: str = CONFIG) -> Settings:
    """A pipeline's folder with `model.py`; its settings, checked."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(model)
    return config.parse(text, folder / "config.toml")


def save_examples(folder: Path, columns: dict[str, str], **splits: dict[str, list]) -> Examples:
    """Examples with these columns' values, one shard."""
    folder.mkdir(parents=True)
    schema = pa.schema([(name, TYPES[kind]) for name, kind in columns.items()])
    tables = {split: pa.Table.from_pydict(values, schema) for split, values in splits.items()}
    for split, table in tables.items():
        pq.write_table(table, folder / f"{split}.parquet")
    rows = {split: table.num_rows for split, table in tables.items()}
    payload = store.save(folder)
    return Examples((payload,), rows, sum(rows.values()), {}, columns, LINEAGE)


@dataclass(frozen=True)
class World:
    """A transformed data set and what it was made from."""

    settings: Settings
    examples: Examples
    graph: TransformGraph
    transformed: Examples


@functools.cache
def small_world() -> World:
    """Six train rows repeated, three eval rows, transformed once for all tests of a session."""
    folder = Path(tempfile.mkdtemp(prefix="mfx-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_world(folder)


def make_world(folder: Path) -> World:
    settings = write_pipeline(folder / "pipeline")
    with saving(folder / "datastore"):
        train = {name: values * 5 for name, values in TRAIN.items()}
        examples = save_examples(folder / "raw", COLUMNS, train=train, eval=EVAL)
        graph, transformed = transform(
            examples, Schema(SCHEMA, "schema.pbtxt", False, "", LINEAGE), settings
        )
    return World(settings, examples, graph, transformed)
