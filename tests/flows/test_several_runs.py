"""More runs of the taxi pipeline after a first one: what they take over, how they compare; and the
notebook over them from top to bottom."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from helpers.flows import ROOT, SAMPLE, FlowResult, call_flow
from helpers.storing import saving

from mfx import registry
from mfx.artifacts import OVERALL, ComparedWith
from mfx.errors import MfxError
from mfx.registry import changes, comparison


@pytest.fixture(scope="module")
def first(flow_run, tmp_path_factory) -> FlowResult:
    """The shared run, in a copy of its store to which more runs come."""
    store = tmp_path_factory.mktemp("several") / "store"
    shutil.copytree(flow_run.store, store)
    return replace(flow_run, store=store)


@pytest.fixture(scope="module")
def short(first) -> FlowResult:
    """A much too short training, against the first run's model; all else is taken over."""
    pushed = str(first.store / "pushed")
    result = call_flow(
        first.store, *("run", "--reuse", "true", "--steps", "20", "--destination", pushed)
    )
    assert result.code == 0, result.output
    return result


@pytest.fixture(scope="module")
def other(first, short) -> FlowResult:
    """A run with other data, another config and other code; pushed to a place of its own."""
    folder = first.store / "taxi"
    shutil.copytree(ROOT / "flows" / "taxi", folder)
    (folder / "model.py").write_text((folder / "model.py").read_text() + "\n# Another line.\n")
    config = (folder / "config.toml").read_text().replace("../..", str(ROOT))
    config = re.sub(r"lower = 0\.\d+\n", "lower = 0.1\n", config.replace("max_drop = 0.01\n", ""))
    (folder / "config.toml").write_text(config)
    lines = SAMPLE.read_text().splitlines(keepends=True)
    (first.store / "fewer.csv").write_text("".join(lines[:8001]))
    result = call_flow(
        first.store,
        *("--config", "config", str(folder / "config.toml"), "run", "--steps", "120"),
        *("--destination", str(first.store / "several")),
        *("--from-run", first.run_id, "--data", str(first.store / "fewer.csv")),
    )
    assert result.code == 0, result.output
    return result


@pytest.fixture
def runs(first, short, other) -> list[registry.Results]:
    assert first.run.id, "the client looks at this store"
    return [registry.run(one.run_id) for one in (first, short, other)]


def told(output: str) -> dict[str, str]:
    """The line about each step: whether its result was taken over."""
    return dict(re.findall(r"\] (\w+): (reused from run \d+|not reused: .*)", output))


def test_nothing_is_looked_for_unasked(first):
    assert told(first.output) == {}


def test_only_what_changed_is_made_anew(first, short):
    said = told(short.output)
    reused = f"reused from run {first.run_id}"
    assert said["ingest"] == said["validate"] == said["transform"] == reused
    assert said["train"] == f"not reused: changed since run {first.run_id}: train.steps (1000 → 20)"
    assert said["evaluate"].startswith("not reused: changed since run ")
    before, after = first.data, short.data
    assert after.transform_graph.digest == before.transform_graph.digest
    assert after.model.weights != before.model.weights
    assert after.examples.lineage.config != before.examples.lineage.config
    assert after.examples.lineage == after.sources.lineage.derived(*after.examples.lineage.parents)


def test_nothing_is_taken_over_for_other_data(first, other):
    said = told(other.output)
    assert said["ingest"] == f"not reused: changed since run {first.run_id}: the shard"
    assert set(said) == {"ingest", "validate", "transform", "train", "evaluate"}
    assert not [line for line in said.values() if line.startswith("reused")]


def test_an_unknown_run_is_one_line(tmp_path):
    result = call_flow(tmp_path, "run", "--from-run", "17")
    assert result.code == 1
    assert "--from-run: no run Pipeline/17" in result.output
    assert "Traceback" not in result.output


