"""What differs between two runs besides their metrics: config, data, code."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mfx.artifacts import SPLITS
from mfx.artifacts.examples import paths_in_words
from mfx.registry.runs import Results

if TYPE_CHECKING:
    from mfx.artifacts import Schema, Statistics

ADDED, REMOVED, CHANGED = "added", "removed", "changed"


@dataclass(frozen=True)
class Change:
    """One thing that differs; `before` or `after` is None where it is in one run only."""

    what: str
    before: Any
    after: Any


@dataclass(frozen=True)
class FileChange:
    """Lines added to and removed from a file of code."""

    path: str
    added: int
    removed: int


@dataclass(frozen=True)
class Drift:
    """How far a feature's train split is from the other run's, by TFDV.

    Args:
        feature: The feature.
        infinity: L-infinity distance of the values' shares; None for floats.
        jensen_shannon: Jensen-Shannon divergence; None where TFDV has none.
    """

    feature: str
    infinity: float | None
    jensen_shannon: float | None

    @property
    def largest(self) -> float:
        """The larger of the two, for sorting."""
        return max(self.infinity or 0.0, self.jensen_shannon or 0.0)


@dataclass(frozen=True)
class Changes:
    """How one run differs from another.

    Args:
        before: The other run.
        after: This run.
        config: Settings that differ, by their keys, such as `train.steps`.
        data: Files, rows and rejected rows that differ.
        schema: Features added, removed and changed.
        drift: All features that both runs have, largest first; None if it was not asked for.
        commits: The runs' git commits.
        code: Files of code that differ; None if one of the runs did not keep its code.
    """

    before: str
    after: str
    config: list[Change]
    data: list[Change]
    schema: list[Change]
    drift: list[Drift] | None
    commits: tuple[str, str]
    code: list[FileChange] | None


def changes(before: Results, after: Results, with_drift: bool = True) -> Changes:
    """What differs between two runs.

    Args:
        before: The run that it is compared with.
        after: The run.
        with_drift: Whether to measure drift, which needs TensorFlow Data Validation.
    """
    schemas = before.get("validate", "schema"), after.get("validate", "schema")
    statistics = before.get("validate", "statistics"), after.get("validate", "statistics")
    return Changes(
        before.id,
        after.id,
        config_changes(before, after),
        data_changes(before, after),
        schema_changes(*schemas) if all(schemas) else [],
        drift(*statistics) if with_drift and all(statistics) else None,
        (commit(before), commit(after)),
        code_changes(before, after),
    )


def config_changes(before: Results, after: Results) -> list[Change]:
    """Settings that differ, run-time parameters included."""
    old, new = (_flat(one.need("start", "settings").to_dict()) for one in (before, after))
    return [
        Change(key, old.get(key), new.get(key))
        for key in sorted(set(old) | set(new))
        if old.get(key) != new.get(key) and key != "home"
    ]


def _flat(tables: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def data_changes(before: Results, after: Results) -> list[Change]:
    """Input files, rows of each split and rejected rows."""
    old, new = (_data(one) for one in (before, after))
    return [
        Change(what, old.get(what), new.get(what))
        for what in dict.fromkeys([*old, *new])
        if old.get(what) != new.get(what)
    ]


def _data(one: Results) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if sources := one.sources:
        resolve = one.settings.resolve if one.settings else str
        found["files"] = paths_in_words(sources.files, resolve, most=10)
        found["SHA-256"] = sources.lineage.data[:12]
    if examples := one.examples:
        found |= {f"{split} rows": examples.rows.get(split) for split in SPLITS}
        found["rejected rows"] = sum(examples.rejected.values())
    return found


def schema_changes(before: Schema, after: Schema) -> list[Change]:
    """Features added, removed, or described otherwise."""
    from google.protobuf import text_format

    old, new = (
        {f.name: text_format.MessageToString(f, as_one_line=True) for f in one.proto().feature}
        for one in (before, after)
    )
    return [
        Change(name, old.get(name), new.get(name))
        for name in sorted(set(old) | set(new))
        if old.get(name) != new.get(name)
    ]


def drift(before: Statistics, after: Statistics) -> list[Drift]:
    """TFDV's distances between the train splits, for each feature that both have.

    A feature that only one run's schema calls a category has none: the runs' statistics of it are
    of different kinds.
    """
    import tensorflow_data_validation as tfdv

    from mfx.validate.infer_schema import mark_categories, values_counted

    old, new = before.proto("train"), after.proto("train")
    schema = tfdv.infer_schema(new, infer_feature_shape=False)
    counted = values_counted(new)
    mark_categories(schema, counted)
    for feature in schema.feature:
        if (feature.name in counted) != (feature.name in values_counted(old)):
            continue
        # Any threshold does: TFDV measures where there is one.
        feature.drift_comparator.jensen_shannon_divergence.threshold = 1.0
        if feature.name in counted:
            feature.drift_comparator.infinity_norm.threshold = 1.0
    found = tfdv.validate_statistics(new, schema, previous_statistics=old)
    both = {f.path.step[0] for f in old.datasets[0].features}
    measured = []
    for info in found.drift_skew_info:
        name = info.path.step[0]
        values = {m.type: m.value for m in info.drift_measurements}
        if name in both:
            measured.append(
                Drift(
                    name,
                    values.get(_measure("L_INFTY")),
                    values.get(_measure("JENSEN_SHANNON_DIVERGENCE")),
                )
            )
    return sorted(measured, key=lambda one: -one.largest)


def _measure(name: str) -> int:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    return anomalies_pb2.DriftSkewInfo.Measurement.Type.Value(name)


def commit(one: Results) -> str:
    """The git commit, `+` for changes besides; empty if unknown."""
    code = one.code
    return f"{code.commit[:12]}{'+' * code.changed}" if code and code.commit else ""


def code_changes(before: Results, after: Results) -> list[FileChange] | None:
    """Lines added and removed, file by file; None if a run did not keep its code."""
    if before.code is None or after.code is None:
        return None
    if before.code.payload == after.code.payload:
        return []
    old, new = before.code.files(), after.code.files()
    found = []
    for path in sorted(set(old) | set(new)):
        a, b = old.get(path, "").splitlines(), new.get(path, "").splitlines()
        if a != b:
            diff = list(difflib.unified_diff(a, b, n=0))[2:]
            added = sum(line.startswith("+") for line in diff)
            found.append(FileChange(path, added, sum(line.startswith("-") for line in diff)))
    return found
