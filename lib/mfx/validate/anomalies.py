"""Put TFDV's anomalies into words: what was expected, what was seen, how often, what to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from mfx import label
from mfx.artifacts import Anomalies, Anomaly, Schema
from mfx.columns.types import lengths, rows_of, values_of
from mfx.errors import MfxError
from mfx.validate import schema_rules

_TYPE_NAMES = {schema_pb2.INT: "integers", schema_pb2.FLOAT: "floats", schema_pb2.BYTES: "text"}


def explain(
    anomalies: anomalies_pb2.Anomalies,
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    split: str,
    values: Callable[[str], Iterable[pa.Array]],
    in_file: bool = True,
) -> Iterator[Anomaly]:
    """Make one `Anomaly` for each reason that TFDV gives, sorted by feature.

    Args:
        anomalies: What TFDV found when it checked `statistics` against `schema`.
        statistics: The statistics of the split. They say how many examples are concerned.
        schema: The schema. It says what was expected.
        split: The split that the statistics describe.
        values: Returns a feature's column, in parts. Exact counts need the values, since some
            statistics are only estimates.
        in_file: Whether the schema is a file that the user can edit. If not, it was inferred.

    Yields:
        The anomalies. Those that compare the splits come under the split "train vs eval".
    """
    features = {f.name: f for f in schema.feature}
    stats = {f.path.step[0]: f for f in statistics.datasets[0].features}
    examples = statistics.datasets[0].num_examples
    reasons = [
        # The key is a path as text, in which TFDV puts names such as `a.b` in quotes.
        (info.path.step[0] if info.path.step else key, info.severity, reason)
        for key, info in sorted(anomalies.anomaly_info.items())
        for reason in info.reason
    ]
    if anomalies.HasField("dataset_anomaly_info"):
        info = anomalies.dataset_anomaly_info
        reasons += [("<dataset>", info.severity, reason) for reason in info.reason]
    for name, severity, reason in reasons:
        rule = anomalies_pb2.AnomalyInfo.Type.Name(reason.type)
        compared = rule.startswith("COMPARATOR_")
        feature = features.get(name, schema_pb2.Feature(name=name))
        yield Anomaly(
            split="train vs eval" if compared else split,
            feature=name,
            rule=rule,
            severity=anomalies_pb2.AnomalyInfo.Severity.Name(severity),
            expected=_expected(rule, feature, schema),
            observed=(reason.description or reason.short_description).strip().rstrip("."),
            count=_count(rule, feature, stats.get(name), examples, schema, values),
            remedy=_remedy(rule, name, in_file),
        )


def too_rare_for_statistics(
    found: Iterable[Anomaly],
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    split: str,
    values: Callable[[str], Iterable[pa.Array]],
) -> Iterator[Anomaly]:
    """Find values outside their domain that TFDV misses.

    TFDV checks only a category's most frequent values, because the statistics hold no others.

    Args:
        found: The split's anomalies so far.
        statistics: The split's statistics.
        schema: The schema that the split is checked against.
        split: The split's name.
        values: Returns a feature's column, in parts.

    Yields:
        An error for each rule that is broken and not yet in `found`.
    """
    seen = {(anomaly.feature, anomaly.rule) for anomaly in found}
    stats = {f.path.step[0]: f for f in statistics.datasets[0].features}
    for feature in filter(schema_rules.is_checked, schema.feature):
        counted = stats[feature.name].string_stats if feature.name in stats else None
        if counted is None or counted.unique <= len(counted.rank_histogram.buckets):
            continue
        for rule, allowed in _domain_rules(feature, schema):
            if (feature.name, rule) in seen:
                continue
            breaks = _breaking(rule, feature, schema)
            parts = [breaks(part) for part in values(feature.name)] if breaks else []
            broken = [part for part in parts if part]
            count, total = sum(b.rows for b in broken), counted.common_stats.tot_num_values
            if sum(b.values for b in broken) > allowed * total:
                yield Anomaly(
                    split=split,
                    feature=feature.name,
                    rule=rule,
                    severity="ERROR",
                    expected=_expected(rule, feature, schema),
                    observed="other values, each of them rare",
                    count=count,
                    remedy=_remedy(rule, feature.name, in_file=True),
                )


def _domain_rules(feature: Any, schema: Any) -> Iterator[tuple[str, float]]:
    """The rules for a category's values, each with the share of values that may break it."""
    if schema_rules.TRAINING in feature.not_in_environment:
        return
    if _domain(feature, schema):
        mass = feature.distribution_constraints
        allowed = 1 - mass.min_domain_mass if mass.HasField("min_domain_mass") else 0.0
        yield "ENUM_TYPE_UNEXPECTED_STRING_VALUES", allowed
    if feature.type == schema_pb2.INT:
        for field, rule in (("min", "INT_TYPE_SMALL_INT"), ("max", "INT_TYPE_BIG_INT")):
            if feature.int_domain.HasField(field):
                yield rule, 0.0


