"""A run that is killed goes on from what was done: training from its last epoch, on retry and on
resume. It ends as a run that was never killed."""

from __future__ import annotations

import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import chaos
from helpers.flows import FLOW, ROOT, SAMPLE, FlowResult, call_flow, shell

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
def pipeline(tmp_path_factory) -> Pipeline:
    """With a model whose training is killed as often as the file `deaths` says."""
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
    environment = {**shell(), "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder)}
    environment["DEATHS"] = str(folder / "deaths")
    return Pipeline(folder, chaos.Storage("local", environment, str(folder)))


@dataclass(frozen=True)
class Pipeline:
    """A small pipeline, and what runs it and kills its runs.

    `call` and `killed` take how often the process that trains dies in its third epoch.
    """

    folder: Path
    place: chaos.Storage

    def call(self, *arguments: str, deaths: int, **environment: str) -> FlowResult:
        (self.folder / "deaths").write_text(str(deaths))
        # `resume` uses the config of the run that it resumes.
        config = ["--config", "config", str(self.folder / "config.toml")]
        given = [*config, *arguments] if arguments[0] == "run" else arguments
        deaths_file = {"DEATHS": self.place.environment["DEATHS"]}
        return call_flow(self.folder, *given, **deaths_file, **environment)

    def killed(self, step: str, after: float, origin: str, deaths: int) -> str:
        """`resume`, killed with all its processes so many seconds after the step has begun."""
        (self.folder / "deaths").write_text(str(deaths))
        run = chaos.killed(self.place, step, after, "resume", "--origin-run-id", origin)
        assert run, f"{step} was done before"
        return run

    def task(self, run: str, step: str):
        """Metaflow's object of the run's task of a step."""
        return FlowResult(0, f"(run-id {run})", self.folder).run[step].task


@pytest.fixture(scope="module")
def failed(pipeline) -> FlowResult:
    """A run whose training died as often as it was tried."""
    result = pipeline.call("run", "--destination", str(pipeline.folder / "once"), deaths=3)
    assert result.code == 1, result.output
    return result


@pytest.fixture(scope="module")
def unbroken(pipeline, failed, tmp_path_factory):
    """A run that trained without a break, and stopped at push: meanwhile a file came to where a
    folder goes. What comes before training is the failed run's."""
    destination = tmp_path_factory.mktemp("destination") / "pushed"
    given = ("run", "--from-run", failed.run_id, "--destination", str(destination))
    result = pipeline.call(*given, deaths=0, BLOCKED=str(destination))
    assert result.code == 1
    assert _epochs(result.output) == [1, 2, 3, 4, 5]
    return result, destination


@pytest.fixture(scope="module")
def model(unbroken):
    """The result of training without interruption."""
    model = unbroken[0].run["train"].task.data.model
    assert model.resumed_from == 0
    return model


@pytest.fixture(scope="module")
def pushed(pipeline, unbroken) -> FlowResult:
    """The unbroken run's end: resumed, when the file is gone."""
    failed, destination = unbroken
    destination.unlink()
    resumed = pipeline.call("resume", "--origin-run-id", failed.run_id, deaths=0)
    assert resumed.code == 0, resumed.output
    return resumed


def _epochs(output: str) -> list[int]:
    return [int(number) for number in re.findall(r"epoch (\d)/5:", output)]


def _started(output: str) -> list[str]:
    return re.findall(r"/(\w+)/\d+ \(pid \d+\)\] Task is starting\.", output)


def test_a_retry_goes_on_from_the_last_epoch(failed):
    """Two retries, that is; they die as well."""
    assert _epochs(failed.output) == [1, 2]
    assert failed.output.count("continuing after epoch 2 from a checkpoint") == 2
    assert failed.output.count("Task is starting (retry)") == 2


def test_a_run_killed_in_train_and_again_in_push_ends_as_an_unbroken_one(
    pipeline, failed, model, pushed
):
    """The short form of `make chaos`. Each run is resumed: one whose training died in all attempts,
    one killed before it finishes an epoch and saves a checkpoint, one killed in push."""
    draw = random.Random(5)
    first = pipeline.killed("train", draw.uniform(0, 6), failed.run_id, deaths=3)
    second = pipeline.killed("push", draw.uniform(0, 4), first, deaths=1)
    trained = pipeline.task(second, "train")
    assert trained.current_attempt == 1, "its first attempt died"
    assert "continuing after epoch 2 from a checkpoint" in trained.stdout
    assert _epochs(trained.stdout) == [3, 4, 5]
    resumed = trained.data.model
    assert resumed.resumed_from == 2
    assert resumed.history == model.history
    last, anew = chaos.resumed(pipeline.place, second)
    assert set(anew) <= {"push", "end"}, "what had finished is not done again"
    found, expected = (chaos.digests(pipeline.place, run) for run in (last, pushed.run_id))
    assert found == expected
    versions = (pipeline.folder / "once" / "taxi").iterdir()
    assert len([path for path in versions if path.name.isdecimal()]) == 1, "pushed once"


def test_resume_after_a_failed_push_only_pushes(unbroken, model, pushed):
    failed, destination = unbroken
    assert f"{destination}/taxi: cannot push: Not a directory" in failed.output
    assert "`run --from-run ID --destination …`" in failed.output
    assert "Traceback" not in failed.output
    assert _started(pushed.output) == ["push", "end"]
    assert pushed.data.pushed.pushed
    (version,) = (destination / "taxi").glob("1*")
    assert f'"model": "{model.digest}"' in (version / "assets.extra" / "mfx.json").read_text()


def test_the_flow_runs_from_another_folder(tmp_path):
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, str(FLOW), "show"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
