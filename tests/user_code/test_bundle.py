"""All files that a pipeline's module needs are found, however it imports them."""

from __future__ import annotations

import pytest

from mfx import environment
from mfx.errors import MfxError
from mfx.user_code import bundle


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a pipeline in `flows/mine`, set up as by its flow."""
    folder = tmp_path / "flows" / "mine"
    folder.mkdir(parents=True)
    monkeypatch.setattr(environment, "_project", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "flows"))
    return tmp_path


def write(project, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = project / "flows" / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def names(project) -> set[str]:
    return set(bundle.collect(project / "flows" / "mine" / "model.py", "mine").files())


HELPER = {"helper.py": "SHARE = 0.2\n"}
BY_NAME = "from importlib import import_module\nimport_module"
PACKAGE = {"parts/__init__.py": "", "parts/a.py": "from .b import B\n", "parts/b.py": "B = 1\n"}
PARTS = {"parts/__init__.py", "parts/a.py", "parts/b.py"}


@pytest.mark.parametrize(
    ("line", "others", "expected"),
    [
        ("import helper", HELPER, {"helper.py"}),
        ("from helper import SHARE", HELPER, {"helper.py"}),
        ("from .helper import SHARE", HELPER, {"helper.py"}),
        ("from . import helper", HELPER, {"helper.py"}),
        ("def f():\n    if 1:\n        import helper as h", HELPER, {"helper.py"}),
        ("try:\n    import helper\nexcept ImportError:\n    pass", HELPER, {"helper.py"}),
        ("import importlib\nimportlib.import_module('helper')", HELPER, {"helper.py"}),
        (f"{BY_NAME}('.helper', __package__)", HELPER, {"helper.py"}),
        ("__import__('helper')", HELPER, {"helper.py"}),
        (f"{BY_NAME}('hel' + 'per')", HELPER, {"helper.py"}),
        ("import parts.a", PACKAGE, PARTS),
        ("from parts import a", PACKAGE, PARTS),
        ("from parts.a import B", PACKAGE, PARTS),
        ("from parts import *", PACKAGE, PARTS),
        ("import one", {"one.py": "import two", "two.py": "import one"}, {"one.py", "two.py"}),
        ("import bare.x", {"bare/x.py": ""}, {"bare/x.py"}),
        ("import tipping", {"../tipping.py": "import more", "../more.py": ""},
         {"flows/tipping.py", "flows/more.py"}),
        ("import helper", {**HELPER, "../helper.py": "no"}, {"helper.py"}),
        ("import keras, os, mfx.features, json", {"json.py": "broken("}, set()),
        ("WORDS = 'words.txt'", {"words.txt": "a"}, {"words.txt"}),
        ("open(HERE / 'lists' / 'words.txt')", {"lists/words.txt": "a"}, {"lists/words.txt"}),
        ("open('lists/words.txt')", {"lists/words.txt": "a"}, {"lists/words.txt"}),
        ("run_path('job.py')", {"job.py": "import helper", **HELPER}, {"job.py", "helper.py"}),
        ("x = 1", {**HELPER, "words.txt": "a", "config.toml": ""}, set()),
    ],
)  # fmt: skip
def test_what_is_found(project, line, others, expected):
    write(project, {"model.py": line + "\n", **others})
    assert names(project) == {"model.py", *expected}


def test_what_is_installed_is_not_the_projects(project, monkeypatch):
    """Even if the virtual environment is inside the project."""
    installed = project / ".venv" / "lib" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "theirs.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(installed))
    write(project, {"model.py": "import theirs\n"})
    assert names(project) == {"model.py"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (\n", r"helper\.py, line 1: SyntaxError: "),
        ("x\0y", r"helper\.py.*: (SyntaxError|not valid Python): "),
    ],
)
def test_a_file_that_is_not_python_is_one_message(project, text, message):
    write(project, {"model.py": "import helper\n", "helper.py": text})
    with pytest.raises(MfxError, match=message):
        names(project)


def test_equal_files_have_one_package_and_other_files_another(project):
    write(project, {"model.py": "import helper\n", **HELPER})
    module = project / "flows" / "mine" / "model.py"
    first = bundle.collect(module, "mine").package
    assert bundle.collect(module, "mine").package == first
    (project / "flows" / "mine" / "helper.py").write_text("SHARE = 0.3\n")
    assert bundle.collect(module, "mine").package != first
