"""Find what differs between two runs besides their metrics: config, data and code."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mfx.artifacts.examples import paths_in_words
from mfx.artifacts.spans import in_words
from mfx.registry.runs import Results

if TYPE_CHECKING:
    from mfx.artifacts import Schema, Statistics

ADDED, REMOVED, CHANGED = "added", "removed", "changed"


@dataclass(frozen=True)
class Change:
    """A value that differs between two runs. If only one run has it, the other value is None."""

    what: str
    before: Any
    after: Any


@dataclass(frozen=True)
class FileChange:
    """How many lines were added to and removed from a file of code."""

    path: str
    added: int
    removed: int


@dataclass(frozen=True)
class Drift:
    """How much a feature differs between the train splits of two runs, by TFDV's distances.

    Args:
        feature: The feature's name.
        infinity: L-infinity distance of the values' shares; None for floats.
        jensen_shannon: Jensen-Shannon divergence; None if TFDV gives none.
    """

    feature: str
    infinity: float | None
    jensen_shannon: float | None

    @property
    def largest(self) -> float:
        """The larger of the two distances, for sorting."""
        return max(self.infinity or 0.0, self.jensen_shannon or 0.0)


@dataclass(frozen=True)
class Changes:
    """How one run differs from another.

    Args:
        before: The id of the other run.
        after: The id of this run.
        config: The settings that differ, with keys such as `train.steps`.
        data: Differences in files, rows and rejected rows.
        schema: Features that were added, removed or changed.
        drift: All features that both runs have, the largest difference first; None if it was not
            measured.
        commits: The runs' Git commits.
        code: Files of code that differ; None if one of the runs did not save its code.
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
    """Find what differs between two runs.

    Args:
        before: The run to compare with.
        after: The run.
        with_drift: Whether to measure drift. This imports TensorFlow Data Validation.
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
    """The settings that differ, including the runs' parameters."""
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
    """Differences in the input files, the rows of each split and the rejected rows."""
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
        found["spans"] = in_words(sources.spans) or None
        found["SHA-256"] = sources.lineage.data[:12]
    if examples := one.examples:
        found |= {f"{split} rows": examples.rows[split] for split in examples.splits}
        found["rejected rows"] = sum(examples.rejected.values())
    return found


def schema_changes(before: Schema, after: Schema) -> list[Change]:
    """Features that were added or removed, or whose description has changed."""
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
    """TFDV's distances between two train splits, for each feature that both have.

    If a feature is a category in only one run's schema, its statistics cannot be compared, and it
    has no distances.
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
        # TFDV measures a distance only if it has a threshold; any will do.
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
    """The Git commit, with `+` if there were uncommitted changes; empty if it is not known."""
    code = one.code
    return f"{code.commit[:12]}{'+' * code.changed}" if code and code.commit else ""


def code_changes(before: Results, after: Results) -> list[FileChange] | None:
    """Lines added and removed in each file; None if one of the runs did not save its code."""
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
