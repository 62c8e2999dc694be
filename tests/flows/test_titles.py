"""Columns may have any title: from CSV through transform, training and evaluation to a server's
answers."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.flows import ROOT
from helpers.storing import saving

from mfx import config

NUMBERS = ["two words", "a.b", "a", "a/b", "a_b", "1st", "class", "Case", "case", "self", "größe"]
NUMBERS += ["价格", "🚕", "x" * 200, "a\nb", "examples", "inputs", "body", "_hidden", "{x}: 100%"]
TEXTS = ["a:b", "a,b", 'say "hi"', "it's", "label", "features", "[0]", "None", "\\", "a\tb"]
TITLES = [*NUMBERS, *TEXTS]

MODEL = """
import keras
import tensorflow as tf
import tensorflow_transform as tft
from mfx.features import fill_missing


def preprocessing_fn(inputs):
    made = {"y": fill_missing(inputs["y"])}
    for number, name in enumerate(sorted(set(inputs) - {"y"})):
        value = fill_missing(inputs[name])
        if value.dtype == tf.string:
            value = tf.strings.length(value)
        made[f"f{number}"] = tf.cast(value, tf.float32) / 9
    made["f0"] = tft.scale_to_z_score(made["f0"])
    word = fill_missing(inputs["a:b"])
    made["f1"] = tf.cast(tft.compute_and_apply_vocabulary(word), tf.float32)
    return made


def build_model(count):
    features = {f"f{n}": keras.Input((1,), name=f"f{n}") for n in range(count)}
    together = keras.layers.Concatenate()([*features.values()])
    output = keras.layers.Dense(1, activation="sigmoid")(together)
    model = keras.Model(features, output)
    model.compile("adam", "binary_crossentropy")
    return model
"""

CONFIG = f"""
[pipeline]
name = "odd"
[data]
path = "odd.csv"
split = {{ train = 2, eval = 1, key = ["two words", "a/b", "a:b"] }}
[label]
name = "y"
columns = ["y"]
[train]
steps = 2
batch_size = 8
epochs = 1
hyperparameters = {{ count = {len(TITLES)} }}
[evaluate]
metrics = ["ExampleCount", "AUC"]
select = "auc"
slices = [["a:b"], ["a"], ["a.b"], ["a,b", "1st"]]
[[evaluate.thresholds]]
metric = "auc"
lower = 0.0
slices = [["a"]]
[push]
destination = "pushed"
batch_sizes = [1, 8]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The results of all steps' functions for a table with unusual column names."""
    from mfx.evaluate.evaluate import evaluate
    from mfx.flow import start
    from mfx.ingest import ingest
    from mfx.train.train import train
    from mfx.transform.transform import transform
    from mfx.validate.validate import validate

    folder = tmp_path_factory.mktemp("titles")
    (folder / "model.py").write_text(MODEL)
    (folder / "config.toml").write_text(CONFIG, encoding="utf-8")
    random = np.random.default_rng(0)
    with (folder / "odd.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*TITLES, "y"])
        for row in range(200):
            numbers = random.integers(0, 4, len(NUMBERS)).tolist()
            texts = ["word"[: 1 + n] for n in random.integers(0, 4, len(TEXTS))]
            writer.writerow([*("" if n == 3 else n for n in numbers), *texts, row % 2])
    settings = config.load(folder / "config.toml")
    with saving(folder / "datastore"):
        sources = start.resolve(settings)
        parts = [ingest.ingest(shard, sources, settings) for shard in sources.shards]
        examples = ingest.merge(parts, sources)
        _, schema, anomalies = validate(examples, settings)
        graph, transformed = transform(examples, schema, settings)
        kept = SimpleNamespace(directory=str(folder), is_loaded=False, save=lambda: None)
        model = train(graph, transformed, settings, 0, kept, lambda line: None)
        model, evaluation = evaluate([model], examples, transformed, settings, None)
        yield SimpleNamespace(**locals())


def test_the_schema_has_them(made):
    assert {feature.name for feature in made.schema.proto().feature} == {*TITLES, "y"}
    # In a small sample, the splits differ in some values.
    assert {anomaly.feature for anomaly in made.anomalies.found} <= set(TITLES)


def test_a_column_is_read_by_its_exact_title(made):
    """Parquet takes `a.b` for a part of `a`."""
    (batch,) = made.examples.batches("eval", columns=["a.b", "a"])
    assert batch.schema.names == ["a.b", "a"]
    whole = made.examples.to_arrow("eval")
    assert batch.column(0).equals(whole.column("a.b").combine_chunks())
    assert batch.column(1).equals(whole.column("a").combine_chunks())
    assert not batch.column(0).equals(batch.column(1))


def test_slices_and_thresholds_are_by_title(made):
    names = [str(row.slice) for row in made.evaluation.rows]
    assert {"Overall", '"a:b":word', "a:1", "a.b:2", '1st:0, "a,b":w'} <= set(names)
    checked = {str(check.slice) for check in made.evaluation.blessing.checks}
    assert checked == {name for name in names if name.startswith("a:")}


def test_a_server_is_asked_by_title(made):
    """REST and gRPC, by tf.Example and by named inputs, as in the run's own validation; by the
    client; and without a server."""
    from mfx.push import push
    from mfx.push.servers import process
    from mfx.push.servers.mfx_serve import MfxServe
    from mfx.serve.parameters import BatchingParameters

    expected = np.asarray(_predictions(made))
    rows = made.examples.to_arrow("eval").drop(["y"]).to_pylist()[:8]
    client, script = (_serving(name) for name in ("client", "predict"))
    parameters = BatchingParameters(max_batch_size=8, allowed_batch_sizes=(1, 8))
    with (
        made.model.payload.files() as folder,
        process.running(MfxServe(), folder, "odd", parameters, 300) as server,
    ):
        answers = {api: ask(rows) for api, ask in server.clients()}
        with client.RestClient(f"http://{server.rest}", "odd") as rest:
            answers["REST client"] = np.asarray(rest.predict(rows).outputs["outputs"])
        with client.GrpcClient(server.grpc, "odd") as grpc:
            answers["gRPC client"] = np.asarray(grpc.predict(rows).outputs["outputs"])
        answers["no server"] = np.asarray(script.predict(folder, rows))
        assert push.warm_up(folder, made.examples, made.settings).size
    assert len(answers) == 7
    for api, answer in answers.items():
        assert np.abs(answer.ravel() - expected[:8]).max() < 1e-6, api


def _predictions(made) -> list[float]:
    import pyarrow.parquet as pq

    with made.evaluation.predictions.files() as folder:
        return pq.read_table(folder / "predictions.parquet").column("prediction").to_pylist()


def _serving(name: str):
    path = Path(ROOT, "serving", f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"{name}_of_titles", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Dataclasses look up their module there.
    spec.loader.exec_module(module)
    return module
