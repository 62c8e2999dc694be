"""Runs, tags, promotion, resume and reuse where Metaflow's metadata is a service, as in production:
a real one, in a process of its own (`metadata_service.py`)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.flows import ROOT, SAMPLE, call_flow
from helpers.metadata_service import UnavailableError, started
from helpers.small_runs import small_runs_in

from mfx import cli, registry
from mfx.errors import MfxError
from mfx.registry import runs

# Whole runs of the pipeline.
long = pytest.mark.deploy


@pytest.fixture(scope="module", params=["local", pytest.param("netflix", marks=long)])
def service(request):
    """The service's URL, which Metaflow's client and processes started here use."""
    from metaflow import metadata, namespace
    from metaflow.client import core

    with pytest.MonkeyPatch.context() as patch:
        for name in ("current_metadata", "current_namespace"):
            patch.setattr(core, name, getattr(core, name))  # for what comes after this module
        try:
            context = started(request.param)
            url = context.__enter__()
        except UnavailableError as why:
            pytest.skip(str(why))
        patch.setenv("METAFLOW_DEFAULT_METADATA", "service")
        patch.setenv("METAFLOW_SERVICE_URL", url)
        metadata(f"service@{url}")
        namespace("user:tester")
        yield url
        context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def small(service, tmp_path_factory):
    """Runs of the small flow and their ids by what they are, in order; none is in production."""
    folder = tmp_path_factory.mktemp("service")
    small = small_runs_in(folder)
    made = {
        "one": small.make("--weight", "1", "--tag", "first"),
        "two": small.make("--weight", "2"),
        "stopped": small.make("--stop", "1"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METAFLOW_DATASTORE_SYSROOT_LOCAL", str(folder))
        yield made
    # Nothing was told to Metaflow's local metadata.
    assert not list((folder / ".metaflow").glob("Pipeline/*/_meta"))


def mfx(capsys, *arguments: str) -> str:
    """What the command says, which succeeds."""
    code = cli.main(list(arguments))
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


def test_runs_are_listed_newest_first(small):
    command = [sys.executable, "-m", "mfx.cli", "ls"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    _, *rows, _ = done.stdout.splitlines()
    assert [row.split()[0] for row in rows] == list(small.values())[::-1]
    # It said that it failed, and whether it is tried again nobody here can know.
    assert ["failed" in row for row in rows] == [True, False, False]
    assert "tester" in rows[0] and "0.7500" in rows[1]


def test_a_run_is_found_by_id_pathspec_and_word(small):
    for name in (small["one"], f"Pipeline/{small['one']}"):
        assert registry.run(name).id == small["one"]
    assert registry.run("latest").id == small["stopped"]
    with pytest.raises(MfxError, match="no run Pipeline/none in namespace user:tester"):
        registry.run("none")


def test_results_are_read_as_far_as_a_run_got(small):
    found = registry.run(small["two"])
    assert found.state == "finished" and found.evaluation.blessing.blessed
    stopped = registry.run(small["stopped"])
    assert stopped.state == "failed"
    assert stopped.settings is not None and stopped.evaluation is None
    with pytest.raises(MfxError, match="has no 'model' of step 'evaluate'"):
        stopped.need("evaluate", "model")


def test_runs_are_shown_and_compared(small, capsys):
    assert "yes, 1 of 1 checks" in mfx(capsys, "show", small["two"])
    said = mfx(capsys, "compare", small["one"], small["two"])
    assert re.search(r"^auc ", said, re.MULTILINE)


def test_tags_are_added_and_removed(small):
    run = registry.run(small["one"]).run
    run.add_tags(["kept", "gone"])
    run.remove_tag("gone")
    again = registry.run(small["one"]).run
    assert again.user_tags == {"first", "kept"}
    assert [one.id for one in runs.newest()] == list(small.values())[::-1], "order is kept"


def test_promotion_rollback_and_history(small, capsys):
    tagged = {}
    for name, command in {
        "one": ("promote", small["one"], "--reason", "the first"),
        "two": ("promote", small["two"]),
        "back": ("rollback", "--reason", "complaints"),
    }.items():
        mfx(capsys, *command)
        tagged[name] = [one.id for one in runs.newest() if "production:small" in one.run.user_tags]
    assert tagged == {"one": [small["one"]], "two": [small["two"]], "back": [small["one"]]}
    assert registry.production().run == registry.run("production").id == small["one"]
    history = registry.history()
    assert list(history.kind) == ["promote", "promote", "rollback"]
    assert list(history.run) == [small["one"], small["two"], small["one"]]
    assert "complaints" in mfx(capsys, "history")
    (served,) = [line for line in mfx(capsys, "ls").splitlines() if line.startswith("*  ")]
    assert small["one"] in served


BLOCKING = """

_build = build_model


def build_model(**hyperparameters):
    open({!r}, "w").close()
    return _build(**hyperparameters)
