"""Files beside a pipeline's module can be imported, and other pipelines do not get them."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys

import pytest

from mfx import environment
from mfx.user_code import bundle, bundle_import
from mfx.user_code.portable_function import PortableFunction

HELPER = "import json\nSHARE = 0.2\n\ndef share():\n    return SHARE\n"
PARTS = {"parts/__init__.py": "from . import a\n", "parts/a.py": "from helper import SHARE as S\n"}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Loads a pipeline from files; `../` is the flow's folder."""
    monkeypatch.setattr(environment, "_project", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "flows"))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))

    def load(model: str, files: dict[str, str], name: str = "mine"):
        folder = tmp_path / "flows" / name
        for file, text in {"model.py": model, **files}.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return bundle_import.load(bundle.collect(folder / "model.py", name))

    return load


@pytest.mark.parametrize(
    "line",
    [
        "from helper import share",
        "import helper; share = helper.share",
        "import helper as h; share = h.share",
        "from .helper import share",
        "from . import helper; share = helper.share",
        "def share():\n    import helper\n    return helper.share()",
        "import parts.a; share = lambda: parts.a.S",
        "from parts.a import S; share = lambda: S",
        "from parts import a; share = lambda: a.S",
        "from parts import *; share = lambda: a.S",
        "import importlib; share = importlib.import_module('.helper', __package__).share",
        "from tipping import share",
        "import statistics, json; from helper import share; assert statistics.mean([1, 3]) == 2",
    ],
)
def test_ways_to_import(make, line):
    module = make(line + "\n", {"helper.py": HELPER, "../tipping.py": HELPER, **PARTS})
    assert module.share() == 0.2
    assert "helper" not in sys.modules and "tipping" not in sys.modules


def test_what_is_not_there_is_pythons_own_error(make):
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        make("import nowhere\n", {})
    with pytest.raises(ImportError, match="cannot import name 'LESS'"):
        make("from helper import LESS\n", {"helper.py": HELPER})


def test_two_pipelines_keep_their_helpers(make):
    """Even if helpers have the same name and are only imported in a call."""
    model = "def share():\n    import helper\n    return helper.SHARE\n"
    first = make(model, {"helper.py": "SHARE = 1\n"}, "first")
    second = make(model, {"helper.py": "SHARE = 2\n"}, "second")
    assert [first.share(), second.share(), first.share()] == [1, 2, 1]


def test_an_edit_counts_at_once(make):
    """The edit has the same length and second: compiled files would not notice it."""
    for share in (1, 2, 3):
        assert (
            share == make("from helper import SHARE\n", {"helper.py": f"SHARE = {share}\n"}).SHARE
        )


def test_a_process_without_the_files_has_them_all(make, tmp_path):
    module = make(
        "from helper import share\nfrom tipping import MORE\n"
        "def twice(x):\n    import parts.a\n    return x * (share() + MORE + parts.a.S)\n",
        {"helper.py": HELPER, "../tipping.py": "MORE = 1\n", **PARTS},
    )
    (tmp_path / "function.pickle").write_bytes(pickle.dumps(PortableFunction(module, "twice")))
    shutil.rmtree(tmp_path / "flows")
    script = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb'))(10))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "function.pickle")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "14.0", done.stderr
