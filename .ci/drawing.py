"""Make the drawing of the architecture from the code: `make drawing`.

The steps and their artifacts are read from the flow. The packages ("rooms") and arrows are the
library's real imports. The layers are those that `make lint` checks. Equal code gives equal bytes.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import grimp

from mfx.config import tomllib

ROOT = Path(__file__).resolve().parents[1]
FLOW = ROOT / "flows" / "pipeline.py"
TARGET = ROOT / "docs" / "images" / "architecture.svg"

WIDTH, SIDE = 1080, 24
INK, SOFT, LINE = "#1f2933", "#616e7c", "#aab4bf"
PAPER, PLAIN, OF_STEP = "#ffffff", "#eef1f5", "#cfe3f7"
LETTER = 5.6
"""The approximate width of a letter in a note."""
PLUMBING = {"made", "settings"}
"""Artifacts that steps only use among themselves. They are not shown."""


@dataclass
class Step:
    """A step of the flow.

    Args:
        name: The step's name.
        leaves: The artifacts that it sets.
        each: The list for which the step has one task per member; empty for a single task.
    """

    name: str
    leaves: list[str] = field(default_factory=list)
    each: str = ""


def read_steps(code: str) -> list[Step]:
    """The steps of a flow, in order, from the text of its file."""
    (flow,) = (node for node in ast.parse(code).body if isinstance(node, ast.ClassDef))
    steps, lists = {}, {}
    for method in (node for node in flow.body if isinstance(node, ast.FunctionDef)):
        names = dict.fromkeys(name for node in ast.walk(method) for name in _set_on_self(node))
        steps[method.name] = Step(method.name, list(names))
        for call in (node for node in ast.walk(method) if isinstance(node, ast.Call)):
            for word in call.keywords:
                if word.arg == "foreach":
                    lists[ast.unparse(call.args[0]).removeprefix("self.")] = word.value.value
    for name, each in lists.items():
        steps[name].each = each
    hidden = PLUMBING | {*lists.values()}
    for step in steps.values():
        step.leaves = [name for name in step.leaves if name not in hidden]
    return list(steps.values())


def _set_on_self(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr


def read_imports() -> dict[str, set[str]]:
    """For each room, the rooms that its modules import."""
    graph = grimp.build_graph("mfx", exclude_type_checking_imports=True, cache_dir=None)
    rooms = sorted(graph.find_children("mfx"))
    return {
        room.removeprefix("mfx."): {
            other.removeprefix("mfx.")
            for other in rooms
            if other != room
            and graph.direct_import_exists(importer=room, imported=other, as_packages=True)
        }
        for room in rooms
    }


def needed(imports: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The imports without those that follow from others: if a > b and b > c, then not a > c."""

    def below(room: str) -> set[str]:
        return imports[room].union(*(below(other) for other in imports[room]))

    return [
        (room, other)
        for room in sorted(imports)
        for other in sorted(imports[room])
        if not any(other in below(between) for between in imports[room] - {other})
    ]


def read_layers(pyproject: str, rooms: set[str]) -> list[list[str]]:
    """The rooms of each layer, from top to bottom, as in the import contract.

    Rooms that are not in the contract are put in the lowest layer.
    """
    contracts = tomllib.loads(pyproject)["tool"]["importlinter"]["contracts"]
    (lines,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    layers = [line.split(" : ") for line in lines]
    layers[-1] += sorted(rooms - {room for layer in layers for room in layer})
    return layers


class Drawing:
    """Shapes of an SVG, and the text of its file."""

    def __init__(self) -> None:
        self._shapes: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, fill: str) -> None:
        """Add a box; `x` and `y` are its upper left corner."""
        self._shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6" '
            f'fill="{fill}" stroke="{LINE}"/>'
        )

    def text(self, x: float, y: float, text: str, kind: str) -> None:
        """Add a line of text, centred at `x`; `kind` is a class of the style."""
        self._shapes.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>')

    def arrow(self, start: float, end: float, y: float) -> None:
        """Add an arrow to the right."""
        self._shapes.append(
            f'<path d="M{start:.1f} {y:.1f}H{end - 6:.1f}" stroke="{SOFT}"/>'
            f'<path d="M{end - 7:.1f} {y - 4:.1f}L{end:.1f} {y:.1f}l-7 4z" fill="{SOFT}"/>'
        )

    def svg(self, height: float) -> str:
        """The file's text."""
        style = (
            "text{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif;text-anchor:middle}"
            f".name{{font-size:14px;fill:{INK}}}.note{{font-size:11.5px;fill:{SOFT}}}"
            f".title{{font-size:15px;font-weight:600;fill:{INK}}}"
        )
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
            f'width="{WIDTH}" height="{height:.0f}" role="img" '
            'aria-label="The steps of the flow, and the rooms of the library in layers">',
            f"<style>{style}</style>",
            f'<rect width="{WIDTH}" height="{height:.0f}" rx="8" fill="{PAPER}"/>',
            *self._shapes,
            "</svg>\n",
        ]
        return "\n".join(lines)


