"""The thousand digits of TFX's MNIST example, from its TFRecord file to metrics: in process and on
Beam all is the same."""

from __future__ import annotations

import pytest
from helpers.checkpoints import Checkpoints
from helpers.flows import MNIST
from helpers.small_world import write_pipeline
from helpers.storing import saving
from helpers.tfdv_cases import assert_same, exact
from helpers.tfma_results import same_metrics, same_plots

from mfx.evaluate import tfma_beam, tfma_local
from mfx.evaluate.evaluate import evaluate
from mfx.flow import start
from mfx.ingest.ingest import ingest, merge
from mfx.train import train
from mfx.transform.transform import transform
from mfx.validate import tfdv_beam, tfdv_local
from mfx.validate.validate import validate

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not MNIST.exists(), reason="../shared/data/mnist is not here"),
]

MODEL_PY = """
import keras
import tensorflow as tf
from mfx.features import fill_missing

def preprocessing_fn(inputs):
    return {"pixels": inputs["image_floats"], "digit": fill_missing(inputs["image_class"])}

def build_model():
    pixels = keras.Input((784,), name="pixels")
    hidden = keras.layers.Dense(32, "relu")(pixels)
    model = keras.Model({"pixels": pixels}, keras.layers.Dense(10, "softmax")(hidden))
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    return model
"""
CONFIG = f"""
[pipeline]
name = "mnist"
[data]
path = "{MNIST}"
[label]
name = "digit"
columns = ["image_class"]
[train]
steps = 200
batch_size = 32
epochs = 1
[evaluate]
metrics = [
  "ExampleCount", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "AUC",
  {{ class_name = "Precision", config = {{ class_id = 3 }} }}, "MultiClassConfusionMatrixPlot",
]
select = "sparse_categorical_accuracy"
slices = [["image_class"]]
[push]
destination = "pushed"
"""


class Digits:
    def __init__(self, folder) -> None:
        here = write_pipeline(folder / "p", MODEL_PY, CONFIG)
        sources = start.resolve(here)
        self.examples = merge([ingest(s, sources, here) for s in sources.shards], sources)
        on_beam = here.override(beam__options=["--runner=DirectRunner"])
        self.statistics, schema, self.anomalies = validate(self.examples, here)
        self.beam_statistics = validate(self.examples, on_beam)[0]
        graph, transformed = transform(self.examples, schema, here)
        kept = Checkpoints(folder / "kept")
        model = train.train(graph, transformed, here, 0, kept, lambda line: None)
        self.evaluation, self.beam_evaluation = (
            evaluate([model], self.examples, transformed, settings, None)[1]
            for settings in (here, on_beam)
        )


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mnist")
    with saving(folder / "datastore"):
        yield Digits(folder)


def test_all_digits_are_read(digits):
    assert digits.examples.rows_in == 1000
    assert digits.examples.columns == {"image_class": "int64", "image_floats": "float32 list"}
    assert digits.anomalies.found == ()


@pytest.mark.parametrize("split", ["train", "eval"])
def test_statistics_are_those_of_tfdv_on_beam(digits, split):
    engines = digits.statistics.engine, digits.beam_statistics.engine
    assert engines[0] == tfdv_local.ENGINE
    assert engines[1].startswith(tfdv_beam.ENGINE)
    ours, theirs = (found.proto(split) for found in (digits.statistics, digits.beam_statistics))
    assert ours.datasets[0].num_examples == theirs.datasets[0].num_examples
    assert_same(exact(ours), exact(theirs))


def test_metrics_are_those_of_tfma_on_beam(digits):
    assert digits.evaluation.engine == tfma_local.ENGINE
    assert digits.beam_evaluation.engine.startswith(tfma_beam.ENGINE)
    assert digits.evaluation.overall["sparse_categorical_accuracy"] > 0.7
    with digits.evaluation.results.files() as here, digits.beam_evaluation.results.files() as there:
        assert same_metrics(there, here) >= 11 * 5  # the whole split, and ten digits
        assert same_plots(there, here) == 11
