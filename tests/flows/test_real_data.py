"""All steps on the real taxi file, if there is one; `test_flow` has the flow itself."""

from __future__ import annotations

import pytest
from helpers.flows import REAL
from helpers.steps_here import results

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not REAL.exists(), reason="the real taxi file, ../shared/data/taxi/trips.csv, is not here"
    ),
]


def test_the_model_is_good_and_blessed(settings, tmp_path):
    made = results(settings.override(data__path=str(REAL)), tmp_path)
    assert made["examples"].rows_in == 15_002
    assert made["anomalies"].errors == ()
    assert made["model"].steps == 1000
    assert made["evaluation"].metrics().auc["Overall"] >= 0.90
    assert made["evaluation"].blessing.blessed
