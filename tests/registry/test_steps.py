"""The steps of a run with their times and states, and their cards."""

from __future__ import annotations

import itertools

import pytest

from mfx import registry
from mfx.registry import steps
from mfx.registry.runs import NoSuchRunError


def test_steps_come_in_their_order_with_the_times_they_took(small_runs):
    found = steps.steps(registry.run(small_runs["one"]))
    assert [one.name for one in found] == ["start", "validate", "evaluate", "push", "end"]
    assert {one.state for one in found} == {steps.DONE}
    assert all(one.seconds > 0 and one.tasks == 1 and not one.error for one in found)
    assert all(a.ended <= b.began for a, b in itertools.pairwise(found))


def test_a_failed_step_says_why(small_runs):
    *done, failed = steps.steps(registry.run(small_runs["stopped"]))
    assert [one.state for one in done] == [steps.DONE]
    assert (failed.name, failed.state) == ("validate", steps.FAILED)
    assert "stopped here" in failed.error


def test_a_run_without_cards_has_none(small_runs):
    found = registry.run(small_runs["one"])
    assert steps.cards(found) == []
    for place in (("start", "1", 0), ("nowhere", "1", 0), ("start", "99", 0)):
        with pytest.raises(NoSuchRunError, match="has no card 0"):
            steps.card(found, *place)


def test_cards_are_found_and_read(flow_run):
    found = registry.run(flow_run.run.pathspec)
    cards = steps.cards(found)
    assert [one.step for one in cards if one.kind == "blank"] == [
        "validate",
        "train",
        "evaluate",
        "push",
    ]
    text = steps.card(found, cards[0].step, cards[0].task, cards[0].number)
    assert text.lstrip().lower().startswith("<!doctype html>")
    with pytest.raises(NoSuchRunError):
        steps.card(found, cards[0].step, cards[0].task, 1)
