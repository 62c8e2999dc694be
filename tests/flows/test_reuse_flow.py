"""A second run reuses what has not changed, and says why it makes the rest again."""

from __future__ import annotations

import re

import pytest
from helpers.flows import SAMPLE, call_flow


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A file of trips that tests may change, and the first run on it."""
    folder = tmp_path_factory.mktemp("reuse")
    data = folder / "trips.csv"
    data.write_text("".join(SAMPLE.read_text().splitlines(keepends=True)[:3001]))

    def run(*arguments: str):
        given = ("--data", str(data), "--steps", "20", "--destination", str(folder / "pushed"))
        result = call_flow(folder, "run", *given, *arguments)
        assert result.code == 0, result.output
        return result

    return data, run, run()


def told(output: str) -> dict[str, str]:
    """The line about each step."""
    return dict(re.findall(r"\] (\w+): (reused from run \d+|not reused: .*)", output))


def test_nothing_is_looked_for_unasked(rows):
    assert told(rows[2].output) == {}


def test_only_what_changed_is_made_anew(rows):
    _, run, first = rows
    again = run("--reuse", "true", "--steps", "25")
    said = told(again.output)
    reused = f"reused from run {first.run_id}"
    assert said["ingest"] == said["validate"] == said["transform"] == reused
    assert said["train"] == f"not reused: changed since run {first.run_id}: train.steps (20 → 25)"
    assert said["evaluate"].startswith("not reused: changed since run ")
    before, after = first.data, again.data
    assert after.transform_graph.digest == before.transform_graph.digest
    assert after.model.weights != before.model.weights
    assert after.examples.lineage.config != before.examples.lineage.config
    assert after.examples.lineage == after.sources.lineage.derived(*after.examples.lineage.parents)


def test_a_changed_file_behind_the_same_path_is_another(rows):
    data, run, first = rows
    text = data.read_text()
    data.write_text(text + text.splitlines(keepends=True)[-1])
    try:
        said = told(run("--from-run", first.run_id).output)
    finally:
        data.write_text(text)
    assert said["ingest"] == f"not reused: changed since run {first.run_id}: the shard"
    assert not [line for line in said.values() if line.startswith("reused")]


def test_an_unknown_run_is_one_line(rows):
    data, _, first = rows
    result = call_flow(first.store, "run", "--data", str(data), "--from-run", "17")
    assert result.code == 1
    assert "--from-run: no run Pipeline/17" in result.output
    assert "Traceback" not in result.output
