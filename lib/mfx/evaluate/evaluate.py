"""Pick the best candidate, compute sliced metrics, compare it with production, bless it or not.

Candidates are compared on the eval split. The chosen one is measured on the test split, if there is
one: rows that chose it would flatter it.

In TFX these are the jobs of Resolver and Evaluator.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_model_analysis as tfma

from mfx.artifacts import FIRST_RUN, OVERALL, ComparedWith, Evaluation, Examples, Model, store
from mfx.artifacts.evaluation import Reasons
from mfx.beam import runner
from mfx.columns import input_names
from mfx.columns.raw_features import dense_inputs
from mfx.config import Beam, Evaluate, Metric
from mfx.errors import MfxError, nearest
from mfx.evaluate import blessing, curves, no_value, tfma_beam, tfma_config, tfma_local
from mfx.evaluate.baseline import Baseline
from mfx.evaluate.tfma_config import BASELINE, CANDIDATE, LABEL, WEIGHT
from mfx.export import answers
from mfx.splits import EVAL, judging

if TYPE_CHECKING:
    from mfx.evaluate.spec import Reads


def evaluate(
    models: Sequence[Model],
    examples: Examples,
    transformed: Examples,
    settings: Reads,
    baseline: Baseline | None,
) -> tuple[Model, Evaluation]:
    """Pick the best of `models` on the eval split; measure it on the test split, if there is one.

    The exported SavedModels predict the raw rows. The labels come from the transform graph. If a
    network's loss takes logits, its predictions are turned into probabilities.

    Args:
        models: The candidates, in any order.
        examples: The rows as ingested. They are predicted and sliced.
        transformed: The same rows after the transform graph; they have the label.
        settings: The config's tables `[evaluate]`, `[label]` and `[beam]`.
        baseline: The model now in production, if any. It predicts the same rows.

    Returns:
        The best candidate, and its evaluation with the blessing.

    Raises:
        MfxError: The config names a metric or a feature that does not exist; a candidate's
            predictions are not finite, or are no probabilities although a metric needs them;
            labels or example weights do not fit; no candidate can be chosen; or TFMA's Beam
            pipeline failed.
    """
    options = settings.evaluate
    models = sorted(models, key=lambda model: model.candidate)
    _check_names(options, examples)
    split = judging(examples.splits)
    tables, answered = _predictions(models, examples, transformed, settings, EVAL)
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        folder = Path(directory)
        scores = [
            _score(t, options, folder / f"score-{i}", settings.beam) for i, t in enumerate(tables)
        ]
        best = _best(scores, options)
        model, table, answer = models[best], tables[best], answered[best]
        if split != EVAL:
            (table,), (answer,) = _predictions([model], examples, transformed, settings, split)
        table, compared, unfit = _with_baseline(table, baseline, examples, options, split)
        config = tfma_config.eval_config(options, compared)
        engine = _compute(table, config, folder / "results", settings.beam)
        names = [CANDIDATE, BASELINE] if compared else [""]
        found = [_rows(folder / "results", name, table, config, options) for name in names]
        (rows, why), (baseline_rows, baseline_why) = found if compared else (found[0], ([], {}))
        verdict = blessing.bless(
            options,
            rows,
            baseline_rows,
            tfma.load_validation_result(str(folder / "results")),
            ComparedWith(baseline.run, unfit) if baseline else FIRST_RUN,
            why,
            baseline_why,
        )
        evaluation = Evaluation(
            rows=rows,
            baseline_rows=baseline_rows,
            curves=curves.compute(table, names=[CANDIDATE, BASELINE][: len(names)]),
            candidates=[score for score, _ in scores],
            blessing=verdict,
            predictions=_save_predictions(table, answer),
            results=store.save(folder / "results"),
            engine=engine,
            lineage=model.lineage.derived(model.digest, examples.digest),
            no_value=why,
            baseline_no_value=baseline_why,
            split=split,
            chosen=best,
            select=options.select,
        )
    return model, evaluation


def _predictions(
    models: Sequence[Model], examples: Examples, transformed: Examples, settings: Reads, split: str
) -> tuple[list[pa.Table], list[pa.Array]]:
    """Let each model predict a split.

    Returns:
        For each model a table of slicing features, label and prediction; and for each model its
        answers, before logits become probabilities.

    Raises:
        MfxError: Predictions are not finite, or are no probabilities although a metric needs them.
    """
    options = settings.evaluate
    label = transformed.to_arrow(split, [settings.label.name]).column(0)
    label = label.combine_chunks().cast(pa.float32())
    features = _features(options, examples, split)
    columns = dict(zip(features.column_names, features.columns, strict=True))
    tables, answered = [], []
    for model in models:
        with model.payload.files() as files:
            answer, prediction = ask(files, examples, split)
        if wrong := _not_finite(prediction):
            raise MfxError(
                f"evaluate: candidate {model.candidate}: {wrong}",
                "Check its features for very large values, or lower learning_rate.",
            )
        if wrong := not_probabilities(prediction, options):
            raise MfxError(f"evaluate: candidate {model.candidate}: {wrong}", answers.CURE)
        answered.append(answer)
        tables.append(pa.table({**columns, LABEL: label, CANDIDATE: prediction}))
    return tables, answered


def _save_predictions(table: pa.Table, answered: pa.Array) -> store.Payload:
    """Save each row's label, prediction and answer in the running flow's datastore."""
    kept = table.select([LABEL, CANDIDATE]).rename_columns(["label", "prediction"])
    kept = kept.append_column("answer", answered)
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        pq.write_table(kept, Path(directory, "predictions.parquet"))
        return store.save(directory)


def ask(saved_model: Path, examples: Examples, split: str = EVAL) -> tuple[pa.Array, pa.Array]:
    """Ask a SavedModel for its answers to all rows of a split.

    Returns:
        The answers as the signature `predict` gives them, and the predictions that are evaluated,
        with logits turned into probabilities (see `answers.as_evaluated`). Both are float32 of
        shape [rows], or lists of float32 if the model has several outputs.
    """
    signature = tf.saved_model.load(str(saved_model)).signatures["predict"]
    arguments = input_names.read(saved_model)
    taken = signature.structured_input_signature[1]
    specs = {title: taken[argument] for title, argument in arguments.items()}
    parts = []
    for batch in examples.batches(split, columns=list(specs)):
        inputs = dense_inputs(batch, specs)
        part = signature(**{arguments[title]: tensor for title, tensor in inputs.items()})
        parts.append(part["outputs"].numpy())
    values = np.concatenate(parts).astype(np.float32)
    flat = values.reshape(len(values), -1)
    return _column(flat), _column(answers.as_evaluated(saved_model, flat))


def predict(saved_model: Path, examples: Examples, split: str = EVAL) -> pa.Array:
    """A SavedModel's predictions for all rows of a split, as they are evaluated; see `ask`."""
    return ask(saved_model, examples, split)[1]


