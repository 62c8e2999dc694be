"""The results of runs of each version can be read: values, digests and files."""

from __future__ import annotations

import pickle
import pickletools
from typing import Any

import pytest
from helpers import kept_artifacts
from helpers.kept_artifacts import FILES, PROTOCOL

from mfx import __version__, artifacts
from mfx.artifacts import SourceFile, store
from mfx.artifacts.lineage import Lineage

LINEAGE = Lineage("data-hash", "code-hash", "config-hash", ("parent-1", "parent-2"))


@pytest.fixture(params=sorted(kept_artifacts.DATA.glob("artifacts-*.pkl")), ids=lambda p: p.stem)
def kept(request) -> dict[str, Any]:
    """One version's objects, by the names that they have in a run."""
    each = pickle.loads(request.param.read_bytes())
    return {name: pickle.loads(content) for name, content in each.items()}


def files(payload: store.Payload) -> dict[str, int]:
    return {blob.path: blob.size for blob in payload.blobs}


def test_sources(kept):
    sources = kept["sources"]
    assert [tuple(file[:3]) for file in sources.files] == [
        ("day-1.csv", "1" * 64, 10),
        ("größe 2.csv", "2" * 64, 20),
    ]
    (shard,) = sources.shards
    assert isinstance(shard.files[0], SourceFile)
    assert shard.size == 30
    assert shard.sha256 == "fa938e8e79b2499406062691e1a2bfcf46b529f3170320e18ac067ca2d33fa12"
    assert sources.columns == {"fare": "float32", "hour": "int64", "company": "bytes"}
    assert sources.notes == ("hour: nearly all are numbers",)
    assert sources.lineage == LINEAGE


def test_settings_and_code(kept):
    settings, code = kept["settings"], kept["code"]
    assert (settings.pipeline.name, settings.data.path) == ("taxi", "trips-*.csv")
    assert (settings.label.name, settings.label.columns) == ("tipped", ["tips"])
    assert settings.push.destination == "pushed"
    assert code.library in ("", "0.2.0", __version__)
    assert (code.commit, code.changed, files(code.payload)) == (
        "c0ffee",
        True,
        {"saved_model.pb": 9},
    )


def test_examples(kept):
    examples = kept["examples"]
    assert [files(shard) for shard in examples.shards] == [
        {"eval.parquet": 9, "train.parquet": 10},
        {"eval.parquet": 9},
    ]
    assert (examples.rows, examples.rows_in) == ({"train": 8, "eval": 3}, 12)
    assert examples.rejected == {"has more cells than the header": 1}
    assert examples.missing == (("fare", "NA", 2),)
    assert examples.rounded == (("fare", "16777217", 1),)
    assert examples.columns == kept["sources"].columns
    old = "3deda97d56222a0f209b1215454713ba1214cf5cca3c4d4918808c54ca26cc7d"
    now = "044e5759088f851b44e252cb1775f58fa405c8528a04e49356117d338162419b"
    assert examples.digest == (now if examples.hashes else old)
    assert examples.lineage == LINEAGE


def test_statistics_schema_and_anomalies(kept):
    statistics, schema, anomalies = kept["statistics"], kept["schema"], kept["anomalies"]
    assert (statistics.engine, files(statistics.payload)) == (
        "TFDV in process",
        {"train.parquet": 10},
    )
    assert statistics.lineage == schema.lineage == anomalies.lineage == LINEAGE
    assert [feature.name for feature in schema.proto().feature] == ["fare"]
    assert (schema.path, schema.inferred, schema.fits) == ("schema.pbtxt", False, False)
    assert schema.proposal == schema.text
    assert schema.digest == "3b2691ef156237f3c6af3a705ea06a6b64699695c606fdde65710c8bb9ba30c6"
    assert [str(anomaly) for anomaly in anomalies.found] == [
        "company [eval] ENUM_TYPE_UNEXPECTED_STRING_VALUES: expected one of its values; "
        "observed 'Blue' (3 examples). Add it to the schema."
    ]
    assert anomalies.errors == ()


def test_transform_graph(kept):
    graph = kept["transform_graph"]
    assert (graph.engine, graph.features) == ("TFT in process", {"fare": "float32"})
    assert (files(graph.payload), graph.lineage) == ({"saved_model.pb": 9}, LINEAGE)
    label = graph.label
    assert label.counts == {"train": {0.0: 5, 1.0: 3}, "eval": {0.0: 2, 1.0: 1}}
    assert label.texts == {"train": {(b"no", 0.0): 5, (None, 1.0): 3}, "eval": {}}
    assert (label.name, label.not_finite) == ("tipped", {"train": 0, "eval": 1})
    assert (label.low, label.high, label.fractions) == (0.0, 1.0, 0)


