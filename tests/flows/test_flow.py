"""One run of the taxi pipeline on the sample, looked at from many sides."""

from __future__ import annotations

import json
import pickle
import re
import sys

import numpy as np
import pandas as pd
import pytest
from helpers.flows import call_flow

from mfx.artifacts import FIRST_RUN

METRICS = ["example_count", "auc", "binary_accuracy", "precision", "recall", "calibration"]
RESULTS = [
    "examples",
    "statistics",
    "schema",
    "anomalies",
    "transform_graph",
    "transformed",
    "model",
    "evaluation",
    "pushed",
]


@pytest.fixture(scope="module")
def data(flow_run):
    return flow_run.data


@pytest.fixture(scope="module")
def answers(data):
    """Label and prediction of each eval row, as the evaluator saw them."""
    import pyarrow.parquet as pq

    with data.evaluation.predictions.files() as folder:
        return pq.read_table(folder / "predictions.parquet").to_pandas()


def test_every_row_is_in_one_split(data):
    examples = data.examples
    assert sum(examples.rows.values()) == examples.rows_in == 15_000
    assert 0.31 < examples.rows["eval"] / examples.rows_in < 0.36


def test_examples_come_back_as_pandas(data):
    frame = data.examples.to_pandas("eval")
    assert len(frame) == data.examples.rows["eval"]
    assert frame.dtypes["trip_seconds"] == pd.Int64Dtype()
    assert frame.dtypes["fare"] == np.float32
    known = ["Cash", "Credit Card", "Dispute", "No Charge", "Pcard", "Prcard", "Unknown"]
    assert set(frame.payment_type.unique()) <= set(known)


def test_statistics_schema_and_anomalies_come_back(data):
    table = data.statistics.to_pandas("train")
    assert table.loc["fare", "examples"] == data.examples.rows["train"]
    assert len(data.schema.proto().feature) == 18
    assert not data.schema.inferred
    assert data.anomalies.to_pandas().empty


def test_transformed_rows_are_the_same_rows(data):
    assert data.transformed.rows == data.examples.rows
    raw, made = data.examples.to_pandas("eval"), data.transformed.to_pandas("eval")
    assert (made.big_tipper == (raw.tips > 0.2 * raw.fare).astype(int)).all()
    assert (made.trip_start_hour == raw.trip_start_hour).all()


def test_z_scores_have_the_train_splits_mean_and_deviation(data):
    raw = data.examples.to_pandas("train").fare.astype(np.float64)
    made = data.transformed.to_pandas("train").fare
    assert np.allclose(made, (raw - raw.mean()) / raw.std(ddof=0), atol=1e-4)


def test_history_has_an_entry_for_each_epoch(data):
    history = data.model.history
    assert {len(values) for values in history.values()} == {10}
    assert history["val_loss"][-1] < history["val_loss"][0]


def test_one_line_is_logged_for_each_epoch(flow_run):
    lines = re.findall(r"epoch (\d+)/10: .*val_loss", flow_run.output)
    assert lines == [str(n) for n in range(1, 11)]


def test_tensorboard_reads_the_logs(data):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with data.model.logs.files() as folder:
        events = EventAccumulator(str(folder / "validation")).Reload()
        assert len(events.Tensors("epoch_loss")) == 10


def test_metrics_are_a_table_with_overall_first(data):
    table = data.evaluation.metrics()
    assert table.index[0] == "Overall"
    assert list(table.columns) == METRICS
    hours = [name for name in table.index if name.startswith("trip_start_hour:")]
    assert hours == [f"trip_start_hour:{hour}" for hour in range(24)]
    assert table.example_count["Overall"] == data.examples.rows["eval"]
    assert table.example_count[hours].sum() == data.examples.rows["eval"]