def _column(values: np.ndarray) -> pa.Array:
    """Turn an array of shape [rows, outputs] into an Arrow column."""
    if values.shape[1] == 1:
        return pa.array(values[:, 0])
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, values.reshape(-1))


def _values(prediction: pa.Array) -> np.ndarray:
    """Turn a column of predictions into an array of shape [rows, outputs]."""
    flat = prediction.flatten() if pa.types.is_list(prediction.type) else prediction
    return flat.to_numpy(zero_copy_only=False).reshape(len(prediction), -1)


def not_probabilities(prediction: pa.Array, options: Evaluate) -> str:
    """Why metrics of probabilities cannot be computed for these predictions.

    Returns:
        The reason; '' if they can be computed, or if the config has no such metric.
    """
    return answers.not_probabilities(
        _values(prediction), tfma_config.of_probabilities(options.metrics)
    )


def _width(prediction: pa.Array | pa.ChunkedArray) -> int:
    """The number of outputs per row."""
    return len(prediction[0]) if pa.types.is_list(prediction.type) and len(prediction) else 1


def remeasure(
    prediction: pa.Array, label: pa.Array, examples: Examples, settings: Reads, split: str = EVAL
) -> tuple[no_value.Rows, Reasons]:
    """Compute TFMA's metrics for any predictions of a split.

    Args:
        prediction: One prediction per row of the split.
        label: float32, one label per row.
        examples: The rows as ingested. They are sliced.
        settings: The config's metrics and slices. Thresholds are ignored.
        split: The split's name.

    Returns:
        The metrics and why some have no value, in the form of `Evaluation.rows` and
        `Evaluation.no_value`.
    """
    options = settings.evaluate.model_copy(update={"thresholds": []})
    features = _features(options, examples, split)
    columns = dict(zip(features.column_names, features.columns, strict=True))
    table = pa.table({**columns, LABEL: label, CANDIDATE: prediction})
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        results = Path(directory, "results")
        config = tfma_config.eval_config(options, has_baseline=False)
        _compute(table, config, results, settings.beam)
        return _rows(results, "", table, config, options)


def _rows(
    results: Path, name: str, table: pa.Table, config: Any, options: Evaluate
) -> tuple[no_value.Rows, Reasons]:
    given = tfma_config.rows(results, name, options.slices)
    return no_value.decide(given, table, name or CANDIDATE, config, options)


def _features(options: Evaluate, examples: Examples, split: str) -> pa.Table:
    """The columns that metrics need besides label and predictions: slicing features, weight."""
    features = examples.to_arrow(split, sorted({n for keys in options.slices for n in keys}))
    if options.example_weight:
        features = features.append_column(WEIGHT, _example_weight(options, examples, split))
    return features


def _not_finite(prediction: pa.Array) -> str:
    """How many predictions are not finite, in words; '' if all are finite."""
    values = _values(prediction)
    count = int((~np.isfinite(values)).sum())
    return f"{count} of {values.size} predictions are not finite numbers" if count else ""


