"""Metrics, plots and validations in memory equal those of TFMA's own pipeline on Beam."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from helpers.tfma_cases import BINARY, CASES, random_table, tiny_table

from mfx.artifacts import OVERALL
from mfx.config import Evaluate
from mfx.evaluate import tfma_beam, tfma_config, tfma_local
from mfx.evaluate.tfma_config import BASELINE, CANDIDATE

EXACT = 1e-9
FLOAT32 = {
    "binary_crossentropy": 1e-6,
    "root_mean_squared_error": 1e-6,
    "logcosh": 1e-6,
    "categorical_crossentropy": 1e-6,
    "categorical_accuracy": 1e-6,
    "mean_squared_logarithmic_error": 1e-6,
}
"""Keras sums these in float32, in batches of other sizes. And the last bit of NumPy's float32
logarithm depends on whether it gets one number or many."""
if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
    # TFMA adds float32 weights to 0.0; in NumPy 2 the sum stays float32.
    FLOAT32["example_count"] = 1e-6


@pytest.fixture(scope="module", params=CASES)
def both(request, tmp_path_factory) -> tuple[Path, Path, Evaluate, bool]:
    """The results of one case, on Beam and in memory."""
    table, options, has_baseline, *changes = CASES[request.param]
    options = Evaluate.model_validate(options)
    config = tfma_config.eval_config(options, has_baseline)
    for change in changes:
        change(config)
    assert tfma_local.not_covered(config, table.schema) == ""
    folder = tmp_path_factory.mktemp("tfma")
    pq.write_table(table, folder / "table.parquet", row_group_size=64)
    tfma_beam.evaluate(folder / "table.parquet", config, folder / "beam")
    tfma_local.evaluate(folder / "table.parquet", config, folder / "local")
    return folder / "beam", folder / "local", options, has_baseline


def sliced(folder: Path, kind: str) -> dict[Any, Any]:
    load = tfma.load_metrics if kind == "metrics" else tfma.load_plots
    found = {}
    for record in load(str(folder)):
        key = json_format.MessageToJson(record.slice_key)
        assert key not in found, "one record a slice"
        # On Beam, a slice without plots has a record too.
        if kind == "metrics" or record.plots or record.plot_keys_and_values:
            found[key] = record
    return found


def values_of(record: Any) -> dict[str, dict[str, Any]]:
    """Each metric's value by its full key: model, name, whether it is a difference."""
    return {
        json_format.MessageToJson(entry.key, sort_keys=True): json_format.MessageToDict(entry.value)
        for entry in record.metric_keys_and_values
    }


