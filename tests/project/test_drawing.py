"""The drawing of the architecture is made from the code, and is the code's of today."""

from __future__ import annotations

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest
from helpers.flows import ROOT

_spec = spec_from_file_location("drawing", ROOT / ".ci" / "drawing.py")
assert _spec and _spec.loader
drawing = module_from_spec(_spec)
sys.modules[_spec.name] = drawing  # Dataclasses look up their module there.
_spec.loader.exec_module(drawing)

FLOW = """
class Toy(FlowSpec):
    @step
    def start(self):
        self.sources, self.settings = 1, 2
        self.parts = [1, 2]
        self.next(self.work, foreach="parts")

    @step
    def work(self):
        self.made = self.input
        self.result: int = self.made.result
        self.next(self.end)

    @step
    def end(self):
        print(self.result)
"""


def test_the_committed_drawing_is_current():
    now = drawing.TARGET.read_text("utf-8")
    assert now == drawing.draw(), "docs/images/architecture.svg is not current: call `make drawing`"


def test_a_step_shows_what_it_leaves_and_for_each_of_what_it_runs():
    start, work, end = drawing.read_steps(FLOW)
    assert (start.name, start.leaves, start.each) == ("start", ["sources"], "")
    assert (work.name, work.leaves, work.each) == ("work", ["result"], "parts")
    assert (end.name, end.leaves, end.each) == ("end", [], "")


@pytest.mark.parametrize(
    ("imports", "arrows"),
    [
        ({"a": {"b"}, "b": set()}, [("a", "b")]),
        ({"a": {"b", "c"}, "b": {"c"}, "c": set()}, [("a", "b"), ("b", "c")]),
        (
            {"a": {"b", "d"}, "b": {"c"}, "c": {"d"}, "d": set()},
            [("a", "b"), ("b", "c"), ("c", "d")],
        ),
        ({"a": {"b", "c"}, "b": set(), "c": set()}, [("a", "b"), ("a", "c")]),
    ],
)
def test_an_import_that_follows_from_others_is_no_arrow(imports, arrows):
    assert drawing.needed(imports) == arrows


def test_each_room_has_one_place():
    imports = drawing.read_imports()
    layers = drawing.read_layers((ROOT / "pyproject.toml").read_text("utf-8"), {*imports})
    assert sorted(room for layer in layers for room in layer) == sorted(imports)
    assert "errors" in imports["config"] and "features" in layers[-1]


def test_the_page_has_a_line_on_each_room():
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text("utf-8")
    table = page.partition("| room |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.M)) == sorted(drawing.read_imports())
