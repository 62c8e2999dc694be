"""TFDV's own pipeline on Beam, in this process or as `[beam]` says."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import statistics_pb2

from mfx import beam_pipeline, beam_source
from mfx.columns import as_lists
from mfx.config import Beam

ENGINE = "TFDV on Beam"


def describe(
    files: Sequence[beam_source.File], options: Beam
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """TFDV's statistics of flat Parquet files.

    Raises:
        MfxError: `options` are wrong, or their runner failed.
    """
    with beam_pipeline.folder(options) as work:
        path = f"{work}/statistics.pb"
        with beam_pipeline.pipeline(options) as pipeline:
            _ = (
                pipeline
                | beam_source.Read(files, as_lists)
                | tfdv.GenerateStatistics(tfdv.StatsOptions())
                | tfdv.WriteStatisticsToBinaryFile(path)
            )
        return tfdv.load_stats_binary(path)
