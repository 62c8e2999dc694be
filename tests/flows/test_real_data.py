"""The whole flow on the real taxi file, if there is one."""

from __future__ import annotations

import pytest
from helpers.flows import REAL, call_flow

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not REAL.exists(), reason="the real taxi file, ../shared/data/taxi/trips.csv, is not here"
    ),
]


def test_the_model_is_good_blessed_and_pushed(tmp_path):
    run = call_flow(tmp_path, "run", "--data", str(REAL), "--destination", str(tmp_path / "pushed"))
    assert run.code == 0, run.output
    data = run.data
    assert data.examples.rows_in == 15_002
    assert data.model.steps == 1000
    assert data.evaluation.metrics().auc["Overall"] >= 0.90
    assert data.evaluation.blessing.blessed
    assert data.pushed.pushed
    assert (tmp_path / "pushed" / "taxi" / str(data.pushed.version)).is_dir()
