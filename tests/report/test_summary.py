"""The last words of a run: what went in, what came out, what to do next."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mfx.artifacts import (
    FIRST_RUN,
    OVERALL,
    Anomalies,
    Blessing,
    Check,
    PushedModel,
    Replay,
    SliceKey,
)
from mfx.artifacts.lineage import Lineage
from mfx.report import summary

LINEAGE = Lineage("data", "code", "config")
PASSED = Check("auc", OVERALL, "at least 0.5", 0.75, True)
METRICS = {"example_count": 12345.0, "auc": 0.75, "precision": None}


def finished(
    checks=(PASSED,),
    rejected=None,
    inferred=False,
    reason="",
    metrics=METRICS,
    no_value=None,
    label=None,
):
    """The artifacts of a run whose model went up unless there is a reason why not."""
    blessed = all(check.passed or not check.checked for check in checks)
    blessing = Blessing(blessed, tuple(checks), FIRST_RUN)
    replay = Replay(100, 0.0, 0.5)
    pushed = (
        PushedModel("", None, reason, replay, LINEAGE)
        if reason
        else PushedModel("pushed/taxi/17", 17, "blessed and valid", replay, LINEAGE)
    )
    return SimpleNamespace(
        examples=SimpleNamespace(
            rows={"train": 2000, "eval": 1000},
            rejected=rejected or {"ragged": 0},
            misfits=tuple((rejected or {}).items()),
            spans=(),
        ),
        schema=SimpleNamespace(path="taxi/schema.pbtxt", inferred=inferred),
        anomalies=Anomalies((), LINEAGE),
        transform_graph=SimpleNamespace(label=label),
        evaluation=SimpleNamespace(overall=metrics, blessing=blessing, no_value=no_value, where=""),
        script_name="penguins.py",
        pushed=pushed,
    )


def lines_of(run) -> dict[str, str]:
    """Each line by its first word."""
    lines = summary.summarize(run, "7").splitlines()
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines}


def test_a_pushed_model():
    said = lines_of(finished())
    assert said["rows"] == "train 2,000, eval 1,000"
    assert said["schema"] == "taxi/schema.pbtxt"
    assert said["anomalies"] == "none"
    assert said["metrics"] == "example_count 12,345, auc 0.7500, precision -"
    assert said["blessed"] == "yes (1 of 1 checks passed; baseline: first run)"
    assert said["pushed"] == "pushed/taxi/17"
    assert "flows/penguins.py card view 7/evaluate" in said["cards"]


def test_a_model_that_was_not_blessed():
    failed = [Check("auc", SliceKey((("hour", i),)), "at least 0.9", 0.5, False) for i in range(7)]
    text = summary.summarize(finished([PASSED, *failed], reason="not blessed: see above"), "7")
    assert "blessed     NO (1 of 8 checks passed; baseline: first run)" in text
    assert "pushed      NO: not blessed: see above" in text
    assert text.count("FAILED: auc on hour:") == 5, "the card has them all"
    assert "hour:0 is 0.5000, needs at least 0.9" in text


def test_what_has_no_value_says_why():
    left = Check(
        "auc", SliceKey((("hour", 1),)), "at least 0.5", None, False, "one class only", False
    )
    why = {OVERALL: {"precision": "nothing predicted positive"}}
    text = summary.summarize(finished([PASSED, *[left] * 3], no_value=why), "7")
    assert "precision - (nothing predicted positive)" in text
    assert "blessed     yes (1 of 1 checks passed, 3 not checked; baseline: first run)" in text
    assert text.count("not checked: auc on hour:1 has no value (one class only)") == 2


def test_a_run_without_thresholds_says_what_that_means():
    said = lines_of(finished([]))["blessed"]
    assert said == (
        "yes (no thresholds, so nothing was checked: any first model is blessed; "
        "baseline: first run)"
    )


def test_a_blessed_model_that_could_not_be_served():
    said = lines_of(finished(reason="not valid: exit code 1"))
    assert said["blessed"].startswith("yes")
    assert said["pushed"] == "NO: not valid: exit code 1"


def test_rejected_rows_are_said_only_if_there_are_any():
    assert "rejected" not in summary.summarize(finished(), "7")
    said = lines_of(finished(rejected={"ragged": 1200, "other": 34}))
    assert said["rows"].endswith(", rejected 1,234")
    assert "run.data.examples.rejected_rows()" in summary.summarize(
        finished(rejected={"ragged": 1200}), "7"
    )


def test_an_inferred_schema_is_to_be_accepted():
    lines = summary.summarize(finished(inferred=True), "7").splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("schema"))
    assert lines[place + 1].endswith("mfx schema accept 7")
    assert "accept" not in summary.summarize(finished(), "7")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.0, "1.0000"),
        (0.0, "0.0000"),
        (2.0, "2"),
        (1234567.0, "1,234,567"),
        (0.12345, "0.1235"),
        (float("inf"), "inf"),
        (None, "-"),
    ],
)
def test_counts_and_scores_are_told_apart(value, shown):
    assert lines_of(finished(metrics={"m": value}))["metrics"] == f"m {shown}"


def test_it_is_a_dozen_lines_at_most_when_all_is_well():
    assert len(summary.summarize(finished(), "7").splitlines()) <= 12