def test_a_worse_model_is_compared_with_production_and_not_pushed(first, short):
    blessing = short.data.evaluation.blessing
    assert blessing.baseline == ComparedWith(first.run_id)
    assert not blessing.blessed
    dropped = [check for check in blessing.failures if "production" in check.rule]
    assert [(check.metric, check.slice) for check in dropped] == [("auc", OVERALL)]
    assert len(list((first.store / "pushed" / "taxi").glob("1*"))) == 1
    assert "blessed     NO" in short.output
    assert "pushed      NO: not blessed" in short.output


def test_production_is_evaluated_on_the_same_rows(first, short):
    before = short.data.evaluation.baseline_metrics()
    pd.testing.assert_frame_equal(before, first.data.evaluation.metrics())


def tfma_on_beam(found, prediction: pa.Array, folder: Path) -> list[dict]:
    """TFMA's own pipeline over predictions of a run's eval rows."""
    import pyarrow.parquet as pq

    from mfx.evaluate import tfma_beam, tfma_config

    options = found.settings.evaluate.model_copy(update={"thresholds": []})
    names = sorted({name for keys in options.slices for name in keys})
    table = found.examples.to_arrow("eval", names)
    table = table.append_column(tfma_config.LABEL, comparison._answers(found)["label"])
    table = table.append_column(tfma_config.CANDIDATE, prediction)
    pq.write_table(table, folder / "table.parquet")
    config = tfma_config.eval_config(options, has_baseline=False)
    tfma_beam.evaluate(folder / "table.parquet", config, folder / "results")
    return tfma_config.rows(folder / "results", "", options.slices)


def test_on_the_same_rows_the_figures_are_the_evaluators(runs):
    first, second, _ = runs
    found = comparison.compare_metrics([first, second])
    assert found.eval_rows == 4931 and found.notes == []
    values = {(row.slice, row.metric): row.values for row in found.rows}
    for place, one in enumerate((first, second)):
        for row in one.evaluation.rows:
            for metric, value in row.metrics.items():
                if value is not None:
                    assert values[row.slice, metric][place] == value
    frame = found.frame()
    auc = frame.loc[("Overall", "auc")]
    difference = auc[f"{second.id} difference"]
    assert difference == auc[second.id] - auc[first.id] < 0
    assert auc[f"{second.id} low"] < difference < auc[f"{second.id} high"] < 0
    assert np.isnan(frame.loc[("Overall", "example_count"), f"{second.id} low"])


def test_three_runs_are_compared_on_the_newest_rows_as_tfma_would(runs, tmp_path):
    """With different config, code and data, figures equal those of TFMA's pipeline on Beam."""
    found = comparison.compare_metrics(runs)
    differing = [changes.changes(runs[0], one) for one in runs[1:]]
    assert found.eval_run == runs[2].id and found.eval_rows == runs[2].examples.rows["eval"] < 4931
    assert len(found.notes) == 2 and all("evaluated again" in note for note in found.notes)
    values = {(row.slice, row.metric): row.values for row in found.rows}
    assert values[OVERALL, "auc"][2] == runs[2].evaluation.overall["auc"]
    problem, prediction = comparison._predict(runs[0], runs[2].examples, "eval")
    assert not problem
    without_value = set()
    for row in tfma_on_beam(runs[2], prediction, tmp_path):
        for metric, value in row.metrics.items():
            if value is not None:
                ours = values[row.slice, metric][0]
                if ours is None:  # TFMA gives 0.0 if all labels are of one class.
                    without_value.add((str(row.slice), metric, value))
                else:
                    assert ours == pytest.approx(value, rel=1e-6), (str(row.slice), metric)
    kinds = ("No Charge", "Unknown")
    assert without_value == {(f"payment_type:{kind}", "auc", 0.0) for kind in kinds}
    assert [one.after for one in differing] == [runs[1].id, runs[2].id]


