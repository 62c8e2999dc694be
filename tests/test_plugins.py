"""Members that other packages add by entry points, and those without any."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from helpers.flows import ROOT

from mfx.destinations import DESTINATIONS
from mfx.errors import MfxError
from mfx.export import TARGETS
from mfx.ingest.sources import SOURCES
from mfx.plugins import Registry
from mfx.push.servers import SERVERS

GROUP = "mfx.toys"
OWN = {"first": "json:JSONDecoder", "second": "json:JSONEncoder"}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A function that puts a package with entry points on the path, as an installer does."""

    def install(package: str, **entries: str) -> None:
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
        (folder / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}")

    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_toy.py").write_text("import no_such_module\n")
    return install


def toys() -> Registry:
    return Registry(GROUP, "toy", OWN)


def test_own_members_need_no_installed_package():
    assert toys().names() == ["first", "second"]
    assert toys().get("second") is json.JSONEncoder


def test_another_packages_members_stand_behind_our_own(installed):
    installed("zebra", added="json:loads", above="json:dumps")
    assert toys().names() == ["first", "second", "above", "added"]
    assert toys().get("added") is json.loads


def test_what_is_installed_of_this_library_changes_nothing(installed):
    """The metadata of an old version beside newer code."""
    installed("mfx", first="json:gone", other="json:gone")
    assert toys().names() == ["first", "second"]
    assert toys().get("first") is json.JSONDecoder


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"zebra": "first"}, r"^toy first: two packages have one with this name: mfx and zebra\n"),
        (
            {"zebra": "new", "aardvark": "new"},
            r"^toy new: two packages have one with this name: aardvark and zebra\nUninstall one",
        ),
    ],
)
def test_a_clash_of_names_names_both_packages(others, said, installed):
    for package, name in others.items():
        installed(package, **{name: "json:loads"})
    for look in (toys().names, lambda: toys().get("second")):
        with pytest.raises(MfxError, match=said):
            look()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("broken_toy:Toy", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("json:Toy", "AttributeError: module 'json' has no attribute 'Toy'"),
    ],
)
def test_a_member_that_cannot_be_loaded_names_its_package(value, why, installed):
    installed("zebra", toy=value)
    assert toys().get("first") is json.JSONDecoder, "others are not in its way"
    with pytest.raises(MfxError) as caught:
        toys().get("toy")
    assert caught.value.what == f"toy toy of the package zebra cannot be loaded from {value}: {why}"


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(MfxError) as caught:
        toys().get("secnod")
    assert caught.value.what == "secnod: no toy has this name; did you mean 'second'?"
    assert caught.value.remedy == "There are: first, second."


@pytest.mark.parametrize(
    "registry", [SOURCES, TARGETS, DESTINATIONS, SERVERS], ids=lambda registry: registry.group
)
def test_this_librarys_own_can_be_loaded(registry):
    assert all(registry.get(name) for name in registry._own)


def test_a_copy_without_metadata_knows_its_own(tmp_path):
    """The library in a container, as Metaflow's code package brings it."""
    (tmp_path / "mfx").symlink_to(ROOT / "lib" / "mfx")
    code = """
import importlib.metadata, sys
importlib.metadata.Distribution.discover = lambda **_: iter(())
from mfx.push.servers import SERVERS
print(SERVERS.names(), SERVERS.get("mfx").title)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("['mfx', ") and done.stdout.endswith("mfx serve\n")
