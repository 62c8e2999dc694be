"""The gate to production: only a blessed model with the answers it was evaluated with is pushed."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from helpers.small_world import LINEAGE, save_examples, write_pipeline
from helpers.tiny_models import COLUMNS, model_of, tiny_model

from mfx.artifacts import (
    FIRST_RUN,
    OVERALL,
    Blessing,
    Check,
    Evaluation,
    Examples,
    Replay,
    SliceKey,
    SliceMetrics,
    store,
)
from mfx.destinations import open_destination
from mfx.destinations.base import RECORD
from mfx.errors import MfxError
from mfx.export import warmup
from mfx.push import push

ROWS = 23
FAILED = Check("auc", OVERALL, "at least 0.9", 0.5, False)


def eval_rows() -> dict[str, list]:
    return {
        "x": [None if i % 5 == 0 else i / 7 - 1 for i in range(ROWS)],
        "word": [None if i % 4 == 0 else b"ab"[: i % 3] for i in range(ROWS)],
        "n": [None if i % 6 == 0 else i % 3 - 1 for i in range(ROWS)],
        "y": [i % 2 for i in range(ROWS)],
    }


def predictions(weight: float = 1.0) -> np.ndarray:
    """The answers of `Tiny`, computed with NumPy."""
    values = eval_rows()
    x = np.array([v or 0 for v in values["x"]])
    length = np.array([len(v or b"") for v in values["word"]])
    n = np.array([v or 0 for v in values["n"]])
    return 1 / (1 + np.exp(-(weight * x + length + n)))


@pytest.fixture
def examples(tmp_path, datastore) -> Examples:
    values = eval_rows()
    return save_examples(tmp_path / "raw", COLUMNS, train=values, eval=values)


@pytest.fixture
def settings(tmp_path):
    return write_pipeline(tmp_path / "pipeline")


def evaluation(folder: Path, answers: np.ndarray, *checks: Check) -> Evaluation:
    folder.mkdir()
    table = pa.table({"label": eval_rows()["y"], "prediction": pa.array(answers, pa.float32())})
    pq.write_table(table, folder / "predictions.parquet")
    payload = store.save(folder)
    blessing = Blessing(all(check.passed for check in checks), checks, FIRST_RUN)
    rows = [SliceMetrics(OVERALL, {"auc": 0.5})]
    return Evaluation(rows, [], {}, [0.5], blessing, payload, payload, "hand", LINEAGE)


def written(settings) -> Path:
    return Path(settings.resolve(settings.push.destination))


def versions(settings) -> list[Path]:
    return sorted(p for p in (written(settings) / "small").iterdir() if p.name.isdecimal())


@pytest.mark.parametrize(("blessed", "valid"), itertools.product([True, False], repeat=2))
def test_only_what_is_blessed_and_valid_is_written(
    blessed, valid, tmp_path, examples, settings, monkeypatch
):
    if not blessed:  # and so no other answer of a server may change what becomes of the model
        said = "" if valid else "predictions served over REST differ"
        answered = Replay(ROWS, 0.0 if valid else 0.001, 0.1, said)
        monkeypatch.setattr(push.infra_validation, "validate", lambda *_: answered)
    model = tiny_model(tmp_path / "model")
    checks = [] if blessed else [FAILED]
    answers = predictions() + (0 if valid else 0.001)
    pushed = push.push(model, evaluation(tmp_path / "e", answers, *checks), examples, settings, "1")
    assert pushed.pushed == (blessed and valid)
    assert pushed.replay.valid == valid
    assert pushed.replay.rows == ROWS
    if pushed.pushed:
        assert pushed.reason.startswith("blessed and valid; run 1 could not be tagged"), "no run 1"
        assert [str(path) for path in versions(settings)] == [pushed.path]
        served = tf.saved_model.load(pushed.path)
        assert float(served.weight) == 1.0
        asked = list(warmup.read(Path(pushed.path)))
        assert [log.predict_log.request.model_spec.signature_name for log in asked] == [
            *["serving_default", "predict"] * 4
        ]
        assert {log.predict_log.request.model_spec.name for log in asked} == {"small"}
        record = json.loads(Path(pushed.path, RECORD).read_text())
        assert (record["run"], record["model"]) == ("1", model.digest)
        assert record["metrics"] == {"slice": "Overall", "auc": 0.5}
    else:
        assert not written(settings).exists()
        assert (pushed.path, pushed.version) == ("", None)
        assert ("not blessed: FAILED: auc on Overall" in pushed.reason) == (not blessed)
        assert ("not valid: predictions served over " in pushed.reason) == (not valid)


def test_warm_up_asks_rows_that_were_validated(tmp_path, examples, settings, stand_in):
    """7 of 23 rows are replayed. The requests use the first of them, with their missing values."""
    model = tiny_model(tmp_path / "model")
    few = settings.override(push__replay_rows=7)
    pushed = push.push(model, evaluation(tmp_path / "e", predictions()), examples, few, "1")
    assert (pushed.replay.rows, pushed.pushed) == (7, True)
    served = tf.saved_model.load(pushed.path).signatures
    sizes = []
    for log in warmup.read(Path(pushed.path)):
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        signature = served[request.model_spec.signature_name]
        answers = signature(**{n: tf.constant(v) for n, v in inputs.items()})["outputs"].numpy()
        assert answers[:, 0] == pytest.approx(predictions()[ASKED[: len(answers)]], abs=1e-6)
        sizes.append(len(answers))
    assert sizes == [1, 1, 2, 2, 7, 7]


ASKED = [0, 4, 7, 11, 15, 18, 22]


def test_older_versions_go_as_the_config_says(tmp_path, examples, settings, stand_in):
    judged = evaluation(tmp_path / "e", predictions())
    keeping = settings.override(push__keep=2)
    model = tiny_model(tmp_path / "model")
    made = [push.push(model, judged, examples, keeping, run) for run in "123"]
    assert [path.name for path in versions(settings)] == [str(p.version) for p in made[1:]]
    assert f"older versions removed ([push] keep = 2): {made[0].version}" in made[2].reason
    assert "removed" not in made[1].reason


def test_a_truncated_model_is_not_written(tmp_path, examples, settings):
    tiny_model(tmp_path / "model")
    file = tmp_path / "model" / "saved_model.pb"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    model = model_of(store.save(tmp_path / "model"))
    pushed = push.push(model, evaluation(tmp_path / "e", predictions()), examples, settings, "1")
    assert not pushed.pushed and not written(settings).exists()
    assert pushed.reason.startswith("not valid: the server ended with exit code 1: ")
    assert (pushed.replay.max_difference, pushed.replay.load_seconds) == (None, None)
    assert "\n" not in pushed.reason


def test_a_second_push_for_the_same_run_pushes_nothing_more(tmp_path, examples, settings, stand_in):
    model = tiny_model(tmp_path / "model")
    judged = evaluation(tmp_path / "e", predictions())
    first = push.push(model, judged, examples, settings, "1")
    again = push.push(model, judged, examples, settings, "1")
    assert again.pushed and (again.path, again.version) == (first.path, first.version)
    assert len(versions(settings)) == 1
    other = push.push(model, judged, examples, settings, "2")
    assert other.version > first.version
    assert len(versions(settings)) == 2


def test_manual_leaves_a_model_that_is_ready(tmp_path, examples, settings, stand_in):
    model = tiny_model(tmp_path / "model")
    manual = settings.override(push__promote="manual")
    pushed = push.push(model, evaluation(tmp_path / "e", predictions()), examples, manual, "1")
    assert not pushed.pushed and pushed.replay.valid and not written(settings).exists()
    assert pushed.reason == "blessed and valid, not promoted: mfx promote 1"


def test_who_comes_second_is_recorded_as_such(tmp_path, examples, settings, stand_in, monkeypatch):
    """Another run is promoted while the model of this run is replayed."""
    model = tiny_model(tmp_path / "model")
    judged = evaluation(tmp_path / "e", predictions())
    replay_rows = push.replay_rows

    def promoted_meanwhile(*arguments):
        with monkeypatch.context() as undone:
            undone.setattr(push, "replay_rows", replay_rows)
            assert push.push(model, judged, examples, settings, "2").pushed
        return replay_rows(*arguments)

    monkeypatch.setattr(push, "replay_rows", promoted_meanwhile)
    pushed = push.push(model, judged, examples, settings, "1")
    assert not pushed.pushed and len(versions(settings)) == 1
    assert "tester was first: promote of run 2" in pushed.reason
    assert pushed.reason.endswith("to promote it: mfx promote 1")


@pytest.mark.parametrize("count", [1, 2, 5, ROWS, 1000])
def test_the_rows_asked_are_spread_and_match_their_predictions(
    count, tmp_path, examples, settings, monkeypatch
):
    """The other columns show that the rows are right; the label's column is left out."""
    seen = []

    def validate(folder, name, rows, expected, *_):
        assert (folder, name) == (tmp_path, "small")
        seen.extend(zip(rows, expected.tolist(), strict=True))
        return Replay(len(rows), 0.0, 0.1)

    monkeypatch.setattr(push.infra_validation, "validate", validate)
    few = settings.override(push__replay_rows=count)
    judged = evaluation(tmp_path / "e", np.arange(ROWS))
    assert push.replay_rows(tmp_path, judged, examples, few).rows == min(count, ROWS)
    values = eval_rows()
    chosen = sorted({round(i) for i in np.linspace(0, ROWS - 1, count)})
    for (row, prediction), place in zip(seen, chosen, strict=True):
        assert prediction == [place]
        assert set(row) == {"x", "word", "n"}
        assert row["n"] == values["n"][place]
        assert row["x"] == (values["x"][place] and pytest.approx(values["x"][place]))
        assert (row["word"] is None) == (values["word"][place] is None)


