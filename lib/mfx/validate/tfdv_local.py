"""Compute TFDV's statistics without Beam: its combiners run in this process.

TFDV has such a mode itself (`generate_statistics_from_dataframe`). But there it only estimates the
number of unique values and the most frequent values, while TFDV on Beam counts them. So they are
counted here with Arrow, and TFDV's own function turns the counts into its statistics.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.constants import LARGE_BYTES_PLACEHOLDER
from tensorflow_metadata.proto.v0 import statistics_pb2

from mfx.columns.types import as_lists, values_of
from mfx.validate import _private
from mfx.validate.schema_rules import is_category

ENGINE = "TFDV in memory"
MOST_BYTES = 128 * 2**20
"""The most bytes for one column's distinct values. With more, TFDV's estimates are kept."""
MERGE_ROWS = 2**16
"""Counts of new batches are merged into the total only when there are at least this many, or
MOST_BYTES of their values."""
LONGEST = 2**14
"""Bytes of a value that is shown; statistics with more than a thousand longer ones would be large.
Instead of a longer one stands what TFDV's estimates show."""


def not_covered() -> str:
    """Why statistics cannot be computed here; '' if they can.

    TFDV versions that were not checked may have other combiners, so they run on Beam.
    """
    return (
        ""
        if tfdv.__version__ in _private.CHECKED["tensorflow-data-validation"]
        else f"TFDV {tfdv.__version__}"
    )


def describe(
    batches: Iterable[pa.RecordBatch], schema: Any = None
) -> tuple[statistics_pb2.DatasetFeatureStatisticsList, list[str]]:
    """TFDV's statistics of some rows.

    Args:
        batches: The rows; columns of the types in `columns.types.TYPES`.
        schema: A `schema_pb2.Schema` that says which integers are categories; for TFDV's options.

    Returns:
        The statistics, and the names of the columns whose unique and most frequent values are only
        estimates.
    """
    combiners = _private.get_generators(tfdv.StatsOptions(schema=schema), in_memory=True)
    categories = {f.name for f in schema.feature if is_category(f)} if schema else set()
    sums: list[Any] = [combiner.create_accumulator() for combiner in combiners]
    counts: dict[str, ValueCounts] = {}
    for batch in batches:
        lists = as_lists(batch)
        sums = [c.add_input(s, lists) for c, s in zip(combiners, sums, strict=True)]
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            values = values_of(column)
            if pa.types.is_binary(values.type) or name in categories:
                counts.setdefault(name, ValueCounts(values.type)).add(values)
    statistics = _private.extract_statistics_output(sums, combiners)
    for feature in statistics.datasets[0].features:
        found = counts.get(feature.path.step[0])
        if found and not found.overfull and feature.WhichOneof("stats") == "string_stats":
            _put(found.table(), feature)
    return statistics, [name for name, found in counts.items() if found.overfull]


class ValueCounts:
    """Counts exactly how often each value of a column occurs, up to `MOST_BYTES` of memory.

    Args:
        kind: The column's type: bytes, or the type of integers that are categories.
    """

    def __init__(self, kind: pa.DataType = pa.binary()) -> None:  # noqa: B008
        self._none = pa.table({"value": pa.array([], kind), "count": pa.array([], pa.int64())})
        self._counted = self._none
        self._pending: list[pa.Table] = []
        self._pending_rows = self._pending_bytes = 0
        self.overfull = False

    def add(self, column: pa.Array) -> None:
        """Count the values of a batch's column, without nulls."""
        if self.overfull:
            return
        values, counts = column.drop_null().value_counts().flatten()
        self._pending.append(pa.table({"value": values, "count": counts}))
        self._pending_rows += len(values)
        self._pending_bytes += values.nbytes
        # The work stays linear if counts are merged only when there are as many new as old ones.
        many = self._pending_rows > max(self._counted.num_rows, MERGE_ROWS)
        if many or self._pending_bytes > MOST_BYTES:
            self._merge()
            if self._counted.nbytes > MOST_BYTES:
                self.overfull = True
                self._counted = self._none

    def table(self) -> pa.Table:
        """The counts in columns `value` and `count`, sorted by count, then value, descending."""
        self._merge()
        return self._counted.sort_by([("count", "descending"), ("value", "descending")])

    def _merge(self) -> None:
        everything = pa.concat_tables([self._counted, *self._pending])
        merged = everything.group_by("value").aggregate([("count", "sum")])
        self._counted = pa.table({"value": merged["value"], "count": merged["count_sum"]})
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0


def _put(counted: pa.Table, feature: statistics_pb2.FeatureNameStatistics) -> None:
    """Replace TFDV's estimates of a feature by statistics made from the counts."""
    if not counted.num_rows:
        return
    options = tfdv.StatsOptions()
    most = counted.slice(0, max(options.num_top_values, options.num_rank_histogram_buckets))
    made = _private.make_feature_stats_proto_topk_uniques(
        feature_path=tfdv.FeaturePath.from_proto(feature.path),
        num_top_values=options.num_top_values,
        num_rank_histogram_buckets=options.num_rank_histogram_buckets,
        num_unique=counted.num_rows,
        value_count_list=[
            _private.FeatureValueCount(_shown(value), count)
            for value, count in zip(*(column.to_pylist() for column in most), strict=True)
        ],
    ).string_stats
    feature.string_stats.unique = made.unique
    for name in ("top_values", "rank_histogram"):
        feature.string_stats.ClearField(name)
    feature.string_stats.top_values.extend(made.top_values)
    feature.string_stats.rank_histogram.CopyFrom(made.rank_histogram)


def _shown(value: Any) -> Any:
    too_long = isinstance(value, bytes) and len(value) > LONGEST
    return LARGE_BYTES_PLACEHOLDER.encode() if too_long else value
