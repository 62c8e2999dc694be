"""The blessing: one check for each threshold and slice, and what lets a model through."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mfx.artifacts import FIRST_RUN, OVERALL, ComparedWith, SliceKey, SliceMetrics, SlicesBy
from mfx.config import Evaluate, Threshold
from mfx.evaluate.blessing import bless

OK = SimpleNamespace(validation_ok=True, missing_thresholds=False)
MISSED = SimpleNamespace(validation_ok=False, missing_thresholds=False)
NONE = SimpleNamespace(validation_ok=False, missing_thresholds=True)
HOUR_1, HOUR_2 = (SliceKey((("hour", hour),)) for hour in (1, 2))
CROSSED = SliceKey((("hour", 1), ("kind", "a")))
RUN_7 = ComparedWith("run 7")


def auc(value: float | None, key: SliceKey = OVERALL) -> SliceMetrics:
    return SliceMetrics(key, {"auc": value})


ROWS = [auc(0.9), auc(0.8, HOUR_1), auc(None, HOUR_2), auc(0.5, CROSSED)]


def blessing(threshold: dict, rows=None, before=(), validation=OK, baseline=FIRST_RUN, **reasons):
    options = Evaluate(
        metrics=["AUC"],
        select="auc",
        slices=[["hour"], ["hour", "kind"]],
        thresholds=[Threshold(metric="auc", **threshold)],
    )
    rows = ROWS[:1] if rows is None else rows
    return bless(options, rows, list(before), validation, baseline, **reasons)


@pytest.mark.parametrize(
    ("threshold", "passed"),
    [
        ({"lower": 0.9}, True),
        ({"lower": 0.9000001}, False),
        ({"upper": 0.9}, True),
        ({"upper": 0.8999999}, False),
        ({"lower": 0.8, "upper": 0.95}, True),
        ({"max_drop": 0.0}, True),  # nothing to compare with on a first run
    ],
)
def test_bounds_are_inclusive(threshold, passed):
    assert blessing(threshold).blessed == passed


@pytest.mark.parametrize(
    ("threshold", "old", "passed"),
    [
        ({"max_drop": 0.25}, 1.15, True),
        ({"max_drop": 0.25}, 1.16, False),
        ({"max_drop": 0.0}, 0.9, True),
        ({"max_drop": 0.0}, 0.2, True),
        ({"max_rise": 0.25}, 0.65, True),
        ({"max_rise": 0.25}, 0.64, False),
        ({"max_rise": 0.0}, 1.9, True),
    ],
)
def test_change_is_held_against_production(threshold, old, passed):
    verdict = blessing(threshold, before=[auc(old)], baseline=RUN_7)
    assert verdict.blessed == passed
    assert verdict.baseline == RUN_7
    assert f"production's {old:.4f}" in verdict.checks[0].rule


def test_a_first_run_says_that_no_change_was_checked():
    (check,) = blessing({"max_drop": 0.0}).checks
    assert check.passed
    assert check.rule == "no change to check: nothing is in production yet"


def test_a_first_run_without_a_value_is_not_blessed():
    assert not blessing({"max_drop": 0.0}, rows=[auc(None)]).blessed


def test_a_slice_without_examples_is_a_failed_check():
    verdict = blessing({"max_drop": 0.0, "slices": [["hour"]]})
    assert not verdict.blessed
    assert [(c.slice, c.rule) for c in verdict.checks] == [
        (SlicesBy(("hour",)), "a slice with examples")
    ]


def test_a_change_that_cannot_be_computed_fails():
    for before in ([], [auc(None)], [auc(0.1, HOUR_1)]):
        verdict = blessing({"max_drop": 1.0}, before=before, baseline=RUN_7)
        assert [str(check) for check in verdict.failures] == [
            "FAILED: auc on Overall is 0.9000, needs at most 1 below production's unknown"
        ]


WHY = {name: {"auc": "one class only"} for name in (OVERALL, HOUR_2)}
NOTHING = [auc(None), *ROWS[1:3]]
BY_HOUR = {"slices": [["hour"]]}


def unknown(threshold: dict, rows=NOTHING, **more):
    return blessing(threshold, rows, no_value=WHY, **more)


def test_where_it_is_asked_for_a_missing_value_fails_any_bound():
    for threshold in ({"lower": -1e9}, {"upper": 1e9}):
        found = blessing({**threshold, **BY_HOUR, "no_value": "fail"}, ROWS[2:3])
        (check,) = found.failures
        assert (check.slice, check.value) == (HOUR_2, None)
        assert "no value" in str(check)


@pytest.mark.parametrize("threshold", [{"lower": -1e9}, {"upper": 1e9}, {"max_drop": 1e9}])
def test_on_a_slice_a_missing_value_is_not_checked_and_says_why(threshold):
    found = unknown({**threshold, **BY_HOUR})
    assert found.blessed and not found.failures
    (check,) = found.unchecked
    assert (check.slice, check.value, check.passed) == (HOUR_2, None, False)
    assert str(check).startswith("not checked: auc on hour:2 has no value (one class only), needs ")
    assert found.outcome == "1 of 1 checks passed, 1 not checked"


def test_on_the_whole_eval_split_a_missing_value_is_not_blessed():
    found = unknown({"lower": 0.5})
    assert not found.blessed
    assert [str(check) for check in found.failures] == [
        "FAILED: auc on Overall has no value (one class only), needs at least 0.5"
    ]


@pytest.mark.parametrize(
    ("asked", "slices", "blessed"),
    [("skip", [[]], True), ("fail", [[]], False), ("skip", [["hour"]], True)],
)
def test_the_config_says_what_of_a_missing_value(asked, slices, blessed):
    found = unknown({"lower": 0.5, "slices": slices, "no_value": asked})
    assert found.blessed == blessed
    assert bool(found.unchecked) == blessed


def test_a_threshold_that_can_be_checked_on_no_slice_fails():
    threshold = {"lower": 0.5, **BY_HOUR}
    found = unknown(threshold, ROWS[2:3])
    assert [(c.slice, c.rule, c.no_value) for c in found.failures] == [
        (SlicesBy(("hour",)), "a slice where it can be checked", "one class only")
    ]
    found = unknown({**threshold, "no_value": "skip"}, ROWS[2:3])
    assert found.blessed
    assert found.outcome == "nothing was checked, since metrics have no value (1 not checked)"


def test_a_change_from_a_missing_value_is_not_checked_on_a_slice_and_fails_overall():
    for rows, slices, blessed in ((ROWS[1:2] + ROWS[3:], [["hour"]], True), (ROWS, [[]], False)):
        before = [auc(None, row.slice) for row in rows]
        found = blessing(
            {"max_drop": 0.1, "lower": 0.1, "slices": slices},
            rows,
            before,
            baseline=RUN_7,
            baseline_no_value={OVERALL: WHY[OVERALL], HOUR_1: WHY[HOUR_2]},
        )
        assert found.blessed == blessed
        (check,) = found.unchecked or found.failures
        assert check.rule == "at most 0.1 below production's no value (one class only)"


def test_tfma_need_not_agree_on_what_is_not_checked():
    """TFMA takes AUC of one class for 0.0, which is below any lower threshold."""
    from google.protobuf import text_format
    from tensorflow_model_analysis.proto import validation_result_pb2

    def validation(hour: int):
        return text_format.Parse(
            f"""metric_validations_per_slice {{
              slice_key {{ single_slice_keys {{ column: "hour" int64_value: {hour} }} }}
              failures {{ metric_key {{ name: "auc" }} }} }}""",
            validation_result_pb2.ValidationResult(),
        )

    assert unknown({"lower": 0.5, **BY_HOUR}, validation=validation(2)).blessed
    found = unknown({"lower": 0.5, **BY_HOUR}, validation=validation(1))
    assert [check.metric for check in found.failures] == ["all metrics"]


def test_without_thresholds_only_a_first_model_is_blessed_and_that_is_said():
    options = Evaluate(metrics=["AUC"], select="auc")
    first = bless(options, ROWS[:1], [], OK, FIRST_RUN)
    assert first.blessed
    assert first.outcome == "no thresholds, so nothing was checked: any first model is blessed"
    for validation in (OK, NONE):
        (check,) = bless(options, ROWS[:1], [], validation, RUN_7).failures
        assert "without any, only a first model is blessed" in str(check)


def test_thresholds_hold_for_the_slices_they_name():
    checks = blessing({"lower": 0.0, "slices": [["hour"]]}, ROWS).checks
    assert [check.slice for check in checks] == [HOUR_1, HOUR_2]
    checks = blessing({"lower": 0.0, "slices": [[], ["hour", "kind"]]}, ROWS).checks
    assert [check.slice for check in checks] == [OVERALL, CROSSED]


def test_one_failed_check_among_many_is_enough():
    options = Evaluate(
        metrics=["AUC"],
        select="auc",
        thresholds=[Threshold(metric="auc", lower=0.5), Threshold(metric="auc", lower=0.95)],
    )
    verdict = bless(options, ROWS[:1], [], MISSED, FIRST_RUN)
    assert not verdict.blessed
    assert [check.passed for check in verdict.checks] == [True, False]


@pytest.mark.parametrize(
    ("validation", "why"), [(MISSED, "slices without examples"), (NONE, "no thresholds")]
)
def test_tfma_must_agree(validation, why):
    verdict = blessing({"lower": 0.5}, validation=validation)
    assert not verdict.blessed
    assert why in verdict.failures[0].rule


def test_the_checks_decide_where_tfma_sees_no_fault():
    assert not blessing({"lower": 0.99}, validation=OK).blessed


@pytest.mark.parametrize(
    ("parts", "slices", "checked"),
    [
        # TFMA sorts a slice's features by name, whatever their order in the config.
        ({"hour": 1, "kind": "a"}, [["kind", "hour"]], True),
        ({"hour": 1, "kind": "a"}, [["kind"]], False),
        ({"kind": "Cab, Inc."}, [["kind"]], True),
        ({"kind": "Cab: the best, really"}, [["kind"]], True),
        ({"hour": 1, "kind": "Cab, Inc."}, [["kind", "hour"]], True),
        ({"hour": 1, "kind": "Cab, Inc."}, [["hour"]], False),
        ({"kind": "two\nlines"}, [["kind"]], True),
        ({"kind": ""}, [["kind"]], True),
        ({"kind": "Overall"}, [[]], False),
        ({"a.b": 1}, [["a.b"]], True),
        ({"aXb": 1}, [["a.b"]], False),
    ],
)
def test_slices_are_known_by_features_whatever_their_values_hold(parts, slices, checked):
    options = Evaluate(
        metrics=["AUC"],
        select="auc",
        slices=[["hour"], ["kind"], ["kind", "hour"], ["a.b"], ["aXb"]],
        thresholds=[Threshold(metric="auc", max_drop=0.1, slices=slices)],
    )
    key = SliceKey.of(parts.items())
    baseline = ComparedWith("run 7", unfit="other signature")
    verdict = bless(options, [auc(0.9), auc(0.1, key)], [], OK, baseline)
    assert (key in [check.slice for check in verdict.checks]) == checked
