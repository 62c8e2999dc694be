"""Pick the candidate, compute sliced metrics, compare with production, bless or not
(TFX: Resolver, Evaluator)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_model_analysis as tfma

from mfx import blessing, curves, store, tfma_beam, tfma_config, tfma_local
from mfx.artifacts import Evaluation, Examples, Model
from mfx.config import Evaluate, Settings
from mfx.errors import MfxError, nearest
from mfx.registry import Production
from mfx.tensors import dense_inputs
from mfx.tfma_config import BASELINE, CANDIDATE, LABEL


def evaluate(
    models: Sequence[Model],
    examples: Examples,
    transformed: Examples,
    settings: Settings,
    baseline: Production | None,
) -> tuple[Model, Evaluation]:
    """Evaluate the best of `models` on the eval split.

    Predictions come from the exported SavedModels on raw rows, labels from the transform graph.

    Args:
        models: The candidates.
        examples: Raw rows; the eval split is predicted and sliced.
        transformed: The same rows as the transform graph gives them; holds the label.
        settings: Metrics, slices and thresholds.
        baseline: The model now in production; predicts the same rows.

    Raises:
        MfxError: The config asks for a metric or slice that does not exist, or a candidate does not
            answer with numbers.
    """
    options = settings.evaluate
    _check_names(options, examples)
    label = transformed.to_arrow("eval", [settings.label.name]).column(0)
    label = label.combine_chunks().cast(pa.float32())
    features = _features(options, examples)
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        folder = Path(directory)
        tables = []
        for model in models:
            with model.payload.files() as files:
                prediction = predict(files, examples)
            if wrong := _not_finite(prediction):
                raise MfxError(
                    f"evaluate: candidate {model.candidate}: {wrong}",
                    "Check its features for values without bounds, or lower learning_rate.",
                )
            columns = dict(zip(features.column_names, features.columns, strict=True))
            tables.append(pa.table({**columns, LABEL: label, CANDIDATE: prediction}))
        scores = [_score(t, options, folder / f"score-{i}") for i, t in enumerate(tables)]
        best = (min if options.select_lowest else max)(range(len(models)), key=scores.__getitem__)
        table, model = tables[best], models[best]

        table, compared, unfit = _with_baseline(table, baseline, examples)
        config = tfma_config.eval_config(options, compared)
        engine = _compute(table, config, folder / "results")
        names = [CANDIDATE, BASELINE] if compared else [""]
        rows = [tfma_config.rows(folder / "results", name, options.slices) for name in names]
        verdict = blessing.bless(
            options,
            rows[0],
            rows[1] if compared else [],
            tfma.load_validation_result(str(folder / "results")),
            _baseline_name(baseline, unfit),
        )
        answers = table.select([LABEL, CANDIDATE]).rename_columns(["label", "prediction"])
        (folder / "predictions").mkdir()
        pq.write_table(answers, folder / "predictions" / "predictions.parquet")
        evaluation = Evaluation(
            rows=rows[0],
            baseline_rows=rows[1] if compared else [],
            curves=curves.of(table, names=[CANDIDATE, BASELINE][: len(names)]),
            candidates=scores,
            blessing=verdict,
            predictions=store.save(folder / "predictions"),
            results=store.save(folder / "results"),
            engine=engine,
            lineage=model.lineage.after(model.digest, examples.digest),
        )
    return model, evaluation


def predict(saved_model: Path, examples: Examples) -> pa.Array:
    """The SavedModel's answers to all eval rows.

    Returns:
        float32 of shape [rows], or lists of float32 when the model has several outputs.
    """
    signature = tf.saved_model.load(str(saved_model)).signatures["predict"]
    specs = signature.structured_input_signature[1]
    answers = [
        signature(**dense_inputs(batch, specs))["outputs"].numpy()
        for batch in examples.batches("eval", columns=list(specs))
    ]
    values = np.concatenate(answers).astype(np.float32)
    flat = values.reshape(len(values), -1)
    return pa.array(flat[:, 0]) if flat.shape[1] == 1 else pa.array(list(flat))


def remeasure(
    prediction: pa.Array, label: pa.Array, examples: Examples, settings: Settings
) -> list[dict[str, Any]]:
    """TFMA's metrics of any predictions of the eval split, as `Evaluation.rows` has them.

    Args:
        prediction: One a row of the eval split.
        label: float32, one a row.
        examples: Raw rows; the eval split is sliced.
        settings: Metrics and slices; thresholds do not matter.
    """
    options = settings.evaluate.model_copy(update={"thresholds": []})
    features = _features(options, examples)
    columns = dict(zip(features.column_names, features.columns, strict=True))
    table = pa.table({**columns, LABEL: label, CANDIDATE: prediction})
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        results = Path(directory, "results")
        _compute(table, tfma_config.eval_config(options, has_baseline=False), results)
        return tfma_config.rows(results, "", options.slices)


def _features(options: Evaluate, examples: Examples) -> pa.Table:
    """The eval rows' columns, besides label and predictions, that metrics need."""
    return examples.to_arrow("eval", sorted({n for keys in options.slices for n in keys}))


