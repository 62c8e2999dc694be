"""TFDV's anomalies in words: what was expected, what was observed, how often, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from mfx.artifacts import Anomaly

_TYPE_NAMES = {schema_pb2.INT: "integers", schema_pb2.FLOAT: "floats", schema_pb2.BYTES: "text"}


def explain(
    anomalies: anomalies_pb2.Anomalies,
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    split: str,
) -> Iterator[Anomaly]:
    """One `Anomaly` for each reason that TFDV gives, sorted by feature.

    Args:
        anomalies: TFDV's verdict on `statistics` against `schema`.
        statistics: What was judged; tells how many examples are concerned.
        schema: What it was judged by; tells what was expected.
        split: The split that the statistics describe.
    """
    features = {f.name: f for f in schema.feature}
    stats = {f.path.step[0]: f for f in statistics.datasets[0].features}
    examples = statistics.datasets[0].num_examples
    reasons = [
        (name, info.severity, reason)
        for name, info in sorted(anomalies.anomaly_info.items())
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
            observed=reason.description.strip().rstrip("."),
            count=_count(rule, feature, stats.get(name), examples, schema),
            remedy=_remedy(rule, name),
        )


def _expected(rule: str, feature: Any, schema: Any) -> str:
    if rule == "SCHEMA_NEW_COLUMN":
        return "no such feature"
    if rule.startswith("COMPARATOR_L_INFTY"):
        return f"L-infinity distance of at most {feature.skew_comparator.infinity_norm.threshold:g}"
    if rule.startswith("COMPARATOR_JENSEN"):
        bound = feature.skew_comparator.jensen_shannon_divergence.threshold
        return f"Jensen-Shannon divergence of at most {bound:g}"
    if rule == "SCHEMA_MISSING_COLUMN" or "PRESENT" in rule:
        fraction, count = feature.presence.min_fraction, feature.presence.min_count
        return (
            f"a value in {fraction:.0%} of the examples" if fraction else f"at least {count} values"
        )
    if "_VALUES" in rule and rule.startswith("FEATURE_TYPE"):
        return f"{feature.value_count.min} to {feature.value_count.max} values an example"
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


def _count(rule: str, feature: Any, stats: Any, examples: int, schema: Any) -> int | None:
    """How many examples break the rule, where the statistics tell."""
    if rule == "SCHEMA_MISSING_COLUMN":
        return examples
    if "PRESENT" in rule:
        return examples if stats is None else examples - _common(stats).num_non_missing
    if stats is None:
        return None
    if rule == "ENUM_TYPE_UNEXPECTED_STRING_VALUES":
        known = _domain(feature, schema)
        buckets = stats.string_stats.rank_histogram.buckets
        return int(sum(b.sample_count for b in buckets if b.label not in known))
    if "_SMALL_" in rule or "_BIG_" in rule:
        limits = feature.int_domain if feature.HasField("int_domain") else feature.float_domain
        beyond: Callable[[float, float], bool] = (
            (lambda low, high: high < limits.min)
            if "_SMALL_" in rule
            else (lambda low, high: low > limits.max)
        )
        # A histogram bucket that straddles the bound holds at least one such value.
        straddling = (
            (lambda low, high: low < limits.min <= high)
            if "_SMALL_" in rule
            else (lambda low, high: low <= limits.max < high)
        )
        buckets = stats.num_stats.histograms[0].buckets if stats.num_stats.histograms else []
        sure = sum(b.sample_count for b in buckets if beyond(b.low_value, b.high_value))
        return (
            max(1, round(sure))
            if not any(straddling(b.low_value, b.high_value) for b in buckets)
            else None
        )
    if rule == "SCHEMA_NEW_COLUMN":
        return _common(stats).num_non_missing
    return None


def _common(stats: Any) -> Any:
    return getattr(stats, stats.WhichOneof("stats")).common_stats


def _remedy(rule: str, name: str) -> str:
    where = f"of '{name}' in the schema"
    if rule == "SCHEMA_NEW_COLUMN":
        return "Drop the column, or add the feature to the schema."
    if rule == "SCHEMA_MISSING_COLUMN" or "PRESENT" in rule:
        return f"Bring the column back, or lower presence {where}."
    if rule.startswith("COMPARATOR_"):
        return f"Check how the data was collected and split, or raise skew_comparator {where}."
    if rule == "ENUM_TYPE_UNEXPECTED_STRING_VALUES":
        return f"Mend the values, add them to the domain, or lower min_domain_mass {where}."
    if "_SMALL_" in rule or "_BIG_" in rule:
        return f"Mend the values, or widen the domain {where}."
    if rule.startswith("DATASET_"):
        return "Give more data, or change dataset_constraints in the schema."
    return f"Mend the values, or change the type or value_count {where}."