def _example_weight(options: Evaluate, examples: Examples, split: str) -> pa.ChunkedArray:
    """A split's column of example weights.

    Raises:
        MfxError: It does not hold numbers, or some are missing, negative or not finite.
    """
    name = options.example_weight
    column = examples.to_arrow(split, [name]).column(0)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise MfxError(
            f"evaluate.example_weight: '{name}' has type {column.type}, expected numbers",
            "Name a feature that holds numbers, or remove example_weight.",
        )
    values = column.drop_null().to_numpy()
    missing = column.null_count + int((~np.isfinite(values)).sum())
    for count, what in ((missing, "missing or not finite"), (int((values < 0).sum()), "negative")):
        if count:
            raise MfxError(
                f"evaluate.example_weight: {count} of {len(column)} {split} rows have '{name}' "
                f"{what}",
                "Give each row a weight of 0 or more in the data, or remove example_weight.",
            )
    return column


def _check_names(options: Evaluate, examples: Examples) -> None:
    used = [("slices", name) for keys in options.slices for name in keys]
    if options.example_weight:
        used.append(("example_weight", options.example_weight))
    for key, name in used:
        if name not in examples.columns:
            hint = nearest(name, examples.columns)
            raise MfxError(f"evaluate.{key}: no feature '{name}' in the data{hint}")
    known = [tfma_config.metric_name(entry) for entry in options.metrics]
    for entry, name in zip(options.metrics, known, strict=True):
        if isinstance(entry, Metric) and entry.config.get("from_logits"):
            raise MfxError(
                f"evaluate.metrics: {name} has from_logits, but probabilities are evaluated",
                "Remove it here, and give from_logits=True to the network's loss.",
            )
    for name in known:
        if known.count(name) > 1:
            raise MfxError(
                f"evaluate.metrics: {known.count(name)} metrics are named '{name}'",
                "Give each a different name: { class_name = ..., config = { name = ... } }.",
            )
    for name in [options.select, *(t.metric for t in options.thresholds)]:
        if name not in known:
            raise MfxError(
                f"evaluate: no metric '{name}' among {', '.join(known)}{nearest(name, known)}"
            )


def _score(
    table: pa.Table, options: Evaluate, folder: Path, beam: Beam
) -> tuple[float | None, str]:
    """The value of the metric that selects the candidate, over the whole eval split.

    Returns:
        The value and ''; or None, and why it has no value.
    """
    only = options.model_copy(
        update={
            "slices": [],
            "thresholds": [],
            "metrics": [m for m in options.metrics if tfma_config.metric_name(m) == options.select],
        }
    )
    config = tfma_config.eval_config(only, has_baseline=False)
    _compute(table, config, folder, beam)
    rows, why = _rows(folder, "", table, config, only)
    return rows[0].metrics.get(options.select), why.get(OVERALL, {}).get(options.select, "")


def _best(scores: Sequence[tuple[float | None, str]], options: Evaluate) -> int:
    """The index of the best candidate. A candidate without a value is chosen only if it is alone.

    Raises:
        MfxError: There are several candidates and none has a value.
    """
    known = {place: score for place, (score, _) in enumerate(scores) if score is not None}
    if not known and len(scores) > 1:
        reasons = ", ".join(dict.fromkeys(why for _, why in scores))
        raise MfxError(
            f"evaluate.select: '{options.select}' has no value for any of {len(scores)} "
            f"candidates on the whole eval split ({reasons})",
            "Select by another metric, or check why the eval split cannot tell them apart.",
        )
    return (min if options.select_lowest else max)(known, key=known.__getitem__, default=0)


def _compute(table: pa.Table, config: Any, results: Path, beam: Beam) -> str:
    """Write TFMA's result files; return the name of the engine that computed them."""
    results.parent.mkdir(exist_ok=True)
    path = results.with_suffix(".parquet")
    pq.write_table(table, path)
    try:
        why_not = tfma_local.not_covered(config, table.schema)
    except ValueError as error:
        raise MfxError(f"evaluate.metrics: TFMA says: {error}") from None
    if not (why_not or beam.options):
        tfma_local.evaluate(path, config, results)
        return tfma_local.ENGINE
    tfma_beam.evaluate(path, config, results, beam)
    if beam.options:
        return runner.engine(tfma_beam.ENGINE, beam)
    return f"{tfma_beam.ENGINE} (the engine in memory does not cover {why_not})"


def _with_baseline(
    table: pa.Table, baseline: Baseline | None, examples: Examples, options: Evaluate, split: str
) -> tuple[pa.Table, bool, str]:
    """Add the predictions of the model in production to the table.

    Returns:
        The table; whether it has those predictions; and why the model in production could not
        predict, or ''.
    """
    if baseline is None:
        return table, False, ""
    try:
        with baseline.files() as files:
            prediction = predict(files, examples, split)
        if _width(prediction) != _width(table[CANDIDATE]):
            raise ValueError("it has another number of outputs")
        if wrong := _not_finite(prediction) or not_probabilities(prediction, options):
            raise ValueError(wrong)
        return table.append_column(BASELINE, prediction), True, ""
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        return table, False, f"{type(error).__name__}: {str(error).splitlines()[0]}"