def test_model(kept):
    model = kept["model"]
    assert files(model.payload) == {"saved_model.pb": 9, "variables/data": 11}
    assert files(model.logs) == {"variables/data": 11}
    assert (model.candidate, model.steps, model.device) == (1, 40, "1 CPU")
    assert (model.weights, model.resumed_from) == ("weights-hash", 1)
    assert model.hyperparameters == {"units": [16, 8], "rate": 0.5}
    assert model.history == {"loss": [0.5, 0.25], "val_loss": [0.5, 0.375]}
    assert model.digest == "6ced02ad4906d25182bdaad1ca344100b09b729c710e8ab4b3395830e28421e6"
    assert model.lineage == LINEAGE


def test_evaluation(kept):
    evaluation = kept["evaluation"]
    metrics = evaluation.metrics()
    assert list(metrics.index) == ["Overall", "company:Blue"]
    assert metrics.loc["Overall"].to_dict() == {"example_count": 3.0, "auc": 0.75}
    assert metrics.auc.isna().tolist() == [False, True]
    assert evaluation.baseline_metrics().auc.tolist() == [0.75]
    assert evaluation.why_none("auc", "company:Blue") == "one class"
    assert evaluation.why_none("auc", "company:Blue", baseline=True) == ""
    assert evaluation.candidates == [0.5, 0.75, None]
    assert (evaluation.split, evaluation.where) == ("eval", "")
    assert evaluation.curves == {"roc": {"candidate": [[0.0, 0.0], [1.0, 1.0]]}}
    assert evaluation.engine == "TFMA in process"
    assert files(evaluation.predictions) == {"eval.parquet": 9}
    assert files(evaluation.results) == {"saved_model.pb": 9}
    assert evaluation.lineage == LINEAGE


def test_blessing(kept):
    blessing = kept["evaluation"].blessing
    assert (blessing.blessed, str(blessing.baseline)) == (False, "17")
    assert [str(check) for check in blessing.checks] == [
        "passed: auc on Overall is 0.7500, needs at least 0.5",
        "FAILED: auc on hour:3 is 0.2500, needs at least 0.5",
        "not checked: auc on company:Blue has no value (one class), needs at least 0.5",
        "not checked: auc on by hour has no value (no slice), needs at least 0.5",
    ]
    assert blessing.outcome == "1 of 2 checks passed, 2 not checked"


def test_pushed(kept):
    pushed = kept["pushed"]
    assert (pushed.path, pushed.version, pushed.reason) == ("/models/taxi/3", 3, "blessed")
    assert pushed.pushed and pushed.lineage == LINEAGE
    assert files(pushed.warmup) == {"variables/data": 11}
    replay = pushed.replay
    assert replay.valid and replay.server == "mfx serve"
    assert (replay.rows, replay.max_difference, replay.load_seconds) == (3, 0.0, 1.5)
    assert replay.memory_mb == 300.0
    (latency,) = replay.latencies
    assert (latency.api, latency.batch_size, latency.requests) == ("REST serving_default", 1, 100)
    assert (latency.p50, latency.p99) == (1.0, 2.5)


def test_files_are_found_under_the_keys_of_old(kept, datastore, tmp_path):
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/data"):
        (folder / name).write_bytes(FILES[name])
    payload = kept["model"].payload
    assert (payload.flow, payload.storage, payload.root) == (
        "Pipeline",
        "s3",
        "s3://bucket/metaflow",
    )
    assert store.save(folder).blobs == payload.blobs
    assert payload.size == 20
    assert payload.digest == "2d2fd83aa4f8c3edb73f325c51ec49f64aa8369df9e5f78e5097d0f4f7d82dac"


def words(content: bytes) -> set[str]:
    """The texts in a pickle: names of classes and fields, and values."""
    return {text for _, text, _ in pickletools.genops(content) if isinstance(text, str)}


def test_the_file_of_this_version_is_of_the_classes_as_they_are():
    """A class or a field that it lacks would not be held to be readable."""
    path = kept_artifacts.path_of(__version__)
    assert path.is_file(), kept_artifacts.__doc__
    each = pickle.loads(path.read_bytes())
    now = {name: pickle.dumps(found, PROTOCOL) for name, found in kept_artifacts.made().items()}
    assert each.keys() == now.keys(), kept_artifacts.__doc__
    # Settings may get new tables of the config.
    for name in each.keys() - {"settings"}:
        assert words(now[name]) <= words(each[name]), f"{name}: {kept_artifacts.__doc__}"
    travel = {name for name in artifacts.__all__ if isinstance(getattr(artifacts, name), type)}
    # A shard packs its files, which test_sources reads.
    assert travel - {"SourceFile", "Part"} <= set().union(*map(words, each.values()))


def test_the_files_are_small():
    for path in kept_artifacts.DATA.glob("artifacts-*.pkl"):
        assert path.stat().st_size < 16_000
