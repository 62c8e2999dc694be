"""Metrics, plots and validations in memory equal those of TFMA's own pipeline on Beam."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from helpers.tfma_cases import BINARY, CASES, random_table, tiny_table
from helpers.tfma_results import close, same_metrics, same_plots

from mfx.artifacts import OVERALL
from mfx.config import Evaluate
from mfx.evaluate import tfma_beam, tfma_config, tfma_local
from mfx.evaluate.tfma_config import BASELINE, CANDIDATE


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


def test_every_slice_and_metric_is_the_same(both):
    assert same_metrics(*both[:2]) >= 3


def test_plots_are_the_same(both):
    same_plots(*both[:2])


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
