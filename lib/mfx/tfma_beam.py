"""TFMA's own pipeline on Beam, in this process: any metric, for any data that fits the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tensorflow_model_analysis.proto import (
    config_pb2,
    metrics_for_slice_pb2,
    validation_result_pb2,
)

from mfx.columns import as_lists
from mfx.tfma_config import shared_models

ENGINE = "TFMA on Beam"


class _ReadBatches(beam.DoFn):
    """Parquet file to batches: only the file's name goes through Beam, never pickled rows."""

    def process(self, path: str) -> Iterator[pa.RecordBatch]:
        for batch in pq.ParquetFile(path).iter_batches(65536):
            yield _as_extracts(batch)


def _as_extracts(batch: pa.RecordBatch) -> pa.RecordBatch:
    """As TFMA takes batches: lists; no column without any value, which it makes a slice of None."""
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    lists = {n: c for n, c in columns.items() if pa.types.is_list(c.type)}
    flat = {n: c for n, c in columns.items() if n not in lists and c.null_count < len(c)}
    wrapped = as_lists(pa.RecordBatch.from_arrays(list(flat.values()), list(flat)))
    return pa.RecordBatch.from_arrays(
        [*wrapped.columns, *lists.values()], [*wrapped.schema.names, *lists]
    )


def evaluate(table: Path, config: config_pb2.EvalConfig, results: Path) -> None:
    """Write TFMA's result files for the Parquet file `table` into the folder `results`."""
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | "Path" >> beam.Create([str(table)])
            | "Read" >> beam.ParDo(_ReadBatches())
            | tfma.ExtractEvaluateAndWriteResults(
                eval_config=config,
                eval_shared_model=shared_models(len(config.model_specs) > 1),
                output_path=str(results),
            )
        )
    _leave_out_small_slices(results)


def _leave_out_small_slices(results: Path) -> None:
    """Drop what TFMA says of slices below `min_slice_size`: that they miss every threshold."""
    small = set()
    for kind, message in (
        ("metrics", metrics_for_slice_pb2.MetricsForSlice),
        ("plots", metrics_for_slice_pb2.PlotsForSlice),
    ):
        for path in results.glob(f"{kind}-*.tfrecord"):
            records = _read(path, message)
            if kind == "metrics":
                small |= {_key(r) for r in records if tfma.constants.ERROR_METRIC_NAME in r.metrics}
            if small:
                _write(path, [r for r in records if _key(r) not in small])
    for path in results.glob("validations*.tfrecord"):
        (result,) = _read(path, validation_result_pb2.ValidationResult)
        kept = [v for v in result.metric_validations_per_slice if _key(v) not in small]
        del result.metric_validations_per_slice[:]
        result.metric_validations_per_slice.extend(kept)
        if small:
            result.validation_ok = not (kept or result.missing_thresholds or result.missing_slices)
            _write(path, [result])


def _key(record: Any) -> bytes:
    return record.slice_key.SerializeToString(deterministic=True)


def _read(path: Path, message: Any) -> list[Any]:
    data = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [message.FromString(record) for record in data]


def _write(path: Path, records: list[Any]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record.SerializeToString(deterministic=True))
