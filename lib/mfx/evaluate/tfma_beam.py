"""Compute metrics by TFMA's own Beam pipeline: any metric, any size.

It runs on the runner that `[beam]` names, by default in this process.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import (
    config_pb2,
    metrics_for_slice_pb2,
    validation_result_pb2,
)

from mfx.artifacts import store
from mfx.beam import runner, source
from mfx.columns.types import as_lists
from mfx.config import Beam
from mfx.evaluate.tfma_config import shared_models

ENGINE = "TFMA on Beam"


def _as_extracts(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Turn a batch into the form that TFMA takes: all columns are lists.

    Columns without any value are left out, since TFMA would make a slice None of them.
    """
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    lists = {n: c for n, c in columns.items() if pa.types.is_list(c.type)}
    flat = {n: c for n, c in columns.items() if n not in lists and c.null_count < len(c)}
    wrapped = as_lists(pa.RecordBatch.from_arrays(list(flat.values()), list(flat)))
    return pa.RecordBatch.from_arrays(
        [*wrapped.columns, *lists.values()], [*wrapped.schema.names, *lists]
    )


def evaluate(
    table: Path, config: config_pb2.EvalConfig, results: Path, options: Beam | None = None
) -> None:
    """Write TFMA's result files for the Parquet file `table` into the folder `results`.

    Raises:
        MfxError: `options` are wrong, or their runner failed.
    """
    options = options or Beam()
    # Workers on other machines read the table from Metaflow's datastore.
    file = _stored(table) if options.options else table
    with runner.folder(options) as work:
        with runner.pipeline(options) as pipeline:
            _ = (
                pipeline
                | source.Read([file], _as_extracts)
                | tfma.ExtractEvaluateAndWriteResults(
                    eval_config=config,
                    eval_shared_model=shared_models(len(config.model_specs) > 1),
                    output_path=work,
                )
            )
        runner.fetch(work, results)
    _leave_out_small_slices(results)


def _stored(table: Path) -> store.Payload:
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        Path(directory, table.name).symlink_to(table.resolve())
        return store.save(directory)


def _leave_out_small_slices(results: Path) -> None:
    """Remove slices below `min_slice_size` from TFMA's results, where they miss all thresholds."""
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
