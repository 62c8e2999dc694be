"""Picking a candidate, comparing it with production, and the message of each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from helpers.pushes import push_folder
from helpers.small_world import CONFIG, save_examples, write_pipeline
from helpers.tiny_models import COLUMNS, model_of, tiny_model

from mfx.artifacts import FIRST_RUN, OVERALL, ComparedWith, Examples, Model, store
from mfx.config import Settings
from mfx.destinations.local import LocalDestination
from mfx.errors import MfxError
from mfx.evaluate import _private, tfma_beam, tfma_local
from mfx.evaluate.evaluate import evaluate, predict
from mfx.export import answers
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
    """Raw and transformed examples; the label rises with x."""
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
    rules = [check.rule for check in found.blessing.checks]
    assert rules == ["at least 0.5", "no change to check: nothing is in production yet"]
    assert (found.rows[0].slice, found.overall["example_count"]) == (OVERALL, ROWS)
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
    assert found.overall["auc"] == pytest.approx(found.candidates[best])


FLAT = {**VALUES, "x": [v and -v for v in VALUES["x"]], "word": [b""] * ROWS}
"""Here the label falls with x, so the model that is best on `VALUES` is the worst."""


def with_test(folder: Path, test: dict[str, list]) -> tuple[Examples, Examples]:
    """As `data`, with a test split."""
    raw = save_examples(folder / "raw3", COLUMNS, train=VALUES, eval=VALUES, test=test)
    label = {"label": VALUES["y"]}
    splits = dict.fromkeys(("train", "eval", "test"), label)
    return raw, save_examples(folder / "t3", {"label": "int64"}, **splits)


def test_eval_chooses_and_the_test_split_blesses(tmp_path, data, settings_of):
    models = [tiny_model(tmp_path / f"m{i}", weight) for i, weight in enumerate([-1, 4.0])]
    settings = settings_of(DROP)
    _, without = evaluate(models, *data, settings, None)
    assert (without.split, without.blessing.blessed) == ("eval", True)
    assert (without.chosen, without.select, without.where) == (1, "auc", "")
    given = with_test(tmp_path, FLAT)
    chosen, found = evaluate(models, *given, settings, None)
    assert chosen is models[1] and found.candidates == without.candidates
    assert (found.split, found.chosen, found.where) == ("test", 1, "on test: ")
    assert found.candidates[1] > 0.9 > 0.1 > found.overall["auc"]
    assert not found.blessing.blessed
    (failed,) = found.blessing.failures
    assert failed.rule == "at least 0.5"
    found.predictions.save_to(tmp_path / "p")
    kept = pq.read_table(tmp_path / "p" / "predictions.parquet")
    with chosen.payload.files() as files:
        assert kept["prediction"].to_pylist() == predict(files, given[0], "test").to_pylist()


def test_equal_rows_in_test_give_the_figures_of_eval(tmp_path, data, settings_of):
    """Slices, weights, the baseline and curves are of the test split too."""
    model = tiny_model(tmp_path / "m", 4.0)
    settings = settings_of('slices = [["word"]]\nexample_weight = "w"\n' + DROP)
    columns = {**COLUMNS, "w": "float32"}
    values = {**VALUES, "w": [1.0 + i % 3 for i in range(ROWS)]}
    other = {**FLAT, "w": [2.0] * ROWS}
    transformed = with_test(tmp_path, FLAT)[1]
    two = save_examples(tmp_path / "two", columns, train=values, eval=values)
    three = save_examples(tmp_path / "three", columns, train=values, eval=other, test=values)
    before = in_production(tmp_path, tiny_model(tmp_path / "old", 3.0))
    _, on_eval = evaluate([model], two, data[1], settings, before)
    _, on_test = evaluate([model], three, transformed, settings, before)
    assert on_test.rows == on_eval.rows and on_test.baseline_rows == on_eval.baseline_rows
    assert on_test.curves == on_eval.curves
    assert on_test.blessing == on_eval.blessing
    assert on_test.candidates != on_eval.candidates


def test_a_candidate_without_a_value_is_not_the_best(tmp_path, data, settings_of):
    """Such a model has no precision. It is chosen if it is alone, but not between two of them."""
    settings = settings_of(
        'metrics = [{ class_name = "Precision", config = { thresholds = 0.9 } }]\n'
        'select = "precision"\nselect_lowest = true\n'
    )
    never = [tiny_model(tmp_path / f"never{i}", 0.0) for i in range(2)]
    some = tiny_model(tmp_path / "some", 4.0)
    chosen, found = evaluate([never[0], some], *data, settings, None)
    assert chosen is some
    assert found.candidates[0] is None and found.candidates[1] is not None
    _, found = evaluate(never[:1], *data, settings, None)
    assert found.candidates == [None]
    assert found.why_none("precision") == "nothing predicted positive"
    with pytest.raises(MfxError, match=r"no value for any of 2 candidates .* \(nothing predicted"):
        evaluate(never, *data, settings, None)


def test_a_slice_of_one_class_is_neither_shown_as_the_worst_nor_held_to_a_bar(
    tmp_path, datastore, settings_of
):
    words = [[b"no", b"yes"][y] if i % 2 else b"any" for i, y in enumerate(VALUES["y"])]
    values = {**VALUES, "word": words}
    raw = save_examples(tmp_path / "raw", COLUMNS, train=values, eval=values)
    label = {"label": values["y"]}
    transformed = save_examples(tmp_path / "t", {"label": "int64"}, train=label, eval=label)
    settings = settings_of(
        BASIC + 'slices = [["word"]]\n[[evaluate.thresholds]]\nmetric = "auc"\nlower = 0.6\n'
        'max_drop = 0.5\nslices = [[], ["word"]]\n'
    )
    model = tiny_model(tmp_path / "new", 4.0)
    for production in (None, in_production(tmp_path, tiny_model(tmp_path / "old", 4.0))):
        _, found = evaluate([model], raw, transformed, settings, production)
        assert found.metrics().auc[["word:no", "word:yes"]].isna().all()
        assert found.why_none("auc", "word:yes") == "one class only: no negatives"
        assert found.metrics().auc["word:any"] > 0.6
        assert found.blessing.blessed, found.blessing.failures
        assert found.blessing.outcome == "4 of 4 checks passed, 4 not checked"
    assert found.why_none("auc", "word:no", baseline=True) == "one class only: no positives"


def test_slices_are_by_raw_features(tmp_path, data, settings_of):
    settings = settings_of(BASIC + 'slices = [["word"], ["n"]]\n')
    _, found = evaluate([tiny_model(tmp_path / "m")], *data, settings, None)
    assert [str(row.slice) for row in found.rows] == ["Overall", "word:", "word:a", "n:0"]
    counts = [row.metrics["example_count"] for row in found.rows]
    assert counts == [40.0, 14.0, 13.0, 40.0], "a row without a word is in no slice by it"


@pytest.mark.parametrize(("weight", "blessed"), [(4.0, True), (0.05, False)])
def test_production_is_compared_on_the_same_rows(weight, blessed, tmp_path, data, settings_of):
    production = in_production(tmp_path, tiny_model(tmp_path / "old", 4.0))
    model = tiny_model(tmp_path / "new", weight)
    settings = settings_of(DROP.replace("lower = 0.5\n", ""))
    _, found = evaluate([model], *data, settings, production)
    assert found.blessing.baseline == ComparedWith("7")
    assert found.blessing.blessed == blessed
    (check,) = found.blessing.checks
    assert f"production's {found.baseline_rows[0].metrics['auc']:.4f}" in check.rule
    assert [r.slice for r in found.baseline_rows] == [r.slice for r in found.rows]
    assert list(found.curves) == ["candidate", "baseline"]
    assert (found.baseline_rows[0].metrics["auc"] == found.overall["auc"]) == blessed


class Other(tf.Module):
    """A model for other data: it takes x and a feature that the data does not have."""

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
    assert str(found.blessing.baseline).startswith("7 (not comparable: ")
    assert "\n" not in str(found.blessing.baseline)
    assert [check.passed for check in found.blessing.checks] == [True, False]
    assert not found.blessing.blessed
    assert "production's unknown" in found.blessing.failures[0].rule
    assert found.baseline_rows == []


def test_an_unfit_baseline_stops_nothing_without_change_bounds(tmp_path, data, settings_of):
    production = in_production(tmp_path, folder=unfit(tmp_path, "not a model"))
    settings = settings_of(DROP.replace("max_drop = 0.1\n", ""))
    _, found = evaluate([tiny_model(tmp_path / "new", 4.0)], *data, settings, production)
    assert found.blessing.blessed
    assert "not comparable" in str(found.blessing.baseline)


class Constant(tf.Module):
    """A model with one or two outputs, the same for every row."""

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


def test_several_outputs_have_no_curves(tmp_path, data, settings_of):
    settings = settings_of(
        'metrics = ["ExampleCount", "SparseCategoricalAccuracy"]\n'
        'select = "sparse_categorical_accuracy"\n'
    )
    model = constant_model(tmp_path / "m", 0.3, 0.7)
    _, found = evaluate([model], *data, settings, None)
    assert found.engine == tfma_local.ENGINE
    assert found.overall["sparse_categorical_accuracy"] == 0.5
    assert found.curves == {}


CLASSES = """
metrics = [
    "ExampleCount",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "MultiClassConfusionMatrixPlot",
    { class_name = "Precision", config = { class_id = 1, name = "precision_1" } },
    { class_name = "Precision", config = { class_id = 2, name = "precision_2" } },
]
select = "sparse_categorical_accuracy"
slices = [["word"]]
"""


class ThreeClasses(tf.Module):
    """Class probabilities by x: below -0.5, up to 0.5, above. With `sure` 0 all are equal."""

    def __init__(self, sure: float) -> None:
        super().__init__()
        self.sure = sure

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def predict(self, x):
        known = tf.where(tf.math.is_nan(x), tf.zeros_like(x), x)
        scores = [-known - 0.5, tf.zeros_like(known), known - 0.5]
        return {"outputs": tf.nn.softmax(self.sure * tf.stack(scores, axis=1))}


def three_classes(folder: Path, sure: float) -> Model:
    module = ThreeClasses(sure)
    tf.saved_model.save(module, str(folder), {"predict": module.predict})
    return model_of(store.save(folder))


@pytest.fixture
def classes(tmp_path, data) -> tuple[Examples, Examples]:
    """The same raw examples, with the class of x as the label."""
    place = [1 if v is None else int(v > -0.5) + int(v > 0.5) for v in VALUES["x"]]
    label = {"label": place}
    return data[0], save_examples(tmp_path / "c", {"label": "int64"}, train=label, eval=label)


@pytest.mark.parametrize(("sure", "blessed"), [(4.0, True), (-4.0, False)])
def test_classes_are_compared_with_production(sure, blessed, tmp_path, classes, settings_of):
    production = in_production(tmp_path, three_classes(tmp_path / "old", 2.0))
    settings = settings_of(
        CLASSES + '[[evaluate.thresholds]]\nmetric = "sparse_categorical_accuracy"\n'
        'lower = 0.9\nmax_drop = 0.05\nslices = [[], ["word"]]\n'
        '[[evaluate.thresholds]]\nmetric = "precision_1"\nlower = 0.9\n'
    )
    model = three_classes(tmp_path / "new", sure)
    _, found = evaluate([model], *classes, settings, production)
    assert found.engine == tfma_local.ENGINE
    assert found.blessing.baseline == ComparedWith("7")
    assert found.blessing.blessed == blessed
    assert [str(row.slice) for row in found.rows] == ["Overall", "word:", "word:a"]
    accuracies = [row.metrics["sparse_categorical_accuracy"] for row in found.baseline_rows]
    assert accuracies == [1.0] * 3
    if blessed:
        assert found.overall["sparse_categorical_accuracy"] == 1.0
        assert found.overall["precision_1"] == 1.0
        assert found.overall["precision_2"] == 1.0
    found.results.save_to(tmp_path / "results")
    (plots, *_) = tfma.load_plots(str(tmp_path / "results"))
    kinds = {f.name for e in plots.plot_keys_and_values for f, _ in e.value.ListFields()}
    assert kinds == {"multi_class_confusion_matrix_at_thresholds"}


@pytest.mark.parametrize(
    ("label", "options", "message"),
    [
        (None, BASIC, r"1 labels are not between 0 and 1"),
        (3, BASIC, r"1 labels are not between 0 and 1"),
        (3, CLASSES, "1 labels are not class numbers of a model with 3 outputs"),
    ],
)
def test_a_label_that_fits_no_metric_is_one_error(
    label, options, message, tmp_path, data, settings_of
):
    labels = {"label": [label, *VALUES["y"][1:]]}
    odd = save_examples(tmp_path / "odd", {"label": "int64"}, train=labels, eval=labels)
    make = three_classes if options is CLASSES else tiny_model
    with pytest.raises(MfxError, match=message) as caught:
        evaluate([make(tmp_path / "m", 1.0)], data[0], odd, settings_of(options), None)
    assert caught.value.remedy


def test_production_with_another_number_of_outputs_is_unfit(tmp_path, classes, settings_of):
    production = in_production(tmp_path, constant_model(tmp_path / "old", 0.3, 0.7))
    model = three_classes(tmp_path / "new", 4.0)
    _, found = evaluate([model], *classes, settings_of(CLASSES), production)
    why = "not comparable: ValueError: it has another number of outputs"
    assert why in str(found.blessing.baseline)


def raw_model(folder: Path, activation: str = "", scale: float = 4.0) -> Model:
    """A network that answers with scale * x + 0.5; `loss` says what its answers mean."""
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.float32, name="x")

    def predict(x):
        known = tf.where(tf.math.is_nan(x), tf.zeros_like(x), x)
        return {"outputs": scale * known[:, None] + 0.5}

    module.predict = tf.function(predict).get_concrete_function(x=spec)
    tf.saved_model.save(module, str(folder), {"predict": module.predict})
    answers.write(folder, activation)
    return model_of(store.save(folder))


SCORE = 4.0 * np.array([v or 0 for v in VALUES["x"]]) + 0.5
CALIBRATED = BASIC.replace('"AUC"', '"AUC", "Calibration"')


def test_logits_are_evaluated_as_probabilities(tmp_path, data, settings_of):
    _, found = evaluate(
        [raw_model(tmp_path / "m", "sigmoid")], *data, settings_of(CALIBRATED), None
    )
    chance, label = 1 / (1 + np.exp(-SCORE)), np.array(VALUES["y"])
    expected = {
        "binary_accuracy": ((chance > 0.5) == label).mean(),
        "calibration": chance.sum() / label.sum(),
    }
    assert {name: found.overall[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    with found.predictions.files() as folder:
        table = pq.read_table(folder / "predictions.parquet")
    assert table["answer"].to_numpy() == pytest.approx(SCORE, abs=1e-5)
    assert table["prediction"].to_numpy() == pytest.approx(chance, abs=1e-6)


def test_production_is_read_alike(tmp_path, data, settings_of):
    """How logits become probabilities is stored in the model's folder, so it moves with it."""
    production = in_production(tmp_path, raw_model(tmp_path / "old", "sigmoid"))
    model = raw_model(tmp_path / "new", "sigmoid")
    _, found = evaluate([model], *data, settings_of(CALIBRATED), production)
    assert found.baseline_rows == found.rows


