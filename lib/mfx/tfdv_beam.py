"""TFDV's own pipeline on Beam, in this process or as `[beam]` says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import statistics_pb2

from mfx import beam_pipeline, beam_source
from mfx.columns import as_lists
from mfx.config import Beam

ENGINE = "TFDV on Beam"


def describe(
    files: Sequence[beam_source.File], options: Beam, schema: Any = None
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """TFDV's statistics of flat Parquet files.

    Args:
        files: What is described.
        options: Where the pipeline runs.
        schema: A `schema_pb2.Schema` that says which numbers are categories, as TFDV takes it.

    Raises:
        MfxError: `options` are wrong, or their runner failed.
    """
    with beam_pipeline.folder(options) as work:
        path = f"{work}/statistics.pb"
        with beam_pipeline.pipeline(options) as pipeline:
            _ = (
                pipeline
                | beam_source.Read(files, as_lists)
                | tfdv.GenerateStatistics(tfdv.StatsOptions(schema=schema))
                | tfdv.WriteStatisticsToBinaryFile(path)
            )
        return tfdv.load_stats_binary(path)