def test_what_differs_between_runs_is_named(runs):
    first, second, third = runs
    found = changes.changes(first, second)
    config = {change.what: (change.before, change.after) for change in found.config}
    assert config["train.steps"] == (1000, 20)
    assert found.data == [] and found.schema == [] and found.code == []
    assert [drift.largest for drift in found.drift] == [0.0] * len(found.drift)
    found = changes.changes(second, third)
    config = {change.what: (change.before, change.after) for change in found.config}
    assert config["train.steps"] == (20, 120) and "home" not in config
    data = {change.what: (change.before, change.after) for change in found.data}
    assert data["eval rows"] == (4931, third.examples.rows["eval"])
    assert [(f.path, f.added, f.removed) for f in found.code] == [("model.py", 2, 0)]
    assert max(drift.largest for drift in found.drift) > 0


def test_drift_is_what_tfdv_says(runs):
    """L-infinity: the largest difference of a value's share."""
    first, _, third = runs
    measured = {d.feature: d for d in changes.changes(first, third).drift}
    before, after = (one.examples.to_pandas("train").payment_type for one in (first, third))
    shares = before.value_counts(normalize=True), after.value_counts(normalize=True)
    largest = shares[0].subtract(shares[1], fill_value=0).abs().max()
    assert measured["payment_type"].infinity == pytest.approx(largest, abs=1e-6)
    assert measured["fare"].infinity is None and measured["fare"].jensen_shannon > 0


def test_a_model_that_does_not_fit_the_rows_is_said_so(runs, tmp_path):
    """The newer run's data lacks a feature that the older run's model takes."""
    import pyarrow.parquet as pq

    from mfx.artifacts import store

    examples = runs[2].examples
    (tmp_path / "rows").mkdir()
    for split in examples.rows:
        rows = examples.to_arrow(split).drop(["fare"])
        pq.write_table(rows, tmp_path / "rows" / f"{split}.parquet")
    columns = {name: kind for name, kind in examples.columns.items() if name != "fare"}
    with saving(tmp_path / "datastore"):
        payload = store.save(tmp_path / "rows")
    fewer = replace(examples, shards=(payload,), columns=columns)

    class Fewer(registry.Results):
        def get(self, step, name):
            return fewer if name == "examples" else super().get(step, name)

    with pytest.raises(MfxError, match="cannot predict the eval rows of run") as caught:
        comparison.compare_metrics([runs[0], Fewer(runs[2].run)])
    assert "fare" in str(caught.value)


def test_the_command_shows_it_on_a_screen_and_writes_a_page(runs, tmp_path, capsys):
    from html.parser import HTMLParser

    from mfx import cli

    page = tmp_path / "compare.html"
    ids = [one.id for one in runs]
    assert cli.main(["compare", *ids, "--html", str(page), "--all"]) == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) <= 60 and f"wrote {page}" in said
    assert "code    model.py: +2 -0" in said and "binary_accuracy" in said
    text = page.read_text()
    HTMLParser().feed(text)
    assert all(one in text for one in ids) and text.count("<svg") > 5
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text), "nothing to load"
    assert cli.main(["compare", *ids[:2], "--json", "--no-drift", "--all"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["runs"] == ids[:2] and found["changes"][0]["drift"] is None


def test_the_served_model_is_loaded(runs):
    """Intervals by run and by their column."""
    assert registry.production(runs[2].place).run == runs[2].id
    loaded = registry.load(runs[0].id)
    specs = loaded.signatures["predict"].structured_input_signature[1]
    assert "fare" in specs and "tips" not in specs


def test_the_notebook_runs_from_top_to_bottom(runs):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "notebooks" / "explore.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "committed without outputs"
    before = registry.production(runs[2].place)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(ROOT / "notebooks")}},
    )
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT / "lib")})
    shown = "\n".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    for what in (
        "facets-overview",
        "binary_accuracy",
        "trip_start_hour:3",
        "promote",
        "'version'",
    ):
        assert what in shown, what
    assert registry.production(runs[2].place).run == before.run
