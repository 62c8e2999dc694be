"""What `spin` executes changes nothing outside of the datastore of trials."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mfx.artifacts import trial


@pytest.fixture
def spinning(monkeypatch):
    """This process is a trial."""
    from metaflow.system_context import system_context

    monkeypatch.setattr(system_context, "_metadata", SimpleNamespace(TYPE="spin"))


def test_outside_of_metaflow_nothing_is_a_trial():
    assert not trial.is_trial()


def test_a_trial_is_known_by_its_metadata(spinning):
    assert trial.is_trial()
    assert trial.storage().TYPE == "spin"


def test_a_join_gets_the_values_themselves():
    class Flow:
        from_class = "stays"

        def __init__(self, **values) -> None:
            self._datastore = dict.fromkeys(values, "sha")
            vars(self).update(values)

        def merge_artifacts(self, inputs, exclude=None, include=None):
            """By hash, as Metaflow does."""
            for given in inputs:
                names = set(given._datastore) - set(exclude or [])
                self._datastore |= dict.fromkeys(names, "sha")

    flow = Flow()
    trial.merge_by_value(flow)
    flow.settled = "here"
    inputs = [Flow(a=1, made=1, settled=1, from_class=1), Flow(a=1, made=2, settled=2, _b=3)]
    flow.merge_artifacts(inputs, exclude=["made"])
    assert (flow.a, flow.settled, flow.from_class) == (1, "here", "stays")
    assert not hasattr(flow, "made") and not hasattr(flow, "_b")