def not_checked(schema: schema_pb2.Schema) -> Iterator[Anomaly]:
    """A warning for each feature whose schema has a rule that a run does not check."""
    for name, what in schema_rules.not_carried_out(schema).items():
        yield Anomaly(
            split="schema",
            feature=name,
            rule="SCHEMA_NOT_CHECKED",
            severity="WARNING",
            expected="only rules that a run checks",
            observed=what,
            count=None,
            remedy="Remove it from the schema, or check it elsewhere.",
        )


def _expected(rule: str, feature: Any, schema: Any) -> str:
    if rule == "SCHEMA_NEW_COLUMN":
        return "no such feature"
    if rule.startswith("COMPARATOR_L_INFTY"):
        return f"L-infinity distance of at most {feature.skew_comparator.infinity_norm.threshold:g}"
    if rule.startswith("COMPARATOR_JENSEN"):
        bound = feature.skew_comparator.jensen_shannon_divergence.threshold
        return f"Jensen-Shannon divergence of at most {bound:g}"
    if rule.startswith("COMPARATOR_NORMALIZED"):
        bound = feature.skew_comparator.normalized_abs_difference.threshold
        return f"normalized absolute difference of at most {bound:g}"
    if rule.endswith("_UNIQUE"):
        limits = feature.unique_constraints
        return f"{limits.min} to {limits.max} distinct values"
    if rule == "SCHEMA_MISSING_COLUMN" or "PRESENT" in rule:
        fraction, count = feature.presence.min_fraction, feature.presence.min_count
        return (
            f"a value in {fraction:.0%} of the examples" if fraction else f"at least {count} values"
        )
    if "_VALUES" in rule and rule.startswith("FEATURE_TYPE"):
        return f"{feature.value_count.min} to {feature.value_count.max} values per example"
    if rule == "UNEXPECTED_DATA_TYPE" or "_NOT_" in rule:
        return _TYPE_NAMES.get(feature.type, "another type")
    domain = _domain(feature, schema)
    if domain and rule.startswith("ENUM_TYPE"):
        mass = feature.distribution_constraints.min_domain_mass or 1.0
        shown = ", ".join(sorted(domain)[:8]) + (", …" if len(domain) > 8 else "")
        return f"at least {mass:.0%} of the values among {len(domain)} known ones ({shown})"
    for bounds in ("int_domain", "float_domain"):
        if feature.HasField(bounds):
            limits = getattr(feature, bounds)
            low = limits.min if limits.HasField("min") else "-∞"
            high = limits.max if limits.HasField("max") else "∞"
            return f"values from {low} to {high}"
    return _TYPE_NAMES.get(feature.type, "what the schema says")


def _domain(feature: Any, schema: Any) -> set[str]:
    if feature.HasField("string_domain"):
        return set(feature.string_domain.value)
    named = {domain.name: domain for domain in schema.string_domain}
    return set(named[feature.domain].value) if feature.domain in named else set()


def _count(
    rule: str,
    feature: Any,
    stats: Any,
    examples: int,
    schema: Any,
    values: Callable[[str], Iterable[pa.Array]],
) -> int | None:
    """How many examples break the rule; None for a rule that is not about single examples."""
    if rule == "SCHEMA_MISSING_COLUMN":
        return examples
    if "PRESENT" in rule:
        return examples if stats is None else examples - _common(stats).num_non_missing
    if stats is None:
        return None
    if breaks := _breaking(rule, feature, schema):
        parts = [breaks(part) for part in values(feature.name)]
        return None if any(part is None for part in parts) else sum(p.rows for p in parts if p)
    if rule == "SCHEMA_NEW_COLUMN":
        return _common(stats).num_non_missing
    if (allowed := _allowed_lengths(rule, feature)) is not None:
        return sum(_of_other_length(part, *allowed) for part in values(feature.name))
    return None


