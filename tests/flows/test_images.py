"""A folder of images through all steps, with the how-to's `model.py`, until it is served."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from helpers.checkpoints import Checkpoints
from helpers.flows import ROOT
from helpers.images import two_classes
from helpers.small_world import write_pipeline
from helpers.storing import saving

from mfx.evaluate.evaluate import evaluate
from mfx.flow import start
from mfx.ingest.ingest import ingest, merge
from mfx.train import train
from mfx.transform.transform import transform
from mfx.validate.validate import validate

PAGE = (ROOT / "docs/how-to/images-and-texts.md").read_text(encoding="utf-8")
(MODEL_PY,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
CONFIG = """
[pipeline]
name = "photos"
[data]
images = "photos"
tolerate = 1
[label]
name = "is_dog"
columns = ["label"]
[train]
steps = 40
batch_size = 32
epochs = 2
[evaluate]
metrics = ["ExampleCount", "BinaryAccuracy"]
select = "binary_accuracy"
[push]
destination = "pushed"
"""


class Run:
    """The results of all steps up to `evaluate`."""

    def __init__(self, folder: Path) -> None:
        two_classes(folder / "photos", 120, classes=("cats", "dogs"))
        (folder / "photos/cats/x.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
        self.folder = folder
        settings = write_pipeline(folder, MODEL_PY, CONFIG)
        resolved = start.resolve(settings)
        parts = [ingest(shard, resolved, settings) for shard in resolved.shards]
        self.examples = merge(parts, resolved)
        self.statistics, self.schema, self.anomalies = validate(self.examples, settings)
        graph, self.transformed = transform(self.examples, self.schema, settings)
        checkpoints = Checkpoints(folder / "kept")
        self.model = train.train(
            graph, self.transformed, settings, 0, checkpoints, lambda line: None
        )
        _, self.evaluation = evaluate([self.model], self.examples, self.transformed, settings, None)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    with saving(folder / "datastore"):
        yield Run(folder)


def test_all_images_but_the_damaged_one_are_rows(done):
    assert (done.examples.rows_in, dict(done.examples.misfits)) == (121, {"PNG that is cut off": 1})
    assert not done.anomalies.found


def test_statistics_count_images_and_do_not_show_them(done):
    features = {
        f.path.step[0]: f.string_stats for f in done.statistics.proto("train").datasets[0].features
    }
    assert features["image"].unique == done.examples.rows["train"]
    assert {value.value for value in features["image"].top_values} == {"__BYTES_VALUE__"}
    assert features["label"].unique == 2
    schema = done.schema.proto()
    assert [domain.name for domain in schema.string_domain] == ["label"]
    compared = [f.name for f in schema.feature if f.HasField("skew_comparator")]
    assert compared == ["label"]


def test_pixels_are_those_of_the_files(done):
    with done.transformed.files("eval") as (path,):
        pixels = pq.read_table(path)["pixels"].to_pylist()
    names = done.examples.to_arrow("eval")["path"].to_pylist()
    assert len(pixels) == len(names)
    for name, found in list(zip(names, pixels, strict=True))[:5]:
        data = (done.folder / "photos" / name.decode()).read_bytes()
        expected = tf.io.decode_image(data, channels=3).numpy().reshape(-1) / 255
        assert found == pytest.approx(expected, abs=1e-6)


def test_what_is_served_takes_files(done):
    """Its answers to files are those that were evaluated."""
    model = tf.saved_model.load(str(done.model.save_to(done.folder / "model")))
    table = done.examples.to_arrow("eval")
    given = {name: tf.constant(table[name].to_pylist()) for name in ("image", "path")}
    answers = model.signatures["predict"](**given)
    with done.evaluation.predictions.files() as folder:
        expected = pq.read_table(folder / "predictions.parquet")["prediction"].to_pylist()
    (found,) = answers.values()
    assert np.ravel(found.numpy()) == pytest.approx(np.ravel(expected), abs=1e-5)
