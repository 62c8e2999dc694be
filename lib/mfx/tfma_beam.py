"""TFMA's own pipeline on Beam, in this process: any metric, for any data that fits the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow_model_analysis as tfma
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tensorflow_model_analysis.proto import config_pb2

from mfx.columns import as_lists
from mfx.tfma_config import shared_models

ENGINE = "TFMA on Beam"


class _ReadBatches(beam.DoFn):
    """Parquet file to batches: only the file's name goes through Beam, never pickled rows."""

    def process(self, path: str) -> Iterator[pa.RecordBatch]:
        for batch in pq.ParquetFile(path).iter_batches(65536):
            yield as_lists(batch)


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