def test_the_process_sees_no_folder_of_the_user(monkeypatch, tmp_path, examples, settings):
    """Files with the name of a module, in the current folder or on PYTHONPATH, are not imported."""
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('wrong tensorflow')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    model = tiny_model(tmp_path / "model")
    judged = evaluation(tmp_path / "e", predictions())
    assert push.push(model, judged, examples, settings, "1").pushed


@pytest.fixture
def stand_in(monkeypatch):
    """For tests that are not about serving: all answers are right, and no server is started."""

    def validate(folder, name, rows, expected, *_):
        return Replay(len(rows), 0.0, 0.1)

    monkeypatch.setattr(push.infra_validation, "validate", validate)


def test_many_failures_are_summed_up(tmp_path, examples, settings, stand_in):
    checks = [replace(FAILED, slice=SliceKey((("hour", i),))) for i in range(5)]
    model = tiny_model(tmp_path / "model")
    judged = evaluation(tmp_path / "e", predictions(), *checks)
    reason = push.push(model, judged, examples, settings, "1").reason
    assert reason.count("FAILED") == 3 and reason.endswith("; and 2 more")


def test_a_destination_that_cannot_be_written_is_one_error(tmp_path, examples, settings, stand_in):
    written(settings).write_text("a file where the folder should be")
    model = tiny_model(tmp_path / "model")
    judged = evaluation(tmp_path / "e", predictions())
    with pytest.raises(MfxError, match="cannot push"):
        push.push(model, judged, examples, settings, "1")