"""


def _call(folder: Path, *arguments: str):
    return call_flow(folder, *arguments, METAFLOW_DATASTORE_SYSROOT_LOCAL=str(folder))


@pytest.fixture(scope="module")
def failed(service, tmp_path_factory):
    """A run of the pipeline that stopped at push: meanwhile a file came to where a folder goes."""
    folder = tmp_path_factory.mktemp("resumed")
    taxi = ROOT / "flows" / "taxi"
    for name in ("model.py", "schema.pbtxt"):
        shutil.copy(taxi / name, folder)
    lines = SAMPLE.read_text().splitlines(keepends=True)
    (folder / "trips.csv").write_text("".join(lines[:2001]))
    with (folder / "model.py").open("a") as module:
        module.write(BLOCKING.format(str(folder / "pushed")))
    text = (taxi / "config.toml").read_text()
    text = text.replace("../../data/taxi/trips.csv", "trips.csv").replace("../../pushed", "pushed")
    text = re.sub(r"steps = \d+", "steps = 20", text)
    # A model of 20 steps need not be good.
    text = re.sub(r"\[\[evaluate\.thresholds\]\].*(?=\[push\])", "", text, flags=re.DOTALL)
    (folder / "config.toml").write_text(text)
    given = ("--config", "config", str(folder / "config.toml"), "run")
    result = _call(folder, *given)
    assert result.code == 1 and "cannot push: Not a directory" in result.output, result.output
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METAFLOW_DATASTORE_SYSROOT_LOCAL", str(folder))
        yield result, given


@pytest.fixture(scope="module")
def resumed(failed):
    """That run, resumed when the file is gone."""
    result, _ = failed
    (result.store / "pushed").unlink()
    return _call(result.store, "resume", "--origin-run-id", result.run_id)


@long
def test_resume_does_what_is_left(failed, resumed):
    from metaflow import Run

    assert resumed.code == 0, resumed.output
    assert re.findall(r"/(\w+)/\d+ \(pid \d+\)\] Task is starting\.", resumed.output) == [
        "push",
        "end",
    ]
    before, after = (Run(f"Pipeline/{result.run_id}") for result in (failed[0], resumed))
    assert (before.successful, after.successful) == (False, True)
    assert after.data.model == before["evaluate"].task.data.model
    assert after.data.pushed.replay.rows > 0
    frame = after.data.examples.to_pandas("eval")
    assert len(frame) == after.data.examples.rows["eval"]


@long
@pytest.mark.parametrize("how", ["reuse", "from-run"])
def test_results_are_taken_over(how, failed, resumed):
    first, given = failed
    chosen = ("--from-run", resumed.run_id) if how == "from-run" else ("--reuse", "true")
    again = _call(first.store, *given, *chosen)
    assert again.code == 0, again.output
    said = re.findall(r"\] (\w+): (reused|not reused)", again.output)
    # There was no model in production to compare with, now there is one.
    reused = [(step, "reused") for step in ("ingest", "validate", "transform", "train")]
    assert said == [*reused, ("evaluate", "not reused")]


@long
def test_an_unknown_run_is_one_message(failed):
    first, given = failed
    result = _call(first.store, *given, "--from-run", "999999")
    assert result.code == 1 and "--from-run: no run Pipeline/999999" in result.output
    assert "Traceback" not in result.output


def test_a_service_out_of_reach_is_one_message(service, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mfx.cli", "ls"],
        env={
            **os.environ,
            "METAFLOW_SERVICE_URL": "http://127.0.0.1:9",
            "METAFLOW_SERVICE_RETRY_COUNT": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Metaflow's metadata service at http://127.0.0.1:9: ")
    assert "METAFLOW_SERVICE_URL" in done.stderr and "Traceback" not in done.stderr


@pytest.fixture
def answering(service, webhook, monkeypatch):
    """Lets Metaflow's client ask a service that answers everything with one status; its URL."""
    from metaflow.plugins.metadata_providers.service import ServiceMetadataProvider

    def answer(status: int) -> str:
        webhook.status = status
        url = webhook.url.rpartition("/services")[0]
        monkeypatch.setattr(ServiceMetadataProvider, "_INFO", url)
        return url

    return answer


@pytest.mark.parametrize("status", [404, 500])
def test_an_answer_that_is_an_error_is_no_absent_run(status, answering):
    from mfx.flow import reuse
    from mfx.registry import freeing

    failing = rf"Metaflow's metadata service at {answering(status)}: .* failed \(code 500\)"
    key = reuse.ReuseKey("train", "", {}, {})
    for ask, absent in {
        lambda: registry.run("1"): "no run Pipeline/1",
        lambda: list(runs.newest()): "no run of Pipeline",
        lambda: registry.artifact("Pipeline", "1", "train", "model"): "has no 'model'",
        lambda: freeing.plan("Pipeline", 1): "no run of Pipeline yet",
        lambda: reuse.find(key, "Pipeline", "1"): "--from-run: no run Pipeline/1",
    }.items():
        with pytest.raises(MfxError, match=failing if status == 500 else absent):
            ask()


def test_a_result_that_cannot_be_asked_for_is_not_none(small, answering):
    found = registry.run(small["one"])
    answering(500)
    with pytest.raises(MfxError, match=r"failed \(code 500\)"):
        found.get("evaluate", "evaluation")
    with pytest.raises(MfxError, match=r"failed \(code 500\)"):
        _ = found.state