def _allowed_lengths(rule: str, feature: Any) -> tuple[float, float] | None:
    """The fewest and most values that a row may have; None for a rule on something else."""
    if rule == "INVALID_FEATURE_SHAPE":
        size = math.prod(dimension.size for dimension in feature.shape.dim)
        return size, size
    if rule == "FEATURE_TYPE_LOW_NUMBER_VALUES":
        return feature.value_count.min, math.inf
    return (0, feature.value_count.max) if rule == "FEATURE_TYPE_HIGH_NUMBER_VALUES" else None


def _of_other_length(column: pa.Array, fewest: float, most: float) -> int:
    """How many rows have a list with fewer or more values."""
    counts = lengths(column)
    return int((((counts < fewest) | (counts > most)) & np.asarray(column.is_valid())).sum())


class _Broken(NamedTuple):
    """How many rows have values that break a rule, and how many such values there are."""

    rows: int
    values: int


def _breaking(rule: str, feature: Any, schema: Any) -> Callable[[pa.Array], _Broken | None] | None:
    """What counts the values of a column that break a rule; None for a rule on something else.

    It gives None for a column whose values the rule does not fit, such as numbers in texts.
    """
    if rule == "ENUM_TYPE_UNEXPECTED_STRING_VALUES":
        known = pa.array([word.encode() for word in _domain(feature, schema)], pa.binary())

        def breaks(values: pa.Array) -> pa.Array:
            return pc.invert(pc.is_in(values, known))

    elif "_SMALL_" in rule or "_BIG_" in rule:
        limits = feature.int_domain if feature.HasField("int_domain") else feature.float_domain

        def breaks(values: pa.Array) -> pa.Array:
            if "_SMALL_" in rule:
                return pc.less(values, limits.min)
            return pc.greater(values, limits.max)

    else:
        return None

    def counted(column: pa.Array) -> _Broken | None:
        values = values_of(column)
        if pa.types.is_binary(values.type) != rule.startswith("ENUM_TYPE"):
            return None
        broken = np.asarray(breaks(values))
        return _Broken(len(np.unique(rows_of(column)[broken])), int(broken.sum()))

    return counted


def _common(stats: Any) -> Any:
    return getattr(stats, stats.WhichOneof("stats")).common_stats


def _remedy(rule: str, name: str, in_file: bool) -> str:
    where = f"of '{name}' in the schema"
    if rule.startswith("COMPARATOR_") and not in_file:
        return "Check how the data was collected and split, or raise skew_threshold under [schema]."
    if rule == "SCHEMA_NEW_COLUMN":
        return "Drop the column, or add the feature to the schema."
    if rule == "SCHEMA_MISSING_COLUMN" or "PRESENT" in rule:
        return f"Bring the column back, or lower presence {where}."
    if rule.startswith("COMPARATOR_"):
        return f"Check how the data was collected and split, or raise skew_comparator {where}."
    if rule == "ENUM_TYPE_UNEXPECTED_STRING_VALUES":
        return f"Fix the values, add them to the domain, or lower min_domain_mass {where}."
    if "_SMALL_" in rule or "_BIG_" in rule:
        return f"Fix the values, or widen the domain {where}."
    if rule.startswith("DATASET_"):
        return "Give more data, or change dataset_constraints in the schema."
    return f"Fix the values, or change the type or value_count {where}."


def stop_on_errors(anomalies: Anomalies, schema: Schema) -> None:
    """Stop the run if there are errors among the anomalies.

    Args:
        anomalies: What `validate` found.
        schema: The schema that the examples were checked against.

    Raises:
        MfxError: There are errors. The message lists all of them, one per line.
    """
    if not anomalies.errors:
        return
    if all(anomaly.rule == label.MISSING for anomaly in anomalies.errors):
        raise MfxError("rows without a label:\n" + "\n".join(f"- {a}" for a in anomalies.errors))
    held_to = "the schema inferred from it" if schema.inferred else schema.path
    fix = "Fix the data" + ("" if schema.inferred else " or edit the schema")
    accept = "To accept a schema that fits this run's data: mfx schema accept"
    raise MfxError(
        f"the data breaks {held_to} in {len(anomalies.errors)} ways:\n"
        + "\n".join(f"- {anomaly}" for anomaly in anomalies.errors),
        f"{fix}. {accept}" if schema.fits else f"{fix}.",
    )