def test_what_is_no_probability_is_one_error(tmp_path, data, settings_of):
    with pytest.raises(MfxError) as caught:
        evaluate([raw_model(tmp_path / "m")], *data, settings_of(CALIBRATED), None)
    said = r"candidate 0: 32 of 40 predictions are not between 0 and 1 \(they go from -7.1 to 8.1\)"
    assert caught.match(said)
    assert "but auc, binary_accuracy need probabilities" in caught.value.what
    assert "sigmoid" in caught.value.remedy


def test_amounts_need_be_no_probabilities(tmp_path, data, settings_of):
    amounts = 'metrics = ["ExampleCount", "MeanSquaredError"]\nselect = "mean_squared_error"\n'
    _, found = evaluate([raw_model(tmp_path / "m")], *data, settings_of(amounts), None)
    error = ((SCORE - np.array(VALUES["y"])) ** 2).mean()
    assert found.overall["mean_squared_error"] == pytest.approx(error, rel=1e-6)


def test_production_that_gives_no_probabilities_is_unfit(tmp_path, data, settings_of):
    production = in_production(tmp_path, raw_model(tmp_path / "old"))
    _, found = evaluate([tiny_model(tmp_path / "new", 4.0)], *data, settings_of(DROP), production)
    assert "not comparable: ValueError: 32 of 40 predictions are not between" in str(
        found.blessing.baseline
    )
    assert not found.blessing.blessed


