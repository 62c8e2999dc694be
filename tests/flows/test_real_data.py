"""The whole flow on the real taxi file, if there is one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.flows import REAL, call_flow

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not REAL.exists(), reason="the real taxi file, ../shared/data/taxi/trips.csv, is not here"
    ),
]


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """The same command runs in two folders at the same time."""

    def run(name: str):
        store = tmp_path_factory.mktemp(name)
        return call_flow(store, "run", "--data", str(REAL), "--destination", str(store / "pushed"))

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, ["first", "second"]))
    for result in results:
        assert result.code == 0, result.output
    return results


def test_the_model_is_good_blessed_and_pushed(twice):
    data = twice[0].data
    assert data.examples.rows_in == 15_002
    assert data.model.steps == 1000
    assert data.evaluation.metrics().auc["Overall"] >= 0.90
    assert data.evaluation.blessing.blessed
    assert data.pushed.pushed
    assert (twice[0].store / "pushed" / "taxi" / str(data.pushed.version)).is_dir()


@pytest.mark.parametrize(
    "name", ["examples", "statistics", "schema", "transform_graph", "transformed", "model"]
)
def test_the_same_command_gives_the_same_hashes(twice, name):
    first, second = (getattr(result.data, name).digest for result in twice)
    assert first == second


def test_the_same_command_gives_the_same_weights_and_predictions(twice):
    first, second = (result.data for result in twice)
    assert first.model.weights == second.model.weights
    assert first.evaluation.predictions.digest == second.evaluation.predictions.digest
