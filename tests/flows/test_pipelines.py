"""Two pipelines of one project do not mix: neither runs, nor production, nor freed data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.flows import ROOT
from helpers.small_runs import SmallRuns

from mfx import cli, registry
from mfx.errors import MfxError
from mfx.registry import flows, runs

PENGUINS = """
from pipeline import Pipeline


class Penguins(Pipeline):
    pass


if __name__ == "__main__":
    Penguins()
"""


@pytest.fixture(scope="module")
def both(all_small_runs, tmp_path_factory):
    """A copy of the small runs' project with a second flow, and runs of that."""
    small, made = all_small_runs
    project = tmp_path_factory.mktemp("both") / "project"
    shutil.copytree(small.store, project)
    shutil.rmtree(project / ".metaflow" / "Pipeline" / made["stopped"])
    shutil.rmtree(project / "pipeline" / "pushed", ignore_errors=True)
    (project / "flows").mkdir()
    shutil.copy(ROOT / "tests/helpers/small_flow.py", project / "flows" / "pipeline.py")
    (project / "flows" / "penguins.py").write_text(PENGUINS)
    shutil.copytree(project / "pipeline", project / "penguins")
    config = project / "penguins" / "config.toml"
    config.write_text(config.read_text().replace('"small"', '"penguins"'))
    ids = {}
    for weight in "12":
        subprocess.run(
            [
                *(sys.executable, "flows/penguins.py", "run", "--config", str(config)),
                *("--weight", weight, "--run-id-file", "run-id"),
            ],
            env=os.environ
            | {"METAFLOW_DATASTORE_SYSROOT_LOCAL": str(project), "PYTHONPATH": str(ROOT / "lib")},
            cwd=project,
            capture_output=True,
            check=True,
        )
        ids[weight] = (project / "run-id").read_text()
    return project, made, ids


