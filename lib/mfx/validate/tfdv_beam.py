"""Compute statistics by TFDV's own Beam pipeline, on the runner that `[beam]` names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import statistics_pb2

from mfx.beam import runner, source
from mfx.columns.types import as_lists
from mfx.config import Beam

ENGINE = "TFDV on Beam"


def describe(
    files: Sequence[source.File], options: Beam, schema: Any = None
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """TFDV's statistics of flat Parquet files.

    Args:
        files: The Parquet files.
        options: Where the pipeline runs.
        schema: A `schema_pb2.Schema` that says which integers are categories; for TFDV's options.

    Raises:
        MfxError: `options` are wrong, or the Beam runner failed.
    """
    with runner.folder(options) as work:
        path = f"{work}/statistics.pb"
        with runner.pipeline(options) as pipeline:
            _ = (
                pipeline
                | source.Read(files, as_lists)
                | tfdv.GenerateStatistics(tfdv.StatsOptions(schema=schema))
                | tfdv.WriteStatisticsToBinaryFile(path)
            )
        return tfdv.load_stats_binary(path)