def draw_flow(drawing: Drawing, steps: Sequence[Step], top: float) -> float:
    """Draw the steps from left to right, each with its artifacts below; return the lower end."""
    gap, height, line, behind = 26, 34, 16, 6
    width = (WIDTH - 2 * SIDE - gap * (len(steps) - 1)) / len(steps)
    for number, step in enumerate(steps):
        x = SIDE + number * (width + gap)
        if number:
            shown = behind if steps[number - 1].each else 0
            drawing.arrow(x - gap + shown, x, top + height / 2)
        # Several tasks are shown as several boxes.
        for shift in (behind, behind / 2, 0) if step.each else (0,):
            drawing.box(x + shift, top - shift, width, height, OF_STEP)
        drawing.text(x + width / 2, top + 22, step.name, "name")
        if step.each:
            one = step.each.removesuffix("s")
            drawing.text(x + width / 2, top - 14, f"one task per {one}", "note")
        for count, name in enumerate(step.leaves, 1):
            drawing.text(x + width / 2, top + height + 4 + line * count, name, "note")
    return top + height + 4 + line * max(len(step.leaves) for step in steps)


def draw_rooms(
    drawing: Drawing,
    layers: Sequence[Sequence[str]],
    arrows: Sequence[tuple[str, str]],
    steps: set[str],
    top: float,
) -> float:
    """Draw the rooms, one row per layer, with the names of their imports; return the lower end."""
    gap, height = 8, 48
    for row, layer in enumerate(layers):
        y = top + row * (height + gap)
        width = (WIDTH - 2 * SIDE - gap * (len(layer) - 1)) / len(layer)
        for number, room in enumerate(layer):
            x = SIDE + number * (width + gap)
            drawing.box(x, y, width, height, OF_STEP if room in steps else PLAIN)
            imported = ", ".join(other for one, other in arrows if one == room)
            lines = textwrap.wrap(imported and f"→ {imported}", int((width - 12) / LETTER))
            first = y + (29, 21, 17)[len(lines)]
            drawing.text(x + width / 2, first, room, "name")
            for count, line in enumerate(lines, 1):
                drawing.text(x + width / 2, first + 4 + 12.5 * count, line, "note")
    return top + len(layers) * (height + gap)


def draw() -> str:
    """The drawing as the text of an SVG."""
    drawing = Drawing()
    steps, imports = read_steps(FLOW.read_text("utf-8")), read_imports()
    drawing.text(WIDTH / 2, 34, "The flow: its steps, and what each leaves", "title")
    end = draw_flow(drawing, steps, 82)
    drawing.text(
        WIDTH / 2,
        end + 46,
        "The library: its rooms in layers; imports (→) point down or beside",
        "title",
    )
    layers = read_layers((ROOT / "pyproject.toml").read_text("utf-8"), {*imports})
    names = {step.name for step in steps}
    end = draw_rooms(drawing, layers, needed(imports), names, end + 64)
    return drawing.svg(end + SIDE - 8)


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(draw(), encoding="utf-8")
    print(TARGET.relative_to(ROOT))