def close(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two JSON values are equal except for rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        # In JSON, zero is left out.
        return all(close(a.get(k, 0), b.get(k, 0), tolerance) for k in {*a, *b})
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(close(x, y, tolerance) for x, y in zip(a, b, strict=True))
    try:
        x, y = float(a), float(b)
    except (TypeError, ValueError):
        return a == b
    if math.isnan(x) or math.isnan(y):
        return math.isnan(x) and math.isnan(y)
    return math.isclose(x, y, rel_tol=tolerance, abs_tol=tolerance)


def test_every_slice_and_metric_is_the_same(both):
    beam, local = (sliced(folder, "metrics") for folder in both[:2])
    assert beam.keys() == local.keys()
    compared = 0
    for key, record in beam.items():
        expected, found = values_of(record), values_of(local[key])
        assert found.keys() == expected.keys(), key
        for name, value in expected.items():
            tolerance = next((t for n, t in FLOAT32.items() if n in name), EXACT)
            assert close(found[name], value, tolerance), (key, name, value, found[name])
            compared += 1
    assert compared >= 3


def test_plots_are_the_same(both):
    beam, local = (sliced(folder, "plots") for folder in both[:2])
    assert beam.keys() == local.keys()
    for key, record in beam.items():
        assert close(
            json_format.MessageToDict(local[key]), json_format.MessageToDict(record), EXACT
        ), key


def test_validations_are_the_same(both):
    beam, local = (tfma.load_validation_result(str(folder)) for folder in both[:2])
    assert local.validation_ok == beam.validation_ok
    assert local.missing_thresholds == beam.missing_thresholds
    failures = [
        sorted(
            json_format.MessageToJson(f, sort_keys=True)
            for f in result.metric_validations_per_slice
        )
        for result in (beam, local)
    ]
    assert len(failures[0]) == len(failures[1])
    for expected, found in zip(*failures, strict=True):
        assert close(json.loads(found), json.loads(expected), 1e-6)
    for parts in (lambda r: r.validation_details.slicing_details, lambda r: r.missing_slices):
        # On Beam these have no fixed order.
        assert sorted(map(str, parts(local))) == sorted(map(str, parts(beam)))


def test_rows_for_people_are_the_same(both):
    beam, local, options, has_baseline = both
    for name in [CANDIDATE, BASELINE] if has_baseline else [""]:
        expected, found = (
            tfma_config.rows(folder, name, options.slices) for folder in (beam, local)
        )
        assert [row.slice for row in found] == [row.slice for row in expected]
        for row, other in zip(found, expected, strict=True):
            assert close(row.metrics, other.metrics, 1e-6)


def test_small_slices_are_neither_shown_nor_held_to_a_bound(tmp_path):
    """Small slices are left out on Beam too, though TFMA itself lets them fail all thresholds."""
    table = random_table(60, seed=2)
    chosen = {
        "metrics": ["ExampleCount"],
        "select": "example_count",
        "slices": [["hour"]],
        "min_slice_size": 5,
        "thresholds": [{"metric": "example_count", "lower": 5, "slices": [[], ["hour"]]}],
    }
    options = Evaluate.model_validate(chosen)
    pq.write_table(table, tmp_path / "table.parquet")
    for engine in (tfma_local, tfma_beam):
        results = tmp_path / engine.__name__
        config = tfma_config.eval_config(options, has_baseline=False)
        engine.evaluate(tmp_path / "table.parquet", config, results)
        shown = tfma_config.rows(results, "", options.slices)
        assert "hour:90" not in [str(row.slice) for row in shown]
        assert len(shown) > 3
        assert tfma.load_validation_result(str(results)).validation_ok


@pytest.mark.parametrize("engine", [tfma_local, tfma_beam])
def test_a_slice_by_a_feature_without_values_is_empty(engine, tmp_path):
    table = tiny_table().set_column(0, "hour", pa.array([None], pa.int64()))
    pq.write_table(table, tmp_path / "table.parquet")
    config = config_of(slices=[["hour"]])
    engine.evaluate(tmp_path / "table.parquet", config, tmp_path / "results")
    shown = tfma_config.rows(tmp_path / "results", "", [["hour"]])
    assert [row.slice for row in shown] == [OVERALL]


def config_of(has_baseline: bool = False, **options: Any) -> Any:
    chosen = {"metrics": ["AUC"], "select": "auc", **options}
    return tfma_config.eval_config(Evaluate.model_validate(chosen), has_baseline)


SCHEMA = tiny_table().schema


def test_what_is_covered():
    assert tfma_local.not_covered(config_of(metrics=BINARY), SCHEMA) == ""
    assert tfma_local.not_covered(config_of(True), random_table().schema) == ""


def test_another_version_of_tfma_is_not_covered(monkeypatch):
    monkeypatch.setattr(tfma, "__version__", "0.99.0")
    assert tfma_local.not_covered(config_of(), SCHEMA) == "TFMA 0.99.0"


def test_predictions_that_are_no_numbers_are_not_covered():
    place = SCHEMA.get_field_index(CANDIDATE)
    table = tiny_table().set_column(place, CANDIDATE, pa.array([b"yes"]))
    assert tfma_local.not_covered(config_of(), table.schema) == "predictions of type binary"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: setattr(c.metrics_specs[0], "query_key", "hour"), "query keys"),
        (lambda c: c.cross_slicing_specs.add(), "cross slices"),
        (
            lambda c: setattr(c.options.compute_confidence_intervals, "value", True),
            "confidence intervals",
        ),
    ],
)
def test_options_that_need_beam_are_not_covered(change, why):
    config = config_of()
    change(config)
    assert tfma_local.not_covered(config, SCHEMA) == why


def test_a_preprocessor_of_its_own_is_not_covered():
    config = config_of()
    del config.metrics_specs[0].metrics[:]
    config.metrics_specs[0].metrics.add(class_name="SetMatchPrecision")
    assert tfma_local.not_covered(config, SCHEMA).startswith("preprocessor ")


def test_the_files_are_read_by_tfma(both):
    _, local, _, has_baseline = both
    result = tfma.load_eval_result(str(local), model_name=CANDIDATE if has_baseline else None)
    assert result.slicing_metrics
    assert result.config.metrics_specs
