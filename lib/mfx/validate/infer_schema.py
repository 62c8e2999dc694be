"""Infer a schema from a run's data: TFDV's schema, plus what a pipeline needs in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from mfx.artifacts import Examples
from mfx.artifacts.statistics_view import present
from mfx.config import Split
from mfx.validate import chance
from mfx.validate.schema_rules import SERVING, TRAINING

if TYPE_CHECKING:
    from mfx.validate.spec import Reads

RARE = 100
"""A feature with a value in fewer examples than this may be missing from a split."""
LEAST_IDENTIFIERS = 20
"""A text that differs in all rows is an identifier, if a split has so many rows at least."""
MOST_VALUES = tfdv.StatsOptions().num_rank_histogram_buckets
"""TFDV compares only this many of the most frequent values and ignores the rest. So for a feature
with more values, its distance between two samples of the same distribution can be large."""


def infer_schema(
    train: statistics_pb2.DatasetFeatureStatisticsList,
    eval_: statistics_pb2.DatasetFeatureStatisticsList,
    settings: Reads,
    others: Sequence[statistics_pb2.DatasetFeatureStatisticsList] = (),
) -> schema_pb2.Schema:
    """Infer a schema of all splits with TFDV (as SchemaGen does) and add what a pipeline needs.

    - Label columns are not in the SERVING environment.
    - Categories get a bound on train/eval skew. Four kinds of columns get none: numbers, since
      outliers give histograms of different ranges, and TFDV's distance between those is large even
      for samples of the same distribution; columns that decide the split, since the split
      itself separates their values; columns with more than MOST_VALUES values; and identifiers,
      which are texts that no two rows share.
    - Identifiers have no domain either: other rows have others.
    - Features with values in fewer than RARE examples may be missing from a split.
    - Lists that have the same length in every row get it as their shape; of others it says that
      they are lists.

    Args:
        train: TFDV's statistics of the train split.
        eval_: TFDV's statistics of the eval split.
        settings: The config's tables `[schema]`, `[label]` and `[data]`.
        others: TFDV's statistics of further splits.

    Returns:
        The schema, with the environments TRAINING and SERVING.
    """
    schema = tfdv.infer_schema(train, infer_feature_shape=False)
    counts = {f.path.step[0]: present(f) for f in train.datasets[0].features}
    for feature in schema.feature:
        if counts[feature.name] < RARE:
            feature.ClearField("presence")
    # All splits again, since TFDV may give a feature the range of the last split alone.
    for proto in (eval_, *others, train):
        schema = tfdv.update_schema(schema, proto)
    _set_lengths(schema, train, eval_, *others)
    counted = values_counted(train, eval_, *others)
    names = _identifiers(train, eval_, *others)
    for feature in schema.feature:
        if feature.name in names:
            feature.ClearField("domain")
    mark_categories(schema, counted)
    schema.default_environment.extend([TRAINING, SERVING])
    compared = {name for name, values in counted.items() if values <= MOST_VALUES}
    compared -= names | set(settings.data.split.columns)
    for feature in schema.feature:
        if feature.name in settings.label.columns:
            feature.not_in_environment.append(SERVING)
        if feature.name in compared:
            feature.skew_comparator.infinity_norm.threshold = settings.schema_.skew_threshold
    return schema


def _identifiers(*protos: statistics_pb2.DatasetFeatureStatisticsList) -> set[str]:
    """Texts that differ in all rows of each split, such as paths of files."""
    found = []
    for proto in protos:
        features = {f.path.step[0]: f for f in proto.datasets[0].features}
        found.append(
            {
                name
                for name, feature in features.items()
                if feature.type == statistics_pb2.FeatureNameStatistics.STRING
                and feature.string_stats.unique == feature.string_stats.common_stats.tot_num_values
                and feature.string_stats.unique >= LEAST_IDENTIFIERS
            }
        )
    return set.intersection(*found)


def _set_lengths(
    schema: schema_pb2.Schema, *protos: statistics_pb2.DatasetFeatureStatisticsList
) -> None:
    lengths: dict[str, set[int]] = {}
    for feature in (f for proto in protos for f in proto.datasets[0].features):
        common = getattr(feature, feature.WhichOneof("stats")).common_stats
        found = {common.min_num_values, common.max_num_values, *([0] * bool(common.num_missing))}
        lengths.setdefault(feature.path.step[0], set()).update(found)
    for feature in schema.feature:
        found = lengths.get(feature.name, set())
        if len(found) == 1 and (length := max(found)) > 1:
            feature.shape.dim.add(size=length)
            feature.presence.min_fraction = 1
        elif max(found, default=0) > 1 and not feature.HasField("value_count"):
            # TFDV says nothing of lists that may be empty.
            feature.value_count.min = 0


def values_counted(*protos: statistics_pb2.DatasetFeatureStatisticsList) -> dict[str, int]:
    """The largest number of distinct values per feature, over the given statistics.

    Only features whose values TFDV counted (texts and categories) are among the keys.
    """
    counted: dict[str, int] = {}
    for feature in (f for proto in protos for f in proto.datasets[0].features):
        if feature.WhichOneof("stats") == "string_stats":
            name = feature.path.step[0]
            counted[name] = max(counted.get(name, 0), feature.string_stats.unique)
    return counted


def mark_categories(schema: schema_pb2.Schema, counted: Iterable[str]) -> None:
    """Mark integers whose values were counted as categories, in place.

    TFDV infers a domain of texts for them, which its own validation refuses for integers.
    """
    for feature in schema.feature:
        if feature.type == schema_pb2.INT and feature.name in counted:
            feature.int_domain.is_categorical = True
    used = {feature.domain for feature in schema.feature}
    kept = [domain for domain in schema.string_domain if domain.name in used]
    del schema.string_domain[:]
    schema.string_domain.extend(kept)


def allow_chance(
    schema: schema_pb2.Schema,
    judged: anomalies_pb2.Anomalies,
    examples: Examples,
    split: Split,
) -> None:
    """Raise the bounds on skew to what chance explains (see `chance`), in place.

    A bound of 1 or more could never be exceeded, so it is removed.

    Args:
        schema: The result of `infer_schema`; it is changed.
        judged: TFDV's comparison of the train and eval splits by this schema.
        examples: All splits.
        split: How the rows were split.
    """
    features = {f.name: f for f in schema.feature if f.HasField("skew_comparator")}
    if sum(examples.rows.values()) > chance.ALWAYS_ROWS:
        far = {name for name, value, threshold in _distances(judged) if value > threshold}
        features = {name: feature for name, feature in features.items() if name in far}
    if not features:
        return
    for name, bound in chance.distance_bounds(examples, split, list(features)).items():
        norm = features[name].skew_comparator.infinity_norm
        if bound >= 1:
            features[name].ClearField("skew_comparator")
        elif bound > norm.threshold:
            norm.threshold = _rounded_up(bound)


def fitting(schema: schema_pb2.Schema, judged: anomalies_pb2.Anomalies) -> schema_pb2.Schema:
    """A copy of the schema whose skew bounds fit the data: what `mfx schema accept` writes."""
    copy = schema_pb2.Schema()
    copy.CopyFrom(schema)
    features = {feature.name: feature for feature in copy.feature}
    for name, value, threshold in _distances(judged):
        if value > threshold:
            features[name].skew_comparator.infinity_norm.threshold = _rounded_up(value)
    return copy


def _distances(judged: anomalies_pb2.Anomalies) -> list[tuple[str, float, float]]:
    """Feature name, distance and threshold of each comparison between the splits."""
    return [
        (info.path.step[0], measured.value, measured.threshold)
        for info in judged.drift_skew_info
        for measured in info.skew_measurements
    ]


def _rounded_up(distance: float) -> float:
    return math.ceil(distance * 1000) / 1000