def test_a_foreign_version_is_never_taken_for_this_runs(tmp_path, examples, settings, stand_in):
    model = tiny_model(tmp_path / "model")
    judged = evaluation(tmp_path / "e", predictions())
    foreign = written(settings) / "small" / "99999999999"
    foreign.mkdir(parents=True)
    (foreign / "saved_model.pb").write_bytes(b"")
    pushed = push.push(model, judged, examples, settings, "1")
    assert pushed.version == 100000000000
    assert open_destination(str(written(settings)), "small").record(pushed.version)["run"] == "1"


def test_a_trial_promotes_nothing_and_says_so(tmp_path, examples, settings, stand_in, monkeypatch):
    monkeypatch.setattr(push, "trial", SimpleNamespace(is_trial=lambda: True))
    said = []
    judged = evaluation(tmp_path / "e", predictions())
    pushed = push.push(tiny_model(tmp_path / "m"), judged, examples, settings, "1", said.append)
    assert (pushed.pushed, pushed.reason) == (False, "blessed and valid, not promoted by spin")
    assert pushed.replay.valid
    place = written(settings) / "small"
    said_of_spin = "spin records no run, so it promotes no model"
    assert said == [f"{said_of_spin}: nothing was changed at {place}"]
    assert not written(settings).exists()


def test_a_destination_that_fails_now_says_how_to_push_elsewhere(
    tmp_path, examples, settings, stand_in
):
    written(settings).write_text("a file where a folder goes")
    judged = evaluation(tmp_path / "e", predictions())
    with pytest.raises(MfxError, match="cannot push: Not a directory") as error:
        push.push(tiny_model(tmp_path / "m"), judged, examples, settings, "1")
    assert "`run --from-run ID --destination …` reuses" in error.value.remedy