def test_classes_must_add_up(tmp_path, classes, settings_of):
    model = constant_model(tmp_path / "m", 0.3, 0.3, 0.3)
    with pytest.raises(MfxError, match="40 of 40 rows of predictions do not add up to 1"):
        evaluate([model], *classes, settings_of(CLASSES), None)


def test_a_metric_does_not_take_logits(tmp_path, data, settings_of):
    logits = '{ class_name = "BinaryCrossentropy", config = { from_logits = true } }'
    settings = settings_of(BASIC.replace('"AUC"', f'"AUC", {logits}'))
    with pytest.raises(MfxError, match="binary_crossentropy has from_logits") as caught:
        evaluate([raw_model(tmp_path / "m")], *data, settings, None)
    assert "the network's loss" in caught.value.remedy


def test_a_version_of_tfma_that_was_not_checked_goes_to_beam(
    monkeypatch, tmp_path, data, settings_of
):
    model = tiny_model(tmp_path / "m", 4.0)
    _, expected = evaluate([model], *data, settings_of(BASIC), None)
    monkeypatch.setitem(_private.CHECKED, "tensorflow-model-analysis", ("0.0.1",))
    _, found = evaluate([model], *data, settings_of(BASIC), None)
    why = f"the engine in memory does not cover TFMA {tfma.__version__}"
    assert found.engine == f"{tfma_beam.ENGINE} ({why})"
    assert [r.metrics for r in found.rows] == [pytest.approx(r.metrics) for r in expected.rows]


