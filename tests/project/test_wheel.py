"""The wheel: all that the library needs and nothing else, and it works from there."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from helpers.flows import ROOT

import mfx
from mfx.config import tomllib

INFO = f"mfx-{mfx.__version__}.dist-info"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built as `make wheel` does, but without asking an index for what builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "build", "--wheel", "--no-build-isolation", "--offline", "--quiet"]
    subprocess.run([*command, "--python", sys.executable, "--out-dir", folder, ROOT], check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def inside(wheel) -> dict[str, bytes]:
    """Each file of the wheel, by its path."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_it_has_each_file_of_the_library_and_no_other(wheel, inside):
    assert wheel.name == f"mfx-{mfx.__version__}-py3-none-any.whl"
    ours = {
        path.relative_to(ROOT / "lib").as_posix(): path.read_bytes()
        for path in (ROOT / "lib" / "mfx").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {"mfx/py.typed", "mfx/deploy/manifests/fetch_models.sh"} <= set(ours)
    assert {name: inside[name] for name in inside if not name.startswith(INFO)} == ours


def test_it_says_what_it_is(inside):
    told = message_from_bytes(inside[f"{INFO}/METADATA"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (told["Name"], told["Version"]) == ("mfx", mfx.__version__)
    assert told["License-Expression"] == "Apache-2.0" and f"{INFO}/licenses/LICENSE" in inside
    assert len([r for r in told.get_all("Requires-Dist") if "extra ==" not in r]) == len(
        project["dependencies"]
    )
    assert set(told.get_all("Provides-Extra")) == set(project["optional-dependencies"])
    assert inside[f"{INFO}/entry_points.txt"].decode().split("\n")[:2] == [
        "[console_scripts]",
        "mfx = mfx.cli:main",
    ]


def called(wheel: Path, code: str, *folders: str) -> str:
    """What code prints whose `mfx` is the wheel's; of other packages it has those in `folders`."""
    path = f"import sys; sys.path[:0] = [{str(wheel)!r}]; sys.path += {folders!r}\n"
    command = [sys.executable, "-I", "-S", "-c", path + code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=wheel.parent)
    return done.stdout


def test_it_needs_no_other_package_to_say_its_version(wheel):
    said = called(wheel, "import mfx; print(mfx.__file__, mfx.__version__)")
    assert said.split() == [f"{wheel}/mfx/__init__.py", mfx.__version__]


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_command_works_from_it_without_tensorflow(wheel, option):
    code = f"""
import contextlib, io, json
import mfx.cli
with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
    mfx.cli.main([{option!r}])
loaded = [m for m in ("tensorflow", "keras", "apache_beam", "metaflow") if m in sys.modules]
print(json.dumps([said.getvalue(), loaded, mfx.cli.__file__]))
"""
    said, loaded, place = json.loads(called(wheel, code, sysconfig.get_path("purelib")))
    assert said.startswith({"--version": f"mfx {mfx.__version__}\n", "--help": "usage: "}[option])
    assert loaded == [] and place.startswith(str(wheel))
