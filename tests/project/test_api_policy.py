"""What the page on public API names is there, and nothing of a registry or table is left out."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from helpers.flows import ROOT

from mfx import plugins

PAGE = (ROOT / "docs" / "reference" / "api-policy.md").read_text("utf-8")
GROUPS = set(plugins.OWN)
NAMES = sorted({*re.findall(r"`(mfx(?:\.\w+)*)`", PAGE)} - GROUPS)


def found(name: str) -> object:
    """The module, class or function of a dotted name."""
    path = name.split(".")
    for end in range(len(path), 0, -1):
        try:
            thing: object = import_module(".".join(path[:end]))
        except ModuleNotFoundError:
            continue
        for attribute in path[end:]:
            thing = getattr(thing, attribute)
        return thing
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_and_says_what_it_is(name):
    assert found(name).__doc__


def test_all_entry_point_groups_are_public():
    assert {*re.findall(r"`(mfx\.\w+)`", PAGE)} >= GROUPS


@pytest.mark.parametrize("name", ["mfx.registry", "mfx.artifacts"])
def test_what_is_public_by_its_list_has_one(name):
    assert f"| `{name}` | all that its `__all__` names |" in PAGE
    assert all(hasattr(found(name), member) for member in found(name).__all__)


def test_a_name_that_is_gone_is_found_out():
    with pytest.raises((AttributeError, ModuleNotFoundError)):
        found("mfx.errors.GoneError")