WEIGHTED = BASIC + 'example_weight = "n"\nslices = [["word"]]\n'


def weighing(folder: Path, data: tuple[Examples, Examples], weights: list[Any]):
    """`data` with `weights` as the values of n."""
    columns = {**VALUES, "n": weights}
    return save_examples(folder / "weighed", COLUMNS, train=columns, eval=columns), data[1]


def test_example_weights_count_in_every_metric(tmp_path, data, settings_of):
    weights = [3 if i < 10 else 1 for i in range(ROWS)]
    production = in_production(tmp_path, constant_model(tmp_path / "old", 0.1))
    model = constant_model(tmp_path / "new", 0.9)
    weighed = weighing(tmp_path, data, weights)
    _, found = evaluate([model], *weighed, settings_of(WEIGHTED), production)
    overall, empty, a = (row.metrics for row in found.rows)
    assert [str(row.slice) for row in found.rows] == ["Overall", "word:", "word:a"]
    assert overall["example_count"] == sum(weights) == 60
    # All rows weigh 60; the 20 rows with label 1 weigh 20.
    assert overall["binary_accuracy"] == pytest.approx(20 / 60)
    assert found.baseline_rows[0].metrics["binary_accuracy"] == pytest.approx(40 / 60)
    assert empty["example_count"] == sum(weights[0::3])
    assert a["binary_accuracy"] == pytest.approx(
        sum(w * y for w, y in zip(weights[1::3], VALUES["y"][1::3], strict=True))
        / sum(weights[1::3])
    )
    assert found.engine == tfma_local.ENGINE


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([None, *[1] * (ROWS - 1)], f"1 of {ROWS} eval rows have 'n' missing or not finite"),
        ([1, -2, -1, *[1] * (ROWS - 3)], f"2 of {ROWS} eval rows have 'n' negative"),
    ],
)
def test_weights_that_are_none_are_one_error(weights, message, tmp_path, data, settings_of):
    weighed = weighing(tmp_path, data, weights)
    with pytest.raises(MfxError, match=f"evaluate.example_weight: {message}") as caught:
        evaluate([tiny_model(tmp_path / "m")], *weighed, settings_of(WEIGHTED), None)
    assert "weight of 0 or more" in caught.value.remedy


