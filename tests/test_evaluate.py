"""Picking a candidate, comparing with production, and what each mistake says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from conftest import push_folder
from test_push import COLUMNS, model_of, tiny_model
from test_transform import CONFIG, save_examples, write_pipeline

from mfx import store, tfma_beam, tfma_local
from mfx.artifacts import Examples, Model
from mfx.blessing import FIRST_RUN
from mfx.config import Settings
from mfx.destination import LocalDestination
from mfx.errors import MfxError
from mfx.evaluate import evaluate, predict
from mfx.registry import Production

ROWS = 40
VALUES = {
    "x": [None if i % 9 == 0 else (i - 20) / 10 for i in range(ROWS)],
    "word": [[b"", b"a", None][i % 3] for i in range(ROWS)],
    "n": [0] * ROWS,
    "y": [int(i >= 20) for i in range(ROWS)],
}


@pytest.fixture
def data(tmp_path, datastore) -> tuple[Examples, Examples]:
    """Raw examples, whose label rises with x, and the transformed ones."""
    raw = save_examples(tmp_path / "raw", COLUMNS, train=VALUES, eval=VALUES)
    label = {"label": VALUES["y"]}
    transformed = save_examples(tmp_path / "t", {"label": "int64"}, train=label, eval=label)
    return raw, transformed


@pytest.fixture
def settings_of(tmp_path):
    def make(evaluate: str) -> Settings:
        begin, end = CONFIG.index("[evaluate]"), CONFIG.index("[push]")
        text = f"{CONFIG[:begin]}[evaluate]\n{evaluate}\n{CONFIG[end:]}"
        return write_pipeline(tmp_path / "pipeline", text=text)

    return make


BASIC = 'metrics = ["ExampleCount", "AUC", "BinaryAccuracy"]\nselect = "auc"\n'
DROP = BASIC + '[[evaluate.thresholds]]\nmetric = "auc"\nlower = 0.5\nmax_drop = 0.1\n'


def in_production(tmp_path: Path, model: Model | None = None, folder: Path | None = None):
    """A model pushed by run 7 earlier."""
    source = folder or model.save_to(tmp_path / "pushed-model")
    place = LocalDestination(tmp_path / "pushed" / "small")
    return Production("7", push_folder(place, source), place)


def test_predictions_are_the_models_own(tmp_path, data):
    model = tiny_model(tmp_path / "m", 2.0)
    with model.payload.files() as files:
        answers = predict(files, data[0]).to_numpy()
    x = np.array([v or 0 for v in VALUES["x"]])
    length = np.array([len(w or b"") for w in VALUES["word"]])
    assert answers == pytest.approx(1 / (1 + np.exp(-(2 * x + length))), abs=1e-6)


def test_a_first_run(tmp_path, data, settings_of):
    model = tiny_model(tmp_path / "m", 4.0)
    chosen, found = evaluate([model], *data, settings_of(DROP), None)
    assert chosen is model
    assert found.engine == tfma_local.ENGINE
    assert (found.blessing.blessed, found.blessing.baseline) == (True, FIRST_RUN)
    assert [check.rule for check in found.blessing.checks] == ["at least 0.5"]
    assert (found.rows[0]["slice"], found.rows[0]["example_count"]) == ("Overall", ROWS)
    assert found.baseline_rows == [] and len(found.baseline_metrics()) == 0
    assert list(found.curves) == ["candidate"]
    assert found.lineage.parents == (model.digest, data[0].digest)


def test_predictions_are_kept_in_row_order_with_labels(tmp_path, data, settings_of):
    model = tiny_model(tmp_path / "m")
    _, found = evaluate([model], *data, settings_of(BASIC), None)
    found.predictions.save_to(tmp_path / "p")
    table = pq.read_table(tmp_path / "p" / "predictions.parquet")
    assert table["label"].to_pylist() == VALUES["y"]
    with model.payload.files() as files:
        assert table["prediction"].to_pylist() == predict(files, data[0]).to_pylist()


@pytest.mark.parametrize(("lowest", "best"), [(False, 1), (True, 0)])
def test_the_best_candidate_is_chosen(lowest, best, tmp_path, data, settings_of):
    models = [tiny_model(tmp_path / f"m{i}", weight) for i, weight in enumerate([-1, 4.0, 0.1])]
    settings = settings_of(BASIC + f"select_lowest = {str(lowest).lower()}\n")
    chosen, found = evaluate(models, *data, settings, None)
    assert chosen is models[best]
    assert found.candidates[best] == (min if lowest else max)(found.candidates)
    assert len(found.candidates) == 3
    assert found.rows[0]["auc"] == pytest.approx(found.candidates[best])


def test_slices_are_by_raw_features(tmp_path, data, settings_of):
    settings = settings_of(BASIC + 'slices = [["word"], ["n"]]\n')
    _, found = evaluate([tiny_model(tmp_path / "m")], *data, settings, None)
    assert [row["slice"] for row in found.rows] == ["Overall", "word:", "word:a", "n:0"]
    counts = [row["example_count"] for row in found.rows]
    assert counts == [40.0, 14.0, 13.0, 40.0], "a row without a word is in no slice by it"


@pytest.mark.parametrize(("weight", "blessed"), [(4.0, True), (0.05, False)])
def test_production_is_compared_on_the_same_rows(weight, blessed, tmp_path, data, settings_of):
    production = in_production(tmp_path, tiny_model(tmp_path / "old", 4.0))
    model = tiny_model(tmp_path / "new", weight)
    settings = settings_of(DROP.replace("lower = 0.5\n", ""))
    _, found = evaluate([model], *data, settings, production)
    assert found.blessing.baseline == "7"
    assert found.blessing.blessed == blessed
    (check,) = found.blessing.checks
    assert f"production's {found.baseline_rows[0]['auc']:.4f}" in check.rule
    assert [r["slice"] for r in found.baseline_rows] == [r["slice"] for r in found.rows]
    assert list(found.curves) == ["candidate", "baseline"]
    assert (found.baseline_rows[0]["auc"] == found.rows[0]["auc"]) == blessed


class Other(tf.Module):
    """A model of another kind of data: its features are x and one more."""

    def __init__(self, name: str, kind: tf.DType) -> None:
        super().__init__()
        specs = {"x": tf.TensorSpec([None], tf.float32), name: tf.TensorSpec([None], kind)}
        body = tf.function(lambda **features: {"outputs": features["x"]})
        self.predict = body.get_concrete_function(**specs)


def unfit(tmp_path: Path, kind: str) -> Path:
    folder = tmp_path / "unfit"
    if kind == "not a model":
        folder.mkdir()
        (folder / "saved_model.pb").write_bytes(b"nonsense")
    elif kind == "no predict signature":
        tf.saved_model.save(tf.Module(), str(folder))
    elif kind == "several outputs":
        constant_model(folder, 0.3, 0.7)
    elif " of type " in kind:
        name, dtype = kind.split(" of type ")
        module = Other(name, tf.dtypes.as_dtype(dtype))
        tf.saved_model.save(module, str(folder), {"predict": module.predict})
    else:
        tiny_model(folder)
        (folder / "variables" / "variables.index").unlink()
    return folder


UNFIT = ["not a model", "no predict signature", "no variables", "several outputs"]
UNFIT += [f"{name} of type {kind}" for name, kind in [("gone", "float32"), ("word", "float32")]]
UNFIT += [f"{name} of type {kind}" for name, kind in [("word", "int64"), ("n", "string")]]


@pytest.mark.parametrize("kind", UNFIT)
def test_an_unfit_baseline_is_named_and_change_bounds_fail(kind, tmp_path, data, settings_of):
    production = in_production(tmp_path, folder=unfit(tmp_path, kind))
    model = tiny_model(tmp_path / "new", 4.0)
    _, found = evaluate([model], *data, settings_of(DROP), production)
    assert found.blessing.baseline.startswith("7 (not comparable: ")
    assert "\n" not in found.blessing.baseline
    assert [check.passed for check in found.blessing.checks] == [True, False]
    assert not found.blessing.blessed
    assert "production's unknown" in found.blessing.failures[0].rule
    assert found.baseline_rows == []


def test_an_unfit_baseline_stops_nothing_without_change_bounds(tmp_path, data, settings_of):
    production = in_production(tmp_path, folder=unfit(tmp_path, "not a model"))
    settings = settings_of(DROP.replace("max_drop = 0.1\n", ""))
    _, found = evaluate([tiny_model(tmp_path / "new", 4.0)], *data, settings, production)
    assert found.blessing.blessed
    assert "not comparable" in found.blessing.baseline


class Constant(tf.Module):
    """One or two outputs that are the same for every row."""

    def __init__(self, *outputs: float) -> None:
        super().__init__()
        self.outputs = tf.constant([outputs])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def predict(self, x):
        return {"outputs": tf.tile(self.outputs, [tf.shape(x)[0], 1])}


def constant_model(folder: Path, *outputs: float) -> Model:
    module = Constant(*outputs)
    tf.saved_model.save(module, str(folder), {"predict": module.predict})
    return model_of(store.save(folder))


def test_several_outputs_go_to_beam(tmp_path, data, settings_of):
    settings = settings_of(
        'metrics = ["ExampleCount", "SparseCategoricalAccuracy"]\n'
        'select = "sparse_categorical_accuracy"\n'
    )
    model = constant_model(tmp_path / "m", 0.3, 0.7)
    _, found = evaluate([model], *data, settings, None)
    assert found.engine == f"{tfma_beam.ENGINE} (in memory does not cover several outputs)"
    assert found.rows[0]["sparse_categorical_accuracy"] == 0.5
    assert found.curves == {}


def test_a_candidate_without_a_value_is_never_chosen(tmp_path, data, settings_of):
    """Precision of a model that never says yes is no number."""
    settings = settings_of('metrics = ["Precision"]\nselect = "precision"\n')
    models = [constant_model(tmp_path / "never", 0.1), constant_model(tmp_path / "always", 0.9)]
    chosen, found = evaluate(models, *data, settings, None)
    assert chosen is models[1]
    assert found.candidates[1] == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            BASIC.replace('"auc"', '"ouc"'),
            r"no metric 'ouc' among .*binary_accuracy; did you mean 'auc'\?",
        ),
        (
            BASIC + '[[evaluate.thresholds]]\nmetric = "binary_acuracy"\nlower = 0.1\n',
            r"no metric 'binary_acuracy' .*did you mean 'binary_accuracy'\?",
        ),
        (BASIC + 'slices = [["wrd"]]\n', r"no feature 'wrd' in the data; did you mean 'word'\?"),
        (BASIC.replace('"AUC"', '"AUK"'), r"'AUK'.*did you mean 'AUC'\?"),
        (
            BASIC.replace('"AUC"', '{ class_name = "AUC", config = { thresh = 3 } }'),
            r"AUC.*thresh",
        ),
        (
            BASIC.replace('"ExampleCount"', '"MinLabelPosition"'),
            "TFMA says: a query_key is required to use MinLabelPosition",
        ),
    ],
)
def test_names_that_do_not_exist_are_one_error(options, message, tmp_path, data, settings_of):
    with pytest.raises(MfxError, match=message):
        evaluate([tiny_model(tmp_path / "m")], *data, settings_of(options), None)


def test_models_are_not_even_loaded_when_a_name_is_wrong(data, settings_of):
    nothing: list[Any] = []
    with pytest.raises(MfxError):
        evaluate(nothing, *data, settings_of(BASIC + 'slices = [["wrd"]]\n'), None)


def test_an_unfit_baseline_fails_change_bounds_of_every_slice(tmp_path, data, settings_of):
    """Also of crossed slices, which TFMA names in another order than the config."""
    settings = settings_of(
        BASIC + 'slices = [["word", "n"]]\n[[evaluate.thresholds]]\nmetric = "auc"\n'
        'max_drop = 0.9\nslices = [["word", "n"]]\n'
    )
    production = in_production(tmp_path, folder=unfit(tmp_path, "no predict signature"))
    _, found = evaluate([tiny_model(tmp_path / "new", 4.0)], *data, settings, production)
    assert not found.blessing.blessed
    failed = [check.slice for check in found.blessing.failures]
    assert failed == ["n:0, word:", "n:0, word:a"]


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_predictions_that_are_no_numbers_are_one_error(number, tmp_path, data, settings_of):
    """TFMA counts NaN as a yes in some metrics and stops at it in others."""
    models = [tiny_model(tmp_path / "new", 4.0), constant_model(tmp_path / "bad", number)]
    with pytest.raises(MfxError, match=f"{ROWS} of {ROWS} predictions are not finite") as caught:
        evaluate(models, *data, settings_of(BASIC), None)
    assert caught.value.remedy


def test_a_baseline_that_predicts_no_numbers_is_unfit(tmp_path, data, settings_of):
    production = in_production(tmp_path, constant_model(tmp_path / "bad", np.nan))
    model = tiny_model(tmp_path / "new", 4.0)
    _, found = evaluate([model], *data, settings_of(DROP), production)
    assert "not comparable: ValueError: 40 of 40 predictions" in found.blessing.baseline
    assert not found.blessing.blessed
