"""The steps' cards: what they say of normal, odd and hostile results, and that they stand alone."""

import base64
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from helpers.card_results import (
    ANOMALIES,
    ANOMALY,
    CHECKS,
    EVALUATION,
    EXAMPLES,
    FIRST,
    HOUR_9,
    LINEAGE,
    MODEL,
    PUSHED,
    ROWS,
    SCHEMA,
    hostile,
    statistics,
)
from helpers.flows import ROOT
from metaflow.cards import Error, Markdown, Table, ValueBox, VegaChart

from mfx.artifacts import (
    FIRST_RUN,
    OVERALL,
    Anomalies,
    Blessing,
    Check,
    ComparedWith,
    Examples,
    PushedModel,
    Replay,
    SliceMetrics,
)
from mfx.report import card_parts, cards

LIB = ROOT / "lib"


def of(kind: type, components: list) -> list:
    """The rendered components of one kind; none may be an error."""
    assert not [c.render() for c in components if isinstance(c, Error)]
    rendered = [c.render() for c in components]
    # What the browser parses: NaN would leave the whole card blank.
    json.dumps(rendered, allow_nan=False)
    assert "error" not in {part["type"] for part in rendered}
    return [part for c, part in zip(components, rendered, strict=True) if isinstance(c, kind)]


def rows(components: list) -> list[list]:
    """All tables' rows."""
    return [row for table in of(Table, components) for row in table["data"]]


def prose(components: list) -> str:
    """All Markdown and the boxes' texts."""
    boxes = of(ValueBox, components)
    texts = [str(box.get(key, "")) for box in boxes for key in ("value", "subtitle")]
    return "\n".join([part["source"] for part in of(Markdown, components)] + texts)


def test_validate_says_rows_schema_and_features():
    drawn = cards.validate(EXAMPLES, statistics(), SCHEMA, ANOMALIES)
    assert ["train", "60", "64.5%"] in rows(drawn)
    assert ["rejected: ragged row", "3", "3.2%"] in rows(drawn)
    assert ["read", "93", "100.0%"] in rows(drawn)
    assert "No anomalies." in prose(drawn)
    assert "Inferred in this run" in prose(drawn)
    assert "`flows/schema.pbtxt`" in prose(drawn)
    features = [row[:4] for row in rows(drawn) if row[0] == "fare"]
    assert features == [["fare", split, "float", "0.0%"] for split in ("train", "eval")]
    numeric, text = of(VegaChart, drawn)
    assert numeric["spec"]["concat"][0]["title"]["text"] == "fare"
    assert text["spec"]["concat"][0]["title"]["text"] == "fare text"


def test_validate_says_where_rows_are_that_do_not_fit():
    assert "rejected_rows" not in prose(cards.validate(EXAMPLES, statistics(), SCHEMA, ANOMALIES))
    examples = replace(EXAMPLES, misfits=(("ragged row", 3),), tolerate=0.05)
    said = prose(cards.validate(examples, statistics(), SCHEMA, ANOMALIES))
    assert "`run.data.examples.rejected_rows()`" in said
    assert "`[data] tolerate` is 0.05." in said


def test_validate_says_which_cells_are_not_as_they_were_written():
    examples = replace(
        EXAMPLES, missing=(("depth", "9999", 301),), rounded=(("id", "16777217.0", 2),)
    )

    def shown(examples: Examples) -> str:
        drawn = cards.validate(examples, statistics(), SCHEMA, ANOMALIES)
        return json.dumps([part.render() for part in drawn])

    for said in ("depth", "9999", "301", "taken as missing", "16777217.0", "rounded to float32"):
        assert said in shown(examples)
    assert "taken as missing" not in shown(EXAMPLES)


def test_validate_shows_errors_before_warnings():
    error = replace(ANOMALY, severity="ERROR", feature="fare", count=1234)
    anomalies = Anomalies((ANOMALY, error), LINEAGE)
    drawn = cards.validate(EXAMPLES, statistics(), replace(SCHEMA, inferred=False), anomalies)
    table = [row for row in rows(drawn) if row[0] in ("ERROR", "WARNING")]
    assert table[0] == ["ERROR", "fare", "eval", "some rule", "a", "b", "1,234", "mend it"]
    assert table[1][1] == "<dataset>"
    (box,) = of(ValueBox, drawn)
    assert (box["value"], box["theme"]) == ("1 error", "danger")
    assert box["subtitle"] == "90 examples checked against the committed schema, 1 warning"
    assert "The committed file `flows/schema.pbtxt`." in prose(drawn)