def test_a_candidate_without_a_value_is_never_chosen(tmp_path, data, settings_of):
    """A model that predicts nothing positive has no precision."""
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
        (BASIC.replace('"AUC"', '"AUC", "AUC"'), "2 metrics are named 'auc'"),
        (BASIC + 'example_weight = "wrd"\n', r"example_weight: no feature 'wrd'.*mean 'word'\?"),
        (BASIC + 'example_weight = "word"\n', "'word' has type binary, expected numbers"),
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
    """Crossed slices too, whose features TFMA lists in another order than the config."""
    settings = settings_of(
        BASIC + 'slices = [["word", "n"]]\n[[evaluate.thresholds]]\nmetric = "auc"\n'
        'max_drop = 0.9\nslices = [["word", "n"]]\n'
    )
    production = in_production(tmp_path, folder=unfit(tmp_path, "no predict signature"))
    _, found = evaluate([tiny_model(tmp_path / "new", 4.0)], *data, settings, production)
    assert not found.blessing.blessed
    failed = [str(check.slice) for check in found.blessing.failures]
    assert failed == ["n:0, word:", "n:0, word:a"]


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_predictions_that_are_no_numbers_are_one_error(number, tmp_path, data, settings_of):
    """TFMA takes NaN for positive in some metrics and fails in others."""
    models = [tiny_model(tmp_path / "new", 4.0), constant_model(tmp_path / "bad", number)]
    with pytest.raises(MfxError, match=f"{ROWS} of {ROWS} predictions are not finite") as caught:
        evaluate(models, *data, settings_of(BASIC), None)
    assert caught.value.remedy