def test_metrics_are_those_of_the_predictions(data, answers):
    label, score = answers.label.astype(bool), answers.prediction.astype(np.float64)
    said = score > 0.5
    overall = data.evaluation.metrics().loc["Overall"]
    assert overall.binary_accuracy == pytest.approx((said == label).mean())
    assert overall.precision == pytest.approx(label[said].mean())
    assert overall.recall == pytest.approx(said[label].mean())
    assert overall.calibration == pytest.approx(score.sum() / label.sum())
    rank = score.rank()
    positives, negatives = label.sum(), (~label).sum()
    auc = (rank[label].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    assert overall.auc == pytest.approx(auc, abs=1e-3)


def test_the_model_evaluated_answers_as_the_one_trained(data):
    overall, history = data.evaluation.metrics().loc["Overall"], data.model.history
    assert overall.binary_accuracy == pytest.approx(history["val_accuracy"][-1], abs=1e-6)
    # Keras' AUC has 200 thresholds, TFMA's 10,000.
    assert overall.auc == pytest.approx(history["val_auc"][-1], abs=1e-3)


def test_blessing_has_a_check_for_each_metric_and_slice(data):
    blessing = data.evaluation.blessing
    assert blessing.blessed
    assert blessing.baseline == FIRST_RUN
    named = {(check.metric, str(check.slice)) for check in blessing.checks}
    hours = {("binary_accuracy", f"trip_start_hour:{hour}") for hour in range(24)}
    assert named == {("auc", "Overall"), ("binary_accuracy", "Overall")} | hours
    table = data.evaluation.metrics()
    for check in blessing.checks:
        assert check.value == table.loc[str(check.slice), check.metric]


def test_metrics_were_computed_in_memory(data):
    assert data.evaluation.engine == "TFMA in memory"


def test_tfma_reads_its_result_files(data, tmp_path):
    import tensorflow_model_analysis as tfma

    data.evaluation.results.save_to(tmp_path)
    assert tfma.load_validation_result(str(tmp_path)).validation_ok
    sliced = dict(tfma.load_eval_result(str(tmp_path)).slicing_metrics)
    value = sliced[()][""][""]["auc"]["doubleValue"]
    assert value == pytest.approx(data.evaluation.overall["auc"])


def test_the_pushed_folder_is_whole(flow_run, data):
    folder = flow_run.store / "pushed" / "taxi" / str(data.pushed.version)
    assert data.pushed.path == str(folder)
    assert sorted(p.name for p in folder.parent.iterdir()) == [folder.name, "promotions"]
    assert (folder / "saved_model.pb").is_file()
    record = json.loads((folder / "assets.extra" / "mfx.json").read_text())
    assert record["run"] == flow_run.run_id
    assert record["model"] == data.model.digest


def test_the_model_answered_in_a_clean_process_as_it_was_evaluated(data):
    replay = data.pushed.replay
    assert replay.valid
    assert replay.rows == 100
    assert replay.max_difference <= 1e-5


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_small_and_know_their_origin(data, name):
    result = getattr(data, name)
    assert len(pickle.dumps(result)) < 2**20
    assert result.lineage.data == data.sources.lineage.data
    assert result.lineage.parents


@pytest.mark.parametrize(
    ("name", "parent"),
    [
        ("statistics", "examples"),
        ("schema", "statistics"),
        ("anomalies", "schema"),
        ("transform_graph", "examples"),
        ("transform_graph", "schema"),
        ("transformed", "examples"),
        ("model", "transform_graph"),
        ("model", "transformed"),
        ("evaluation", "model"),
        ("evaluation", "examples"),
        ("pushed", "model"),
    ],
)
def test_results_name_what_they_were_made_from(data, name, parent):
    assert getattr(data, parent).digest in getattr(data, name).lineage.parents


@pytest.mark.parametrize("step", ["validate", "train", "evaluate", "push"])
def test_cards_hold_all_they_show(flow_run, step):
    folder = flow_run.store / ".metaflow" / "mf.cards" / "Pipeline" / "runs" / flow_run.run_id
    (page,) = (folder / "steps" / step).rglob("*.html")
    text = page.read_text()
    assert "vega-lite" in text
    assert not re.search(r"<(script|img|iframe)[^>]+src=[\"']?https?:", text)
    assert not re.search(r"<link[^>]+href=[\"']?https?:", text)


def test_the_summary_says_what_came_of_it(flow_run, data):
    for part in ("rows ", "anomalies   none", "auc 0.", "blessed     yes", "card view", "resume"):
        assert part in flow_run.output
    assert f"pushed      {data.pushed.path}" in flow_run.output


SECOND_STACK = sys.version_info >= (3, 12)
SAID_AT_IMPORT = re.compile(r"absl::InitializeLog\(\) is called|oneDNN custom operations are on")
"""TensorFlow 2.21 says these before anybody can ask it not to."""


def test_a_good_run_logs_no_warnings(flow_run):
    noise = [
        line
        for line in flow_run.output.splitlines()
        if re.search(r"warning|traceback|error|failed|deprecat", line, re.IGNORECASE)
        and not (SECOND_STACK and SAID_AT_IMPORT.search(line))
    ]
    assert noise == []


def test_help_lists_the_run_time_parameters(tmp_path):
    text = call_flow(tmp_path, "run", "--help").output
    for name in ("--data", "--span", "--steps", "--batch-size", "--seed", "--destination"):
        assert name in text


HEAVY = {
    *("tensorflow", "keras", "tf_keras", "apache_beam", "tfx_bsl", "tensorflow_metadata"),
    *("tensorflow_transform", "tensorflow_data_validation", "tensorflow_model_analysis"),
    *("pandas", "boto3", "IPython", "matplotlib", "scipy", "sklearn", "google.cloud"),
}
# What TensorFlow, TFX's libraries, and Metaflow's cards and checkpoints bring along.
TENSORFLOW = {"tensorflow", "keras", "scipy", "pandas", "boto3", "IPython"}
TFX = TENSORFLOW | {"tf_keras", "tfx_bsl", "tensorflow_metadata"}
# Some versions of PyArrow load pandas when they make an array.
ARROW = {"pandas"}


@pytest.mark.parametrize(
    ("step", "allowed"),
    [
        ("start", {"tensorflow_metadata"}),
        ("ingest", ARROW),
        ("validate", TFX | {"apache_beam", "tensorflow_data_validation"}),
        ("transform", TFX | {"apache_beam", "tensorflow_transform"}),
        ("train", TFX | {"tensorflow_transform"}),
        ("evaluate", TFX | {"apache_beam", "tensorflow_model_analysis"}),
        ("push", TENSORFLOW | ARROW),
        ("end", set()),
    ],
)
def test_a_step_loads_only_what_it_uses(flow_run, step, allowed):
    """Imports are most of a small run's time: 3 s for TensorFlow alone, in each step."""
    records = list((flow_run.store / "imports").glob(f"{step}-*.json"))
    assert records
    for record in records:
        assert HEAVY & set(json.loads(record.read_text())) <= allowed
