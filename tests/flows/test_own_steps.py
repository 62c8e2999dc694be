"""The pipelines of docs/how-to/, in several-pipelines.md and own-step.md, run as written there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.flows import ROOT, shell

PAGES = [ROOT / "docs" / "how-to" / f"{name}.md" for name in ("several-pipelines", "own-step")]
SMALL, OWN = re.findall(r"```python\n(.*?)```", "".join(p.read_text() for p in PAGES), re.S)
MODEL_PY = """
import keras
from mfx.features import fill_missing

def preprocessing_fn(inputs):
    return {"bill": fill_missing(inputs["bill"]), "is_adelie": fill_missing(inputs["adelie"])}

def build_model():
    bill = keras.Input((1,), name="bill")
    model = keras.Model(bill, keras.layers.Dense(1, activation="sigmoid")(bill))
    model.compile("sgd", "binary_crossentropy")
    return model
"""
CONFIG = """
[pipeline]
name = "penguins"
[data]
path = "export.csv"
[label]
name = "is_adelie"
columns = ["adelie"]
[train]
steps = 2
epochs = 1
[evaluate]
metrics = ["ExampleCount", "AUC"]
select = "auc"
[push]
destination = "pushed"
"""


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@pytest.fixture
def project(tmp_path) -> Path:
    """A project with the taxi pipeline, and the folder of another pipeline."""
    ours = tmp_path / "flows" / "penguins"
    ours.mkdir(parents=True)
    shutil.copy(ROOT / "flows" / "pipeline.py", tmp_path / "flows")
    shutil.copytree(ROOT / "flows" / "taxi", tmp_path / "flows" / "taxi")
    (ours / "model.py").write_text(MODEL_PY)
    (ours / "config.toml").write_text(CONFIG)
    rows = [{"bill": 30 + i / 10, "adelie": int(i % 3 == 0)} for i in range(200)]
    (ours / "export.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def call(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**shell(), "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(project)},
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_a_pipeline_is_a_flow_of_a_few_lines(project):
    """Steps, cards and resources are those of `Pipeline`; the config is its own."""
    assert len(SMALL.splitlines()) <= 12
    (project / "flows" / "penguins.py").write_text(SMALL)
    shown = call(project, "flows/penguins.py", "show")
    assert shown.returncode == 0 and "executing Penguins" in shown.stdout
    ours, theirs = (call(project, f"flows/{f}.py", "show").stdout for f in ("penguins", "pipeline"))
    steps = [re.findall(r"^Step (\w+)", text, re.M) for text in (ours, theirs)]
    assert steps[0] == steps[1] and "evaluate" in steps[0]
    (project / "flows" / "penguins" / "config.toml").write_text("[pipeline]\nnam = 1\n")
    told = call(project, "flows/penguins.py", "show").stdout
    assert "penguins/config.toml: unknown key 'pipeline.nam'" in told
    assert call(project, "flows/pipeline.py", "show").returncode == 0


@pytest.mark.long
def test_steps_of_ones_own_run(project):
    assert len(lines_of(OWN)) <= 30
    (project / "flows" / "penguins.py").write_text(OWN)
    done = call(project, "flows/penguins.py", "run")
    assert done.returncode == 0, done.stdout
    assert "200 rows, 0 anomalies" in done.stdout
    order = re.findall(r"/(\w+)/\d+ \(pid \d+\)\] Task is starting", done.stdout)
    before, after = ["start", "ingest", "validate"], ["transform", "train", "evaluate", "push"]
    assert order == [*before, "tell", *after, "end"]
    assert "flows/penguins.py card view" in done.stdout
    (version,) = (project / "flows/penguins/pushed/penguins").glob("[0-9]*")
    shown = call(project, "-m", "mfx.cli", "show", "production").stdout
    assert "Penguins/" in shown and version.name in shown