def _not_finite(prediction: pa.Array) -> str:
    """What is wrong with predictions that no metric can be made of, or ''."""
    values = prediction.flatten() if pa.types.is_list(prediction.type) else prediction
    count = int((~np.isfinite(values.to_numpy())).sum())
    return f"{count} of {len(values)} predictions are not finite numbers" if count else ""


def _check_names(options: Evaluate, examples: Examples) -> None:
    for keys in options.slices:
        for name in keys:
            if name not in examples.columns:
                hint = nearest(name, examples.columns)
                raise MfxError(f"evaluate.slices: no feature '{name}' in the data{hint}")
    known = [tfma_config.metric_name(entry) for entry in options.metrics]
    for name in [options.select, *(t.metric for t in options.thresholds)]:
        if name not in known:
            raise MfxError(
                f"evaluate: no metric '{name}' among {', '.join(known)}{nearest(name, known)}"
            )


def _score(table: pa.Table, options: Evaluate, folder: Path) -> float:
    """The selecting metric over the whole eval split."""
    only = options.model_copy(
        update={
            "slices": [],
            "thresholds": [],
            "metrics": [m for m in options.metrics if tfma_config.metric_name(m) == options.select],
        }
    )
    _compute(table, tfma_config.eval_config(only, has_baseline=False), folder)
    value = tfma_config.rows(folder, "", [])[0].get(options.select)
    if value is None:
        return float("inf") if options.select_lowest else float("-inf")
    return value


def _compute(table: pa.Table, config: Any, results: Path) -> str:
    """Write TFMA's result files and say what made them."""
    results.parent.mkdir(exist_ok=True)
    path = results.with_suffix(".parquet")
    pq.write_table(table, path)
    try:
        why_not = tfma_local.covers(config, table.schema)
    except ValueError as error:
        raise MfxError(f"evaluate.metrics: TFMA says: {error}") from None
    engine = tfma_beam if why_not else tfma_local
    engine.evaluate(path, config, results)
    return f"{engine.ENGINE} (in memory does not cover {why_not})" if why_not else engine.ENGINE


def _with_baseline(
    table: pa.Table, baseline: Production | None, examples: Examples
) -> tuple[pa.Table, bool, str]:
    """The table with production's predictions; whether there are any, and if not, why."""
    if baseline is None:
        return table, False, ""
    try:
        with baseline.files() as files:
            prediction = predict(files, examples)
        if prediction.type != table[CANDIDATE].type:
            raise ValueError("single and several outputs")
        if wrong := _not_finite(prediction):
            raise ValueError(wrong)
        return table.append_column(BASELINE, prediction), True, ""
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        return table, False, f"{type(error).__name__}: {str(error).splitlines()[0]}"


def _baseline_name(baseline: Production | None, unfit: str) -> str:
    if baseline is None:
        return blessing.FIRST_RUN
    return f"{baseline.run} (not comparable: {unfit})" if unfit else baseline.run