def test_a_baseline_that_predicts_no_numbers_is_unfit(tmp_path, data, settings_of):
    production = in_production(tmp_path, constant_model(tmp_path / "bad", np.nan))
    model = tiny_model(tmp_path / "new", 4.0)
    _, found = evaluate([model], *data, settings_of(DROP), production)
    assert "not comparable: ValueError: 40 of 40 predictions" in str(found.blessing.baseline)
    assert not found.blessing.blessed


def test_features_may_be_named_as_the_evaluators_columns(tmp_path, datastore, settings_of):
    """Slices by a feature named `label` use its values, not those of the label column."""
    named = {"x": VALUES["x"], "word": VALUES["word"], "n": VALUES["n"], "y": VALUES["y"]}
    columns = {**COLUMNS, "label": "bytes", "candidate": "int64"}
    extra = {"label": [b"odd", b"even"] * (ROWS // 2), "candidate": [0] * ROWS}
    raw = save_examples(tmp_path / "r", columns, train={**named, **extra}, eval={**named, **extra})
    label = {"label": VALUES["y"]}
    transformed = save_examples(tmp_path / "t", {"label": "int64"}, train=label, eval=label)
    model = tiny_model(tmp_path / "m", 4.0)
    _, found = evaluate(
        [model], raw, transformed, settings_of(BASIC + 'slices = [["label"]]'), None
    )
    assert [str(row.slice) for row in found.rows] == ["Overall", "label:even", "label:odd"]
    with pytest.raises(MfxError, match="'candidate' is the name of a model in the results"):
        evaluate([model], raw, transformed, settings_of(BASIC + 'slices = [["candidate"]]'), None)
