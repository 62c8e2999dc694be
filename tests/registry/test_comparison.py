"""Which rows, metrics and slices are compared, and what is said where they cannot be. (On real
runs: test_several_runs.py.)"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.storing import saving

from mfx import registry
from mfx.artifacts import OVERALL, Examples, SliceKey, SliceMetrics, store
from mfx.artifacts.lineage import Lineage
from mfx.errors import MfxError
from mfx.registry import changes, comparison
from mfx.registry.comparison import Comparison, Difference, MetricRow
from mfx.registry.page import page


class Changed(registry.Results):
    """A run with some of its results replaced."""

    def __init__(self, run, **results):
        super().__init__(run)
        self._results = results

    def get(self, step, name):
        return self._results.get(name) or super().get(step, name)


def test_runs_with_the_same_rows_keep_their_own_figures(small_runs):
    one, two = registry.run(small_runs["one"]), registry.run(small_runs["two"])
    found = comparison.compare_metrics([one, two])
    assert (found.runs, found.eval_rows, found.eval_run) == ([one.id, two.id], 20, two.id)
    (count, auc) = found.rows
    assert (count.metric, count.values, auc.values) == ("example_count", [20, 20], [0.75, 0.75])
    # The small runs' figures are invented. If predictions do not fit them, there is no interval.
    assert auc.differences == [Difference(0.0, None, None)]
    frame = registry.compare([one.id, two.id])
    assert list(frame.columns) == [
        one.id,
        two.id,
        *(f"{two.id} {what}" for what in ("difference", "low", "high")),
    ]
    assert frame.attrs["notes"] == []


def test_the_first_run_is_what_others_are_compared_with(small_runs):
    one, two = registry.run(small_runs["one"]), registry.run(small_runs["two"])
    better = replace(one.evaluation, rows=[SliceMetrics(OVERALL, {"auc": 0.8})])
    found = comparison.compare_metrics([two, Changed(one.run, evaluation=better)])
    (row,) = [row for row in found.rows if row.metric == "auc"]
    assert found.runs == [two.id, one.id] and row.differences[0].value == pytest.approx(0.05)
    assert found.eval_run == two.id, "the newest, wherever it stands"


def test_a_metric_without_a_value_says_why_on_either_side(small_runs):
    from mfx.cli.comparing import _cells

    one, two = registry.run(small_runs["one"]), registry.run(small_runs["two"])
    nothing = replace(
        one.evaluation,
        rows=[SliceMetrics(OVERALL, {"auc": None})],
        no_value={OVERALL: {"auc": "one class only"}},
    )
    bare = Changed(one.run, evaluation=nothing)
    for found in ([bare, two], [two, bare]):
        (row,) = [row for row in comparison.compare_metrics(found).rows if row.metric == "auc"]
        assert sorted(row.no_value) == ["", "one class only"]
        assert row.differences == [None]
        assert "- (one class only)" in _cells(row)
        whole = Comparison([one.id, two.id], [row], two.id, 20, [])
        assert "— (one class only)" in page(whole, [], [one, two])


def test_a_run_of_an_older_version_is_measured_again(small_runs, monkeypatch):
    """Its rows may have a number for a metric without a value."""
    from mfx.evaluate import evaluate

    one, two = registry.run(small_runs["one"]), registry.run(small_runs["two"])
    again = [SliceMetrics(OVERALL, {"auc": None})], {OVERALL: {"auc": "one class only"}}
    monkeypatch.setattr(evaluate, "remeasure", lambda *_: again)
    older = Changed(one.run, evaluation=replace(one.evaluation, no_value=None))
    found = comparison.compare_metrics([older, two])
    (row,) = [row for row in found.rows if row.metric == "auc"]
    assert row.values == [None, 0.75]
    assert any("measured again: an older version" in note for note in found.notes)


def test_a_run_that_was_judged_on_test_is_compared_on_its_test_rows(small_runs, monkeypatch):
    """The other run's model answers them, as it was judged on rows of eval."""
    from mfx.evaluate import evaluate

    one, two = registry.run(small_runs["one"]), registry.run(small_runs["two"])
    asked = []

    class Divided(Examples):
        """Examples whose train rows are called test."""

        def split_digest(self, split):
            return f"rows of {split}"

    examples = Divided(**{**vars(two.examples), "rows": {"train": 20, "eval": 20, "test": 20}})
    newest = Changed(two.run, examples=examples, evaluation=replace(two.evaluation, split="test"))
    again = [SliceMetrics(OVERALL, {"auc": 0.6})], {}

    def predict(folder, given, split):
        asked.append((given is examples, split))
        return pa.array([0.5] * 20, pa.float32())

    monkeypatch.setattr(evaluate, "predict", predict)
    monkeypatch.setattr(evaluate, "remeasure", lambda *given: asked.append(given[4:]) or again)
    monkeypatch.setattr(comparison, "_intervals", lambda *_: {})
    found = comparison.compare_metrics([one, newest])
    assert (found.split, found.eval_run) == ("test", two.id)
    assert asked == [(True, "test"), ("test",)]
    assert found.notes[0] == f"run {one.id} was evaluated again, on the test rows of run {two.id}"
    assert f"{found.eval_rows} test rows of run" in page(found, [], [one, newest])


