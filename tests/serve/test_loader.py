"""Loaders of versions: any loader for `Versions`, and Triton's files without Triton."""

from __future__ import annotations

import shutil

import pytest
from helpers.serving_models import small_model

from mfx.destinations import open_destination
from mfx.errors import MfxError
from mfx.serve.parameters import BatchingParameters
from mfx.serve.triton.server import TritonLoader
from mfx.serve.versions import AVAILABLE, END, Versions


class Recorder:
    """A loader, and the versions that it loads."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def load(self, source, version):
        if version == 3:
            raise OSError("no such file\nand more")
        self.done.append(f"load {version}")
        outer = self

        class Loaded:
            def close(self):
                outer.done.append(f"close {version}")

        return Loaded()


@pytest.fixture
def place(tmp_path):
    return open_destination(str(tmp_path / "pushed"), "small")


def test_any_loader_is_told_what_to_load_and_what_to_close(place):
    loader = Recorder()
    versions = Versions("small", place, loader)
    for version in (1, 2, 3):
        place.folder(version).mkdir(parents=True)
        versions.poll()
    assert loader.done == ["load 1", "load 2", "close 1"]
    assert versions.served() == [2]
    said = {s.version: (s.state, s.message) for s in versions.status()}
    assert said == {1: (END, ""), 2: (AVAILABLE, ""), 3: (END, "no such file")}
    versions.stop_polling()
    assert loader.done[-1] == "close 1", "loaded versions are still served"
    versions.stop()
    assert loader.done[-1] == "close 2"


class FakeTriton:
    """Refuses the versions that it is told to refuse."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.broken = False

    def load(self, model, action="load"):
        if self.broken:
            raise MfxError("cannot be loaded")
        self.asked.append((model, action))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize(
    ("keep", "asked"), [(1, ["load", "load", "unload"]), (2, ["load"] * 3 + ["unload"])]
)
def test_triton_has_links_and_a_configuration(place, model, tmp_path, keep, asked):
    triton, folder = FakeTriton(), tmp_path / "small"
    folder.mkdir()
    loader = TritonLoader(folder, triton, keep, BatchingParameters())
    loaded = []
    for version in (1, 2):
        shutil.copytree(model, place.folder(version))
        loaded.append(loader.load(place, version))
        assert (folder / str(version) / "model.savedmodel").resolve() == place.folder(version)
    text = (folder / "config.pbtxt").read_text()
    assert ("versions: [2]" if keep == 1 else "version_policy { all {} }") in text
    for each in loaded:
        each.close()
    assert sorted(path.name for path in folder.iterdir()) == ["config.pbtxt"]
    assert triton.asked == [("small", action) for action in asked]
    assert (place.folder(1) / "saved_model.pb").is_file()


def test_a_version_that_triton_refuses_leaves_nothing(place, model, tmp_path):
    triton, folder = FakeTriton(), tmp_path / "small"
    folder.mkdir()
    loader = TritonLoader(folder, triton, 1, BatchingParameters())
    for version in (1, 2):
        shutil.copytree(model, place.folder(version))
    loader.load(place, 1)
    before = (folder / "config.pbtxt").read_text()
    triton.broken = True
    with pytest.raises(MfxError, match="cannot be loaded"):
        loader.load(place, 2)
    assert sorted(path.name for path in folder.iterdir()) == ["1", "config.pbtxt"]
    assert (folder / "config.pbtxt").read_text() == before