def test_many_features_are_bounded_and_counted():
    drawn = cards.validate(EXAMPLES, statistics(features=300), SCHEMA, ANOMALIES)
    charts_drawn = [c for part in of(VegaChart, drawn) for c in part["spec"]["concat"]]
    assert len(charts_drawn) == 60
    assert "241 features are not drawn" in prose(drawn)
    assert max(len(table["data"]) for table in of(Table, drawn)) == card_parts.MAX_ROWS
    assert "400 more rows are not shown." in prose(drawn)
    assert len(json.dumps([c.render() for c in drawn])) < 2**20


def test_train_shows_settings_and_curves():
    drawn = cards.train(MODEL, seed=42)
    for row in (["device", "2 CPU"], ["steps", "1,000"], ["epochs", "2"], ["seed", "42"]):
        assert row in rows(drawn)
    assert ["units", "[8, 4]"] in rows(drawn)
    assert ["loss", "1.0000", cards.NONE] in rows(drawn)
    assert "Candidate 1" in prose(drawn)
    assert not [row for row in rows(drawn) if "checkpoint" in row[0]]
    assert ["epochs taken from a checkpoint", "2"] in rows(
        cards.train(replace(MODEL, resumed_from=2))
    )


def test_train_without_history():
    drawn = cards.train(replace(MODEL, history={}, hyperparameters={}))
    assert "No history." in prose(drawn)
    assert of(VegaChart, drawn) == []


def test_evaluate_puts_failures_first_and_compares():
    drawn = cards.evaluate(EVALUATION)
    box = of(ValueBox, drawn)[0]
    assert (box["value"], box["theme"]) == ("Not blessed", "danger")
    assert box["subtitle"] == "1 of 3 checks failed; baseline: run 1234"
    checks = [row for row in rows(drawn) if row[0] in ("passed", "FAILED")]
    assert checks[0] == checks[1] == ["FAILED", "auc", "hour:9", cards.NONE, ">= 0.6"]
    assert [row[2] for row in checks[2:]] == ["Overall", "hour:10"]
    assert ["auc", "0.9312", "0.9500", "-0.0188"] in rows(drawn)
    assert ["example_count", "4,897", "4,897", "0"] in rows(drawn)
    assert ["hour:9", "4", cards.NONE] in rows(drawn), "a count has no decimals"
    curves, hours = of(VegaChart, drawn)
    assert [c["title"]["text"] for c in curves["spec"]["concat"]] == ["ROC", "Calibration"]
    assert [c["title"]["text"] for c in hours["spec"]["concat"]] == ["auc"]
    by_slice = [row[0] for row in rows(drawn) if row[0].startswith("hour:")]
    assert by_slice == ["hour:9", "hour:10"]


def test_evaluate_a_first_run():
    drawn = cards.evaluate(FIRST)
    box = of(ValueBox, drawn)[0]
    assert (box["value"], box["theme"]) == ("Blessed", "success")
    assert box["subtitle"] == "all 2 checks passed; first run, no baseline"
    assert ["auc", "0.9312"] in rows(drawn)
    assert "Failed" not in prose(drawn)


def test_evaluate_without_curves_slices_or_thresholds():
    bare = replace(FIRST, curves={}, rows=ROWS[:1], blessing=Blessing(True, (), FIRST_RUN))
    drawn = cards.evaluate(bare)
    assert "not a binary classifier" in prose(drawn)
    assert "No slices are configured." in prose(drawn)
    assert "The config has no thresholds, so nothing was checked" in prose(drawn)
    assert "no thresholds, so nothing was checked: any first model is blessed" in prose(drawn)
    assert of(VegaChart, drawn) == []


def test_evaluate_says_why_a_metric_has_no_value():
    left = Check("auc", HOUR_9, ">= 0.6", None, False, "one class only", False)
    why = {OVERALL: {"precision": "nothing predicted positive"}, HOUR_9: {"auc": "one class"}}
    blank = SliceMetrics(OVERALL, {"auc": 0.9, "precision": None})
    evaluation = replace(
        EVALUATION,
        rows=[blank, SliceMetrics(HOUR_9, {**ROWS[2].metrics, "auc": None}), *ROWS[1:2]],
        baseline_rows=[blank],
        no_value=why,
        baseline_no_value={},
        blessing=Blessing(True, (*CHECKS[:2], left), ComparedWith("1234")),
    )
    drawn = cards.evaluate(evaluation)
    assert of(ValueBox, drawn)[0]["subtitle"] == (
        "all 2 checks passed, 1 not checked; baseline: run 1234"
    )
    shown = f"{cards.NONE} (nothing predicted positive)"
    assert ["precision", shown, cards.NONE, cards.NONE] in rows(drawn)
    reason = f"{cards.NONE} (one class only)"
    assert ["not checked", "auc", "hour:9", reason, ">= 0.6"] in rows(drawn)
    by_hour = next(row for row in rows(drawn) if row[0] == "hour:9")
    assert f"{cards.NONE} (one class)" in by_hour
    (chart,) = of(VegaChart, drawn)[-1]["spec"]["concat"]
    assert chart["title"]["subtitle"] == "slices without a value: 1"


