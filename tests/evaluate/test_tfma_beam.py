"""What goes into TFMA's pipeline, and what is removed from its files.

The tests of `tfma_local` and `evaluate` run the pipeline itself.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.proto import metrics_for_slice_pb2, validation_result_pb2

from mfx.evaluate import tfma_beam

METRICS = "metrics-00000-of-00001.tfrecord"
PLOTS = "plots-00000-of-00001.tfrecord"
VALIDATIONS = "validations.tfrecord"
SMALL, LARGE = 90, 3
"""Slices by hour; None is the whole split."""


def test_columns_become_lists_and_outputs_stay_lists():
    batch = pa.RecordBatch.from_pydict(
        {
            "hour": pa.array([3, None], pa.int64()),
            "kind": pa.array([None, b""], pa.binary()),
            "candidate": pa.array([[0.1, 0.9], [0.5, 0.5]], pa.list_(pa.float32())),
        }
    )
    made = tfma_beam._as_extracts(batch).to_pydict()
    assert made["hour"] == [[3], None]
    assert made["kind"] == [None, [b""]]
    assert made["candidate"] == [pytest.approx([0.1, 0.9]), [0.5, 0.5]]


def test_a_column_without_any_value_is_left_out():
    """Only from the batch: another batch of the same table may have values."""
    table = pa.table({"hour": pa.array([None, 4], pa.int64()), "label": [1.0, 0.0]})
    first, second = table.to_batches(1)
    assert tfma_beam._as_extracts(first).schema.names == ["label"]
    assert sorted(tfma_beam._as_extracts(second).schema.names) == ["hour", "label"]


def of(message, hour: int | None):
    """A record with the key of a slice by hour."""
    if hour is not None:
        message.slice_key.single_slice_keys.add(column="hour", int64_value=hour)
    else:
        message.slice_key.SetInParent()
    return message


def metrics(hour: int | None, small: bool = False):
    record = of(metrics_for_slice_pb2.MetricsForSlice(), hour)
    name = constants.ERROR_METRIC_NAME if small else "auc"
    record.metrics[name].double_value.value = 0.5
    return record


def write(folder: Path, failures: list[int | None], **found: bool) -> None:
    """Write files of three slices, one of them too small, with the given failed thresholds."""
    records = [metrics(None), metrics(LARGE), metrics(SMALL, small=True)]
    tfma_beam._write(folder / METRICS, records)
    plots = [of(metrics_for_slice_pb2.PlotsForSlice(), hour) for hour in (None, LARGE, SMALL)]
    tfma_beam._write(folder / PLOTS, plots)
    result = validation_result_pb2.ValidationResult(
        validation_ok=not failures, missing_thresholds=found.get("missing_thresholds", False)
    )
    if found.get("missing_slices"):
        result.missing_slices.add(feature_keys=["kind"])
    for hour in failures:
        of(result.metric_validations_per_slice.add(), hour)
    tfma_beam._write(folder / VALIDATIONS, [result])


def hours(records) -> list[int | None]:
    keys = [record.slice_key.single_slice_keys for record in records]
    return [key[0].int64_value if key else None for key in keys]


def read(folder: Path, name: str):
    kind = {
        METRICS: metrics_for_slice_pb2.MetricsForSlice,
        PLOTS: metrics_for_slice_pb2.PlotsForSlice,
        VALIDATIONS: validation_result_pb2.ValidationResult,
    }[name]
    return tfma_beam._read(folder / name, kind)


def test_small_slices_are_in_no_file(tmp_path):
    write(tmp_path, failures=[])
    tfma_beam._leave_out_small_slices(tmp_path)
    for name in (METRICS, PLOTS):
        assert hours(read(tmp_path, name)) == [None, LARGE]


@pytest.mark.parametrize(
    ("failures", "found", "kept", "passed"),
    [
        ([SMALL], {}, [], True),
        ([SMALL, LARGE], {}, [LARGE], False),
        ([None, SMALL], {}, [None], False),
        ([SMALL], {"missing_slices": True}, [], False),
        ([SMALL], {"missing_thresholds": True}, [], False),
    ],
)
def test_only_the_failures_of_small_slices_are_taken_back(failures, found, kept, passed, tmp_path):
    write(tmp_path, failures, **found)
    tfma_beam._leave_out_small_slices(tmp_path)
    (result,) = read(tmp_path, VALIDATIONS)
    assert hours(result.metric_validations_per_slice) == kept
    assert result.validation_ok == passed


def test_files_without_small_slices_stay_byte_for_byte(tmp_path):
    write(tmp_path, failures=[LARGE])
    tfma_beam._write(tmp_path / METRICS, [metrics(None), metrics(LARGE)])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    tfma_beam._leave_out_small_slices(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
