"""Training killed in the middle goes on from its last epoch, on retry and on resume, and ends with
the weights of an unbroken run."""

from __future__ import annotations

import re
import shutil

import pytest
from helpers.flows import FLOW, ROOT, SAMPLE, call_flow

KILLER = '''

_build = build_model


def build_model(**hyperparameters):
    """The same model, whose process dies while the third epoch is trained, as often as told."""
    import os

    if blocked := os.environ.get("BLOCKED"):
        open(blocked, "w").close()
    model = _build(**hyperparameters)
    fit, left = model.fit, os.environ["DEATHS"]

    def dying(*arguments, **options):
        if options["initial_epoch"] == 2 and int(open(left).read() or 0) > 0:
            deaths = int(open(left).read()) - 1
            open(left, "w").write(str(deaths))
            os._exit(9)
        return fit(*arguments, **options)

    model.fit = dying
    return model
'''


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A small pipeline whose training is killed as often as the file `deaths` says."""
    folder = tmp_path_factory.mktemp("resume")
    taxi = ROOT / "flows" / "taxi"
    (folder / "model.py").write_text((taxi / "model.py").read_text() + KILLER)
    shutil.copy(taxi / "schema.pbtxt", folder)
    lines = SAMPLE.read_text().splitlines(keepends=True)
    (folder / "trips.csv").write_text("".join(lines[:2001]))
    text = (taxi / "config.toml").read_text()
    text = text.replace("../../data/taxi/trips.csv", "trips.csv").replace("../../pushed", "pushed")
    text = re.sub(r"steps = \d+", "steps = 50", text).replace("epochs = 10", "epochs = 5")
    # This tests training; a model of 50 steps need not be good.
    text = re.sub(r"\[\[evaluate\.thresholds\]\].*(?=\[push\])", "", text, flags=re.DOTALL)
    (folder / "config.toml").write_text(text)

    def call(*arguments: str, deaths: int, **environment: str):
        (folder / "deaths").write_text(str(deaths))
        # `resume` uses the config of the run that it resumes.
        config = ["--config", "config", str(folder / "config.toml")] * (arguments[0] == "run")
        environment["DEATHS"] = str(folder / "deaths")
        return call_flow(folder, *config, *arguments, **environment)

    return call


@pytest.fixture(scope="module")
def unbroken(pipeline, tmp_path_factory):
    """A run that trained without a break, and stopped at push: meanwhile a file came to where a
    folder goes."""
    destination = tmp_path_factory.mktemp("destination") / "pushed"
    given = ("run", "--destination", str(destination))
    result = pipeline(*given, deaths=0, BLOCKED=str(destination))
    assert result.code == 1
    return result, destination


@pytest.fixture(scope="module")
def model(unbroken):
    """The result of training without interruption."""
    return unbroken[0].run["train"].task.data.model


def _epochs(output: str) -> list[int]:
    return [int(number) for number in re.findall(r"epoch (\d)/5:", output)]


def _started(output: str) -> list[str]:
    return re.findall(r"/(\w+)/\d+ \(pid \d+\)\] Task is starting\.", output)


def test_a_retry_goes_on_from_the_last_epoch(pipeline, model):
    result = pipeline("run", deaths=1)
    assert result.code == 0, result.output
    assert "continuing after epoch 2 from a checkpoint" in result.output
    assert _epochs(result.output) == [1, 2, 3, 4, 5]
    retried = result.data.model
    assert retried.resumed_from == 2
    assert retried.weights == model.weights
    assert retried.history == model.history
    assert (retried.payload.digest, retried.logs.digest) == (
        model.payload.digest,
        model.logs.digest,
    )


def test_resume_goes_on_from_the_last_epoch_of_the_failed_run(pipeline, model):
    failed = pipeline("run", deaths=3)
    assert failed.code == 1
    assert _epochs(failed.output) == [1, 2]
    # The first resumed run is killed too, before it finishes an epoch and saves a checkpoint.
    again = pipeline("resume", "--origin-run-id", failed.run_id, deaths=3)
    assert again.code == 1
    assert again.output.count("continuing after epoch 2 from a checkpoint") == 3
    assert _epochs(again.output) == []
    resumed = pipeline("resume", "--origin-run-id", again.run_id, deaths=0)
    assert resumed.code == 0, resumed.output
    assert _started(resumed.output) == ["train", "evaluate", "push", "end"]
    assert _epochs(resumed.output) == [3, 4, 5]
    assert resumed.data.model.weights == model.weights
    assert resumed.data.model.history == model.history
    assert resumed.data.model.payload.digest == model.payload.digest


def test_resume_after_a_failed_push_only_pushes(pipeline, unbroken, model):
    failed, destination = unbroken
    assert f"{destination}/taxi: cannot push: Not a directory" in failed.output
    assert "`run --from-run ID --destination …`" in failed.output
    assert "Traceback" not in failed.output
    destination.unlink()
    resumed = pipeline("resume", "--origin-run-id", failed.run_id, deaths=0)
    assert resumed.code == 0, resumed.output
    assert _started(resumed.output) == ["push", "end"]
    assert resumed.data.pushed.pushed
    (version,) = (destination / "taxi").glob("1*")
    assert f'"model": "{model.digest}"' in (version / "assets.extra" / "mfx.json").read_text()


def test_the_flow_runs_from_another_folder(tmp_path):
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, str(FLOW), "show"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
