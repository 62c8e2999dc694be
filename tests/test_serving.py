"""serving/predict.py on the model that the shared run pushed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.fixture
def ask(flow_run):
    def call(rows: str, folder=flow_run.store / "pushed" / "taxi"):
        return subprocess.run(
            [sys.executable, str(ROOT / "serving" / "predict.py"), str(folder), rows],
            capture_output=True,
            text=True,
            check=False,
        )

    return call


def test_the_newest_version_answers_each_row(ask, flow_run):
    rows = [{"payment_type": "Credit Card", "fare": 10.0}, {"payment_type": "Cash", "fare": None}]
    answers = [json.loads(line) for line in ask(json.dumps(rows)).stdout.splitlines()]
    assert [answer["version"] for answer in answers] == [flow_run.data.pushed.version] * 2
    card, cash = (answer["outputs"][0] for answer in answers)
    assert 0 <= cash < card <= 1


def test_an_unknown_feature_is_named(ask):
    done = ask('{"fair": 10.0}')
    assert done.returncode == 1
    assert "unknown features ['fair']" in done.stderr


def test_an_empty_folder_says_what_to_run(ask, tmp_path):
    done = ask("{}", folder=tmp_path)
    assert done.returncode == 1
    assert "make run" in done.stderr