def test_other_labels_cannot_be_compared(small_runs, tmp_path):
    one, two = registry.run(small_runs["one"]), registry.run(small_runs["two"])
    (tmp_path / "p").mkdir()
    table = pa.table({"label": pa.array([1.0] * 20, pa.float32())})
    table = table.append_column("prediction", table["label"])
    pq.write_table(table, tmp_path / "p" / "predictions.parquet")
    with saving(tmp_path / "datastore"):
        predictions = store.save(tmp_path / "p")
    other = replace(one.evaluation, predictions=predictions)
    with pytest.raises(MfxError, match="it makes other labels from the same eval rows than run"):
        comparison.compare_metrics([Changed(one.run, evaluation=other), two])


@pytest.mark.parametrize("names", [["one"], ["one", "one"], []])
def test_one_run_is_not_a_comparison(names, small_runs):
    with pytest.raises(MfxError, match="two different runs or more"):
        registry.compare([small_runs[name] for name in names])


def test_a_run_without_metrics_cannot_be_compared(small_runs):
    with pytest.raises(MfxError, match="has no 'examples' of step 'validate'"):
        registry.compare([small_runs["stopped"], small_runs["one"]])


def test_slices_are_tfmas(tmp_path, datastore):
    """By hand: features are sorted by name, missing values are in no slice, text is decoded."""
    rows = pa.table(
        {
            "b": pa.array([1, 1, 2, None, 1]),
            "a": pa.array([b"x", b"y", b"x", b"x", b"x"], pa.binary()),
        }
    )
    (tmp_path / "rows").mkdir()
    pq.write_table(rows, tmp_path / "rows" / "eval.parquet")
    payload = store.save(tmp_path / "rows")
    columns = {"b": "int64", "a": "bytes"}
    examples = Examples((payload,), {"eval": 5}, 5, {}, columns, Lineage("", "", ""))
    found = comparison.slice_rows(examples, [["b"], ["b", "a"], ["a", "b"]])
    assert {str(key): list(chosen) for key, chosen in found.items()} == {
        "Overall": [0, 1, 2, 3, 4],
        "b:1": [0, 1, 4],
        "b:2": [2],
        "a:x, b:1": [0, 4],
        "a:x, b:2": [2],
        "a:y, b:1": [1],
    }


@pytest.mark.parametrize(
    ("low", "high", "clear"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False)]
)
def test_a_difference_is_clear_when_the_interval_leaves_out_0(low, high, clear):
    assert Difference(0.0, low, high).clear == clear
    assert not Difference(1.0, None, None).clear


def test_config_and_data_that_differ_are_named(small_runs):
    one, two = registry.run(small_runs["one"]), registry.run(small_runs["two"])
    settings = two.settings.override(push__promote="manual", train__steps=5)
    fewer = replace(two.examples, rows={"train": 20, "eval": 10}, rejected={"ragged": 10})
    found = changes.changes(one, Changed(two.run, settings=settings, examples=fewer))
    assert [(c.what, c.before, c.after) for c in found.config] == [
        ("push.promote", "auto", "manual"),
        ("train.steps", 1000, 5),
    ]
    assert [(c.what, c.before, c.after) for c in found.data] == [
        ("eval rows", 20, 10),
        ("rejected rows", 0, 10),
    ]
    assert (found.schema, found.drift, found.code) == ([], None, [])


def test_schemas_are_compared_by_feature():
    from mfx.artifacts import Schema

    def schema(text: str) -> Schema:
        return Schema(text, "", False, "", Lineage("", "", ""))

    before = 'feature { name: "a" type: INT } feature { name: "b" type: INT }'
    after = 'feature { name: "b" type: FLOAT } feature { name: "c" type: INT }'
    found = changes.schema_changes(schema(before), schema(after))
    assert [(c.what, c.before is None, c.after is None) for c in found] == [
        ("a", False, True),
        ("b", False, False),
        ("c", True, False),
    ]


def test_a_page_shows_what_is_there_and_escapes_it(small_runs):
    one, two = registry.run(small_runs["one"]), registry.run(small_runs["two"])
    rows = [
        MetricRow(OVERALL, "auc", [0.8, 0.9], [Difference(0.1, 0.05, 0.15)]),
        MetricRow(SliceKey((("word", "<script>"),)), "auc", [0.8, None], [None]),
        MetricRow(SliceKey((("word", "b"),)), "auc", [0.8, 0.7], [Difference(-0.1, None, None)]),
    ]
    found = Comparison([one.id, two.id], rows, two.id, 20, ["a & b"])
    text = page(found, [changes.changes(one, two)], [one, two])
    assert "<script>" not in text and "word:&lt;script&gt;" in text and "a &amp; b" in text
    assert '0.9000 <span class="clear">[+0.0500, +0.1500]</span>' in text
    assert text.count("<svg") == 1, "one metric's differences; two runs are no course"


def test_integers_that_are_categories_drift_as_texts_do():
    """Hours 0 to 3, then 0 and 1 alone: a half instead of a quarter, by hand."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    from mfx.validate import tfdv_local

    marked = text_format.Parse(
        'feature { name: "hour" type: INT int_domain { is_categorical: true } }',
        schema_pb2.Schema(),
    )

    def described(hours, schema=marked):
        batch = pa.RecordBatch.from_pydict({"hour": pa.array(hours * 25)})
        made = tfdv_local.describe([batch], schema)[0]
        return SimpleNamespace(proto=lambda split: made)

    before, after = described([0, 1, 2, 3]), described([0, 1])
    (one,) = changes.drift(before, after)
    assert (one.feature, one.infinity) == ("hour", pytest.approx(0.25))
    assert changes.drift(described([0, 1, 2, 3], None), after) == []
