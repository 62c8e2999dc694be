"""Compute TFDV's statistics without Beam: its combiners run in this process.

TFDV has such a mode itself (`generate_statistics_from_dataframe`). But there it only estimates the
number of unique values and the most frequent values, while TFDV on Beam counts them. So they are
counted here with Arrow, and TFDV's own function turns the counts into its statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import tensorflow_data_validation as tfdv
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
    partial = Partial(schema)
    for batch in batches:
        partial.add(batch)
    return partial.result()


class Partial:
    """What is known of some rows, before statistics are made from it.

    Args:
        schema: See `describe`.
    """

    def __init__(self, schema: Any = None) -> None:
        options = tfdv.StatsOptions(schema=schema)
        self._combiners = _private.get_generators(options, in_memory=True)
        self._categories = {f.name for f in schema.feature if is_category(f)} if schema else set()
        self._sums: list[Any] = [combiner.create_accumulator() for combiner in self._combiners]
        self._counts: dict[str, ValueCounts] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows; columns of the types in `columns.types.TYPES`."""
        lists = as_lists(batch)
        self._sums = [
            c.add_input(s, lists) for c, s in zip(self._combiners, self._sums, strict=True)
        ]
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            values = values_of(column)
            if pa.types.is_binary(values.type) or name in self._categories:
                self._counts.setdefault(name, ValueCounts(values.type)).add(values)

    def state(self) -> Any:
        """All that is known so far, as an object that can be pickled."""
        sums = [c.compact(s) for c, s in zip(self._combiners, self._sums, strict=True)]
        counts = {n: None if c.overfull else c.table() for n, c in self._counts.items()}
        return sums, counts

    def take(self, states: Sequence[Any]) -> None:
        """Know instead what several others know of their rows, in this order.

        Args:
            states: What `state` gave for each. They cannot be used any more afterwards.
        """
        self._sums = [
            combiner.merge_accumulators([sums[n] for sums, _ in states])
            for n, combiner in enumerate(self._combiners)
        ]
        for _, counts in states:
            for name, table in counts.items():
                if name not in self._counts:
                    kind = pa.binary() if table is None else table.schema.field("value").type
                    self._counts[name] = ValueCounts(kind)
                self._counts[name].add_counts(table)

    def result(self) -> tuple[statistics_pb2.DatasetFeatureStatisticsList, list[str]]:
        """See `describe`."""
        statistics = _private.extract_statistics_output(self._sums, self._combiners)
        for feature in statistics.datasets[0].features:
            found = self._counts.get(feature.path.step[0])
            if found and not found.overfull and feature.WhichOneof("stats") == "string_stats":
                _put(found.table(), feature)
        return statistics, [name for name, found in self._counts.items() if found.overfull]


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
        self.add_counts(pa.table({"value": values, "count": counts}))

    def add_counts(self, counts: pa.Table | None) -> None:
        """Add counts made before, in columns `value` and `count`; None for counts that were
        overfull."""
        if counts is None:
            self.overfull, self._counted, self._pending = True, self._none, []
        if self.overfull or counts is None:
            return
        self._pending.append(counts)
        self._pending_rows += counts.num_rows
        self._pending_bytes += counts["value"].nbytes
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
    return _private.LARGE_BYTES_PLACEHOLDER.encode() if too_long else value
