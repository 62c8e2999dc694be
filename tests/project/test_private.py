"""Private names of a library are used in one `_private.py`, with the versions checked."""

from __future__ import annotations

import ast
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from helpers.flows import ROOT

LIB = ROOT / "lib" / "mfx"
FILES = sorted(LIB.rglob("_private.py"))
INTERNAL = re.compile(
    r"keras\.src|apache_beam\.runners|aiohttp\.web_|tfx_bsl\.(?!public)"
    r"|tensorflow_transform\.(?!beam$)|tensorflow_data_validation\."
    r"|tensorflow_model_analysis\.(?!proto$)|tensorflow\.python"
)
"""Modules that are in no library's documentation."""


def _checked(path: Path) -> dict[str, tuple[str, ...]]:
    """The libraries of a `_private.py`, with the versions for which it was checked."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CHECKED":
            return ast.literal_eval(node.value)
    raise AssertionError(f"{path} does not say CHECKED, the versions it was checked with")


CASES = [(path, *facts) for path in FILES for facts in _checked(path).items()]
EACH = pytest.mark.parametrize(("path", "library", "checked"), CASES, ids=[c[1] for c in CASES])


def _complaint(path: Path, library: str, checked: tuple[str, ...], found: set[str]) -> str:
    """What to do about versions that were not checked; '' if all were."""
    if not (new := found - {*checked}):
        return ""
    name = path.relative_to(ROOT)
    return (
        f"{name} was checked with {library} {' and '.join(checked)}, not with "
        f"{' and '.join(sorted(new))}.\nLook through {name}: is each name in it still there, and "
        "does it mean the same? Then add the version to CHECKED."
    )


@EACH
def test_the_installed_version_was_checked(path, library, checked):
    if complaint := _complaint(path, library, checked, {version(library)}):
        pytest.fail(complaint, pytrace=False)


@EACH
def test_the_locked_versions_of_both_stacks_were_checked(path, library, checked):
    lock = (ROOT / "uv.lock").read_text()
    locked = set(re.findall(rf'^name = "{library}"\nversion = "(.+)"', lock, re.MULTILINE))
    assert locked
    if complaint := _complaint(path, library, checked, locked):
        pytest.fail(complaint, pytrace=False)


def test_another_version_is_said_plainly():
    path = LIB / "serve" / "http" / "_private.py"
    assert _complaint(path, "aiohttp", ("3.14.5",), {"3.14.5"}) == ""
    said = _complaint(path, "aiohttp", ("3.14.5",), {"3.14.5", "3.15.0"})
    assert said.startswith(
        "lib/mfx/serve/http/_private.py was checked with aiohttp 3.14.5, not with 3.15.0.\n"
        "Look through lib/mfx/serve/http/_private.py: "
    )


def test_a_library_has_one_file():
    libraries = [library for _, library, _ in CASES]
    assert libraries and len(libraries) == len({*libraries})


def _outside(tree: ast.Module) -> list[str]:
    """The private names and internal modules that a module uses."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
            owner = ast.unparse(node.value)
            if owner not in ("self", "cls", "other", "super()") and node.attr not in OURS:
                found.append(f"line {node.lineno}: .{node.attr}")
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found += [f"line {node.lineno}: {name}" for name in names if INTERNAL.match(name)]
    return found


OURS = {"_replace"}
"""Names of named tuples: they begin with an underscore, but are public."""


OTHERS = sorted({*LIB.rglob("*.py")} - {*FILES})


@pytest.mark.parametrize("path", OTHERS, ids=lambda p: p.relative_to(LIB).as_posix())
def test_no_other_module_uses_what_is_private(path):
    assert not _outside(ast.parse(path.read_text()))
