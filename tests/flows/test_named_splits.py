"""All steps with a test split: what each leaves of it, from the files to the push."""

from __future__ import annotations

from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from helpers import steps_here
from helpers.small_world import CONFIG, write_pipeline
from helpers.storing import saving

from mfx.evaluate.evaluate import evaluate
from mfx.flow import start
from mfx.ingest.ingest import ingest, merge
from mfx.push import push
from mfx.report import cards, distributions, summary
from mfx.transform.transform import transform
from mfx.validate.validate import validate

SPLITS = ("train", "eval", "holdout", "test")
SPLIT = 'split = { train = 6, eval = 2, test = 2, holdout = 1, key = ["id"] }'
MORE = '[[evaluate.thresholds]]\nmetric = "auc"\nlower = 0.0\n[push]'


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The results of all steps."""
    folder = tmp_path_factory.mktemp("splits")
    text = CONFIG.replace('path = "none.csv"', f'path = "rows.csv"\n{SPLIT}')
    text = text.replace('metrics = ["AUC"]', 'metrics = ["AUC", "ExampleCount"]')
    settings = write_pipeline(folder / "pipeline", text=text.replace("[push]", MORE))
    known = [(n, n * 37 % 100) for n in range(600)]
    lines = [f"{n // 2},{x / 10},{'abc'[n % 3]},{x // 50}" for n, x in known]
    (folder / "pipeline" / "rows.csv").write_text("\n".join(["id,x,word,y", *lines]) + "\n")
    with saving(folder / "datastore"):
        sources = start.resolve(settings)
        examples = merge([ingest(shard, sources, settings) for shard in sources.shards], sources)
        statistics, schema, anomalies = validate(examples, settings)
        graph, transformed = transform(examples, schema, settings)
        model = steps_here.train(graph, transformed, settings, folder)
        model, evaluation = evaluate([model], examples, transformed, settings, None)
        yield SimpleNamespace(**locals())


def test_rows_add_up_and_no_key_straddles(made):
    assert made.examples.splits == made.transformed.splits == SPLITS
    assert sum(made.examples.rows.values()) == made.examples.rows_in == 600
    assert made.transformed.rows == made.examples.rows
    ids = [set(made.examples.to_pandas(split).id) for split in SPLITS]
    assert sum(map(len, ids)) == len(set().union(*ids)) == 300


def test_statistics_the_label_and_the_card_have_all_splits(made):
    assert made.statistics.splits == SPLITS
    for split in SPLITS:
        (data,) = made.statistics.proto(split).datasets
        assert data.num_examples == made.examples.rows[split]
    assert [*made.graph.label.counts] == list(SPLITS)
    assert sum(sum(counts.values()) for counts in made.graph.label.counts.values()) == 600
    drawn = {split: made.statistics.proto(split).datasets[0] for split in SPLITS}
    numeric, texts, _ = distributions.draw(drawn)
    for chart in (*numeric, *texts):
        assert {row["series"] for row in chart["data"]["values"]} == set(SPLITS)
    shown = cards.validate(made.examples, made.statistics, made.schema, made.anomalies)
    assert len(shown) > 5, "and no error in its place"


def test_the_model_is_judged_on_test(made):
    evaluation = made.evaluation
    assert (evaluation.split, len(evaluation.candidates)) == ("test", 1)
    assert evaluation.overall["example_count"] == made.examples.rows["test"]
    with evaluation.predictions.files() as folder:
        table = pq.read_table(folder / "predictions.parquet")
    assert table["label"].to_pylist() == made.examples.to_pandas("test").y.tolist()
    pushed = SimpleNamespace(pushed=False, reason="not asked", path="")
    run = SimpleNamespace(
        schema=made.schema,
        anomalies=made.anomalies,
        script_name="pipeline.py",
        examples=made.examples,
        evaluation=evaluation,
        pushed=pushed,
    )
    said = summary.summarize(run, "1")
    assert "metrics     on test: " in said and "holdout " in said


def test_the_rows_that_judged_are_replayed(made, monkeypatch):
    asked = {}

    def note(folder, name, rows, expected, options, kind):
        asked.update(rows=rows, expected=expected)

    monkeypatch.setattr(push.infra_validation, "validate", note)
    push.replay_rows(None, made.evaluation, made.examples, made.settings)
    test = made.examples.to_arrow("test", ["id"]).column(0).to_pylist()
    assert {row["id"] for row in asked["rows"]} <= set(test)
    assert len(asked["rows"]) == len(asked["expected"]) == min(100, len(test))
