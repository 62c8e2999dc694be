"""Which cards Metaflow draws at a step's end; that a run's are found, `tests/flows` looks at."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from metaflow import current
from metaflow.plugins.cards.card_creator import CardCreator

from mfx.flow import cards


@pytest.fixture
def draw(monkeypatch):
    """What Metaflow calls to have a card drawn; gives what would start a process."""
    drawn = []
    monkeypatch.setattr(CardCreator, "create", lambda self, **given: drawn.append(given["mode"]))
    cards.draw_only_what_is_seen()
    cards.draw_only_what_is_seen()
    creator = CardCreator([], lambda card: (False, {}))

    def call(*modes: str, final: bool, card_id: str | None = None) -> list[str]:
        drawn.clear()
        for mode in modes:
            creator.create(card_uuid="a", user_set_card_id=card_id, mode=mode, final=final)
        return list(drawn)

    return call


def components(monkeypatch, *found: str) -> None:
    """What was put on the running step's card."""
    collector = SimpleNamespace(_serialize_components=lambda card: list(found))
    monkeypatch.setattr(current, "card", collector, raising=False)


def test_a_card_that_was_not_shown_before_the_end_is_one_page(draw):
    assert draw("render", "refresh", final=True) == ["render"]


def test_a_card_that_was_shown_before_is_told_its_end(draw):
    assert draw("render_runtime", "refresh", final=False) == ["render_runtime", "refresh"]
    assert draw("render", "refresh", final=True) == ["render", "refresh"]


def test_an_empty_card_of_checkpoints_is_not_drawn(draw, monkeypatch):
    components(monkeypatch)
    assert draw("render", "refresh", final=True, card_id=cards.CHECKPOINTS) == []
    assert draw("render", "refresh", final=True, card_id="mine") == ["render"]


def test_a_card_of_checkpoints_that_says_something_is_drawn(draw, monkeypatch):
    components(monkeypatch, "one checkpoint")
    assert draw("render", "refresh", final=True, card_id=cards.CHECKPOINTS) == ["render"]
