"""TFDV's statistics without Beam: its own combiners in this process, and exact value counts.

TFDV has this mode itself (`generate_statistics_from_dataframe`), but estimates unique and most
frequent values there by sketches, where TFDV on Beam counts. So these are counted, in Arrow, and
put into TFDV's form by TFDV's own function.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import statistics_pb2

from mfx.columns.types import as_lists
from mfx.validate import _private
from mfx.validate.schema_rules import is_category

ENGINE = "TFDV in memory"
MOST_BYTES = 128 * 2**20
"""Most memory for one column's distinct values; beyond, TFDV's estimates stay."""
MERGE_ROWS = 2**16
"""Fewest new values, each counted in its batch, that are worth merging."""


def not_covered() -> str:
    """What this path does not cover; '' if nothing. Versions of other combiners go to Beam."""
    return (
        ""
        if tfdv.__version__ in _private.CHECKED["tensorflow-data-validation"]
        else f"TFDV {tfdv.__version__}"
    )


def describe(
    batches: Iterable[pa.RecordBatch], schema: Any = None
) -> tuple[statistics_pb2.DatasetFeatureStatisticsList, list[str]]:
    """TFDV's statistics of flat batches.

    Args:
        batches: What is described.
        schema: A `schema_pb2.Schema` that says which numbers are categories, as TFDV takes it.

    Returns:
        The statistics, and the columns whose unique and most frequent values are estimates.
    """
    combiners = _private.get_generators(tfdv.StatsOptions(schema=schema), in_memory=True)
    categories = {f.name for f in schema.feature if is_category(f)} if schema else set()
    sums: list[Any] = [combiner.create_accumulator() for combiner in combiners]
    counts: dict[str, ValueCounts] = {}
    for batch in batches:
        lists = as_lists(batch)
        sums = [c.add_input(s, lists) for c, s in zip(combiners, sums, strict=True)]
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_binary(column.type) or name in categories:
                counts.setdefault(name, ValueCounts(column.type)).add(column)
    statistics = _private.extract_statistics_output(sums, combiners)
    for feature in statistics.datasets[0].features:
        found = counts.get(feature.path.step[0])
        if found and not found.overfull and feature.WhichOneof("stats") == "string_stats":
            _put(found.table(), feature)
    return statistics, [name for name, found in counts.items() if found.overfull]


class ValueCounts:
    """How often each value of a column is there, exactly, while memory allows.

    Args:
        kind: The column's type: bytes, or integers that are categories.
    """

    def __init__(self, kind: pa.DataType = pa.binary()) -> None:  # noqa: B008
        self._none = pa.table({"value": pa.array([], kind), "count": pa.array([], pa.int64())})
        self._counted = self._none
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self.overfull = False

    def add(self, column: pa.Array) -> None:
        """Count a batch's values; nulls are not counted."""
        if self.overfull:
            return
        values, counts = column.drop_null().value_counts().flatten()
        self._pending.append(pa.table({"value": values, "count": counts}))
        self._pending_rows += len(values)
        # Merging only when there is as much new as old keeps the work linear.
        if self._pending_rows > max(self._counted.num_rows, MERGE_ROWS):
            self._merge()
            if self._counted.nbytes > MOST_BYTES:
                self.overfull = True
                self._counted = self._none

    def table(self) -> pa.Table:
        """Columns `value` and `count`; most frequent first, then by value, both descending."""
        self._merge()
        return self._counted.sort_by([("count", "descending"), ("value", "descending")])

    def _merge(self) -> None:
        everything = pa.concat_tables([self._counted, *self._pending])
        merged = everything.group_by("value").aggregate([("count", "sum")])
        self._counted = pa.table({"value": merged["value"], "count": merged["count_sum"]})
        self._pending, self._pending_rows = [], 0


def _put(counted: pa.Table, feature: statistics_pb2.FeatureNameStatistics) -> None:
    """Replace TFDV's estimates by what TFDV makes of the counts."""
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
            _private.FeatureValueCount(value, count)
            for value, count in zip(*(column.to_pylist() for column in most), strict=True)
        ],
    ).string_stats
    feature.string_stats.unique = made.unique
    for name in ("top_values", "rank_histogram"):
        feature.string_stats.ClearField(name)
    feature.string_stats.top_values.extend(made.top_values)
    feature.string_stats.rank_histogram.CopyFrom(made.rank_histogram)
