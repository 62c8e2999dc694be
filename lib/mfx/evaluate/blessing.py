"""Decide whether a model may be pushed, by one check for each threshold and slice."""

from __future__ import annotations

from typing import Any

from mfx import figures
from mfx.artifacts import OVERALL, Blessing, Check, ComparedWith, SliceMetrics, SlicesBy
from mfx.artifacts.evaluation import Reasons
from mfx.config import Evaluate, Threshold


def bless(
    options: Evaluate,
    rows: list[SliceMetrics],
    baseline_rows: list[SliceMetrics],
    validation: Any,
    baseline: ComparedWith,
    no_value: Reasons | None = None,
    baseline_no_value: Reasons | None = None,
) -> Blessing:
    """Check the metrics against the config's thresholds.

    Args:
        options: The config's table `[evaluate]`, with the thresholds.
        rows: The candidate's metrics, one entry per slice (see `no_value.decide`).
        baseline_rows: The production model's metrics for the same slices; empty if there is no
            model in production.
        validation: TFMA's ValidationResult for the same metrics. The model is blessed only if TFMA
            agrees about everything that is checked.
        baseline: The run in production, or that there is none.
        no_value: Why metrics of `rows` have no value, by slice and metric.
        baseline_no_value: The same for `baseline_rows`.

    Returns:
        Whether the model is blessed, with all checks.
    """
    before = {row.slice: row.metrics for row in baseline_rows}
    reasons = no_value or {}, baseline_no_value or {}
    checks: list[Check] = []
    for threshold in options.thresholds:
        for keys in threshold.slices:
            held = [row for row in rows if set(row.slice.features) == set(keys)]
            by = SlicesBy(tuple(keys)) if keys else OVERALL
            made: list[Check] = []
            for row in held:
                why = [found.get(row.slice, {}).get(threshold.metric, "") for found in reasons]
                made += _checks(threshold, row, before.get(row.slice), baseline, keys, *why)
            checks += made
            if not held:
                checks.append(Check(threshold.metric, by, "a slice with examples", None, False))
            elif _asked(threshold) is None and not any(check.checked for check in made):
                needs = "a slice where it can be checked"
                checks.append(Check(threshold.metric, by, needs, None, False, made[0].no_value))
    if not options.thresholds and not baseline.first:
        needs = "thresholds: without any, only a first model is blessed"
        checks.append(Check("all metrics", SlicesBy(), needs, None, False))
    failed = [check for check in checks if check.checked and not check.passed]
    if not (failed or validation.validation_ok or _only_unchecked(validation, checks)):
        why_not = "no thresholds" if validation.missing_thresholds else "slices without examples"
        needs = f"TFMA's validation ({why_not})"
        failed.append(Check("all metrics", SlicesBy(), needs, None, False))
        checks += failed
    return Blessing(not failed, tuple(checks), baseline)


def _only_unchecked(validation: Any, checks: list[Check]) -> bool:
    """Whether TFMA found fault only with metrics that have no value and are not checked.

    TFMA takes such metrics for 0 or NaN, so they miss any threshold.
    """
    unchecked = {(check.slice, check.metric) for check in checks if not check.checked}
    if not unchecked or validation.missing_thresholds or validation.missing_slices:
        return False
    from mfx.evaluate.tfma_config import failures

    return failures(validation) <= unchecked


def _asked(threshold: Threshold) -> str | None:
    """What to do about a metric without a value.

    None in settings of an older version, which a resumed run may have.
    """
    return getattr(threshold, "no_value", None)


def _checks(
    threshold: Threshold,
    row: SliceMetrics,
    before: dict[str, float | None] | None,
    baseline: ComparedWith,
    keys: list[str],
    why: str,
    why_before: str,
) -> list[Check]:
    """The checks of one threshold on one slice.

    Args:
        threshold: The threshold.
        row: The candidate's metrics on the slice.
        before: The production model's metrics on the slice. None if it was not measured: then every
            check of a change fails.
        baseline: The run in production, or that there is none.
        keys: The slice's features.
        why: Why the candidate's metric has no value; '' if it has one.
        why_before: Why the production model's metric has no value; '' if it has one.
    """
    name, where = threshold.metric, row.slice
    value = row.metrics.get(name)
    asked = _asked(threshold)
    skip = asked == "skip" or (asked is None and bool(keys))

    def check(rule: str, passed: bool, known: bool = True) -> Check:
        no_value = why if value is None else "" if known else why_before
        known = known and value is not None
        return Check(name, where, rule, value, known and passed, no_value, known or not skip)

    checks = []
    if threshold.lower is not None:
        passed = value is not None and value >= threshold.lower
        checks.append(check(f"at least {threshold.lower:g}", passed))
    if threshold.upper is not None:
        passed = value is not None and value <= threshold.upper
        checks.append(check(f"at most {threshold.upper:g}", passed))
    changes = threshold.max_drop is not None or threshold.max_rise is not None
    if baseline.first:
        # The check passes, as in TFX. It is recorded so that a reader sees: nothing was compared.
        rule = "no change to check: nothing is in production yet"
        return [*checks, check(rule, True)] if changes else checks
    old = None if before is None else before.get(name)
    change = None if value is None or old is None else value - old
    shown = f"no value ({why_before})" if why_before else "unknown"
    shown = shown if old is None else figures.metric(old)
    known = old is not None or before is None
    if threshold.max_drop is not None:
        passed = change is not None and change >= -threshold.max_drop
        checks.append(
            check(f"at most {threshold.max_drop:g} below production's {shown}", passed, known)
        )
    if threshold.max_rise is not None:
        passed = change is not None and change <= threshold.max_rise
        checks.append(
            check(f"at most {threshold.max_rise:g} above production's {shown}", passed, known)
        )
    return checks