@pytest.fixture
def project(both, small_runs, tmp_path, monkeypatch):
    """A copy of the project for one test, and the ids of each pipeline's runs."""
    shutil.copytree(both[0], tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    SmallRuns(tmp_path / "project", Path()).look()
    small, penguins = both[1:]
    return SimpleNamespace(path=tmp_path / "project", small=small, penguins=penguins)


@pytest.fixture
def mfx(project, capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_runs_of_both_are_listed_and_each_alone(mfx, project):
    code, said, _ = mfx("ls", "-n", "30", "--all")
    assert code == 0
    headers, *rows = said.splitlines()
    assert headers.split()[:2] == ["PIPELINE", "RUN"]
    ids = [row.removeprefix("*").split()[:2] for row in rows if row.split()[1].isdigit()]
    assert ids[0] == ["penguins", project.penguins["2"]], "newest first"
    assert ["small", project.small["one"]] in ids
    for pipeline, ours in (("small", project.small), ("penguins", project.penguins)):
        code, said, _ = mfx("ls", "-n", "30", "--pipeline", pipeline)
        assert code == 0 and "PIPELINE" not in said
        found = {word for word in said.split() if word.isdigit() and len(word) == 16}
        assert found and found <= set(ours.values())
    assert mfx("ls", "--flow", "Penguins")[1] == mfx("ls", "--pipeline", "penguins")[1]


def test_latest_is_each_pipelines_own(mfx, project):
    assert f"Penguins/{project.penguins['2']}" in mfx("show", "latest", "--pipeline", "penguins")[1]
    assert f"Pipeline/{project.small['branch']}" in mfx("show", "latest", "--pipeline", "small")[1]
    assert registry.run("latest", "Penguins").id == project.penguins["2"]
    assert f"Penguins/{project.penguins['1']}" in mfx("show", project.penguins["1"])[1], (
        "an id needs no pipeline"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        *(["show", "latest"], ["show", "production"], ["gc", "--keep", "1"], ["history"]),
        *(["rollback"], ["at", "2026-01-01"], ["serve"], ["manifests"], ["schema", "accept"]),
    ],
)
def test_a_command_that_needs_one_pipeline_says_which_there_are(mfx, arguments):
    code, said, error = mfx(*arguments)
    assert (code, said) == (1, "")
    assert error.startswith(
        "several pipelines have runs here: penguins (flow Penguins), small (flow Pipeline)\n"
    )
    assert "--pipeline NAME" in error


def test_production_is_each_pipelines_own(mfx, project):
    assert mfx("promote", project.penguins["1"], "--reason", "ours")[0] == 0
    assert mfx("promote", project.small["two"], "--reason", "theirs")[0] == 0
    for pipeline, run in (("penguins", project.penguins["1"]), ("small", project.small["two"])):
        said = mfx("history", "--pipeline", pipeline)[1]
        assert run in said and said.count("promote") == 1
        assert run in mfx("history", "--model", pipeline)[1], "a model's name says it too"
        assert run in mfx("show", "production", "--pipeline", pipeline)[1]
        assert registry.production(pipeline).run == run
    code, _, error = mfx("rollback", "--pipeline", "penguins")
    assert code == 1 and "penguins: nothing to roll back to" in error
    marked = [line for line in mfx("ls", "--all", "-n", "30")[1].splitlines() if line[:1] == "*"]
    assert len([line for line in marked if line.split()[2].isdigit()]) == 2


def test_what_is_freed_is_one_pipelines(mfx, project):
    data = project.path / ".metaflow" / "Pipeline" / "data"
    before = {path.name for path in data.rglob("*")}
    code, said, _ = mfx("gc", "--keep", "1", "--pipeline", "penguins")
    assert code == 0 and project.penguins["1"] in said
    assert not [run for run in project.small.values() if run in said]
    assert f"freed in {project.path}/.metaflow/Penguins/data" in said and "0 were" not in said
    assert {path.name for path in data.rglob("*")} == before
    with pytest.raises(MfxError, match="from the datastore at"):
        runs.results(project.penguins["1"]).need("evaluate", "model").save_to(project.path / "x")
    runs.results(project.small["one"]).need("evaluate", "model").save_to(project.path / "y")


def test_an_unknown_pipeline_is_one_line(mfx):
    code, _, error = mfx("ls", "--pipeline", "penguin")
    assert code == 1
    assert error == (
        "there is no pipeline 'penguin' here; did you mean 'penguins'?\n"
        "There are penguins, small.\n"
    )


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Writes files of flows into a project without runs."""
    (tmp_path / "flows").mkdir()
    monkeypatch.setattr("mfx.environment._project", tmp_path)

    def write(**texts: str) -> Path:
        for name, text in texts.items():
            (tmp_path / "flows" / f"{name}.py").write_text(text)
        return tmp_path / "flows"

    return write


def test_flows_are_found_in_their_files(files):
    folder = files(
        zebra="import pipeline\nclass Zebra(pipeline.Pipeline): pass\n",
        pipeline="class Pipeline(FlowSpec): pass\nclass Helper: pass\n",
        helper="from enum import Enum\nclass Kind(Enum): pass\n",
        ant="class Ant(Zebra): pass\n",
    )
    expected = {"Pipeline": "pipeline", "Zebra": "zebra", "Ant": "ant"}
    assert flows.declared() == {name: folder / f"{file}.py" for name, file in expected.items()}


def test_a_flow_without_runs_is_known_by_its_file(files):
    files(pipeline="class Pipeline(FlowSpec): pass\n", penguins="class P(Pipeline): pass\n")
    assert flows.flow_of_pipeline("penguins") == "P"


def test_a_file_that_is_not_python_is_one_line(files):
    folder = files(pipeline="class Pipeline(FlowSpec): pass\n", broken="def\n")
    with pytest.raises(MfxError, match=r"broken\.py, line 1: SyntaxError: "):
        flows.known()
    assert folder.is_dir()


def test_the_only_flow_needs_no_name(files):
    files(pipeline="class Pipeline(FlowSpec): pass\n")
    assert flows.default() == "Pipeline" == flows.flow_of_run("1")
