"""Whether a model may be pushed: one check for each threshold and slice, none left out."""

from __future__ import annotations

from typing import Any

from mfx import slices
from mfx.artifacts import Blessing, Check
from mfx.config import Evaluate, Threshold

FIRST_RUN = "first run"
"""Baseline of a model when nothing is in production yet."""


def bless(
    options: Evaluate,
    rows: list[dict[str, Any]],
    baseline_rows: list[dict[str, Any]],
    validation: Any,
    baseline: str,
) -> Blessing:
    """Hold metrics to the config's thresholds.

    Args:
        options: The thresholds.
        rows: The candidate's metrics, one dict a slice (`tfma_config.rows`).
        baseline_rows: The production model's, same slices; empty if there is none.
        validation: TFMA's ValidationResult for the same metrics, which must agree.
        baseline: FIRST_RUN, or the production model's run.
    """
    before = {row["slice"]: row for row in baseline_rows}
    checks = []
    for threshold in options.thresholds:
        for keys in threshold.slices:
            held = [row for row in rows if _features(row["slice"]) == sorted(set(keys))]
            for row in held:
                checks += _checks(threshold, row, before.get(row["slice"]), baseline)
            if not held:
                by = f"by {', '.join(keys)}" if keys else "Overall"
                checks.append(Check(threshold.metric, by, "a slice with examples", None, False))
    agreed = all(check.passed for check in checks)
    if agreed and not validation.validation_ok:
        why = "no thresholds" if validation.missing_thresholds else "slices without examples"
        checks.append(Check("all metrics", "all slices", f"TFMA's validation ({why})", None, False))
    return Blessing(all(check.passed for check in checks), tuple(checks), baseline)


def _features(slice_name: str) -> list[str]:
    """The features that a slice is by, in name order."""
    return sorted(feature for feature, _ in slices.parts(slice_name))


def _checks(
    threshold: Threshold, row: dict[str, Any], before: dict[str, Any] | None, baseline: str
) -> list[Check]:
    name, where = threshold.metric, row["slice"]
    value = row.get(name)
    checks = []
    if threshold.lower is not None:
        passed = value is not None and value >= threshold.lower
        checks.append(Check(name, where, f"at least {threshold.lower:g}", value, passed))
    if threshold.upper is not None:
        passed = value is not None and value <= threshold.upper
        checks.append(Check(name, where, f"at most {threshold.upper:g}", value, passed))
    changes = threshold.max_drop is not None or threshold.max_rise is not None
    if baseline == FIRST_RUN:
        # Passed as in TFX, but on the record: a reader must see that nothing was compared.
        rule = "no change to check: nothing is in production yet"
        return [*checks, Check(name, where, rule, value, value is not None)] if changes else checks
    old = None if before is None else before.get(name)
    change = None if value is None or old is None else value - old
    shown = "unknown" if old is None else f"{old:.4f}"
    if threshold.max_drop is not None:
        passed = change is not None and change >= -threshold.max_drop
        rule = f"at most {threshold.max_drop:g} below production's {shown}"
        checks.append(Check(name, where, rule, value, passed))
    if threshold.max_rise is not None:
        passed = change is not None and change <= threshold.max_rise
        rule = f"at most {threshold.max_rise:g} above production's {shown}"
        checks.append(Check(name, where, rule, value, passed))
    return checks