def test_evaluate_says_which_rows_chose_and_which_judge():
    alone = prose(cards.evaluate(FIRST))
    assert "also bless" not in alone and "Metrics on all eval examples" in alone
    several = prose(cards.evaluate(replace(FIRST, candidates=[0.9, 0.8], chosen=0)))
    assert "The eval rows that chose among the 2 candidates also bless the model" in several
    judged = replace(FIRST, candidates=[0.9, 0.8], chosen=1, select="auc", split="test")
    shown = prose(cards.evaluate(judged))
    assert "Metrics on all test examples" in shown and "also bless" not in shown
    assert "All metrics and checks are of the test split." in shown
    assert "The model was chosen among 2 candidates on eval, where" in shown and "0.8000" in shown
    drawn = prose(cards.evaluate(replace(judged, candidates=[None], chosen=0)))
    assert "The model was chosen on eval, where" in drawn


def test_evaluate_names_candidates_only_when_there_are_several():
    assert "Candidates" not in prose(cards.evaluate(FIRST))
    drawn = cards.evaluate(replace(FIRST, candidates=[0.9, float("nan")]))
    assert ["1", cards.NONE] in rows(drawn)


def test_push():
    drawn = cards.push(PUSHED, FIRST)
    assert "Pushed as version 3" in prose(drawn)
    for row in (
        ["path", "models/taxi/3"],
        ["eval rows replayed", "100"],
        ["largest difference from the evaluation", "3.2e-07"],
        ["seconds until it was available", "1.834"],
        ["served by", "mfx serve"],
        ["memory of the server, MiB", "612.5"],
        ["gRPC predict", "32", "104", "1.25", "3.5"],
    ):
        assert row in rows(drawn)


def test_push_of_nothing_says_why():
    replay = Replay(100, None, None, "Traceback\nit does not load " + "x" * 5000)
    refused = PushedModel("", None, "not valid: it does not load", replay, LINEAGE)
    drawn = cards.push(refused, EVALUATION)
    assert "Not pushed" in prose(drawn)
    assert ["reason", "not valid: it does not load"] in rows(drawn)
    assert ["result", "NOT VALID"] in rows(drawn)
    assert not [row for row in rows(drawn) if row[0] in ("path", "version")]
    assert len(next(row[1] for row in rows(drawn) if row[0] == "error")) == 1000


@pytest.mark.parametrize("step", ["validate", "train", "evaluate", "push"])
def test_text_from_data_is_no_markup(step):
    drawn = hostile()[step]
    for part in of(Markdown, drawn):
        outside_code = re.sub(r"`[^`]*`", "", part["source"])
        assert "script" not in outside_code, "only a code span shows text as it is"
    assert "script" in json.dumps([c.render() for c in drawn])


def test_a_card_that_cannot_be_drawn_does_not_stop_the_run():
    (component,) = cards.train(None)
    assert isinstance(component, Error)
    assert "card of step train" in json.dumps(component.render())


FLOW = """
import sys
sys.path[:0] = {path!r}
from metaflow import FlowSpec, card, current, step

class Cards(FlowSpec):
    @card(type="blank")
    @step
    def start(self):
        from helpers import card_results
        from mfx.report import cards
        for components in card_results.hostile().values():
            cards.show(components)
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Cards()
"""


def test_a_runs_card_is_one_self_contained_file(tmp_path):
    flow = tmp_path / "flow.py"
    flow.write_text(FLOW.format(path=[str(ROOT / "tests"), str(LIB)]))
    environment = {
        **os.environ,
        "METAFLOW_USER": "tester",
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(tmp_path),
        "METAFLOW_DEFAULT_DATASTORE": "local",
        "METAFLOW_DEFAULT_METADATA": "local",
    }
    run = subprocess.run(
        [sys.executable, str(flow), "--no-pylint", "run"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    (html,) = (tmp_path / ".metaflow" / "mf.cards").rglob("*.html")
    page = html.read_text()
    assert not re.search(r"<(script|img|iframe)[^>]+src=.?(https?:)?//", page)
    assert not re.search(r"<link[^>]+href=.?(https?:)?//", page)
    assert "alert(1)" not in page, "data lies in the page encoded"
    (data,) = re.findall(r'__MF_DATA__\["[^"]+"\] = "([^"]+)"', page)
    shown = json.dumps(json.loads(base64.b64decode(data))["components"], allow_nan=False)
    for kind in ("vegaChart", "table", "markdown", "valueBox"):
        assert f'"type": "{kind}"' in shown
