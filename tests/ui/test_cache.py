"""What is kept on disk of finished runs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from helpers.pages import SUMMARY as ONE

from mfx.ui.cache import Cache


def test_what_is_kept_comes_back_as_it_was(tmp_path):
    two = replace(ONE, run="2", place=None, blessed=None, rows=None, version=None)
    Cache(tmp_path, "here").save("Pipeline", [ONE])
    Cache(tmp_path, "here").save("Pipeline", [two])
    assert Cache(tmp_path, "here").load("Pipeline") == {"1": ONE, "2": two}
    assert Cache(tmp_path, "here").load("Other") == {}
    assert Cache(tmp_path, "elsewhere").load("Pipeline") == {}, "other runs may have these ids"
    (folder,) = tmp_path.iterdir()
    assert [file.name for file in folder.iterdir()] == ["Pipeline.json"]


def test_only_what_cannot_change_is_kept(tmp_path):
    changing = [replace(ONE, state=state) for state in ("running", "failed", "killed", "unknown")]
    Cache(tmp_path, "here").save("Pipeline", [*changing, replace(ONE, unreadable="gone")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spoil", ["not JSON", "other version", "lacks a field", "a list"])
def test_a_file_that_cannot_be_read_is_as_none(tmp_path, spoil):
    cache = Cache(tmp_path, "here")
    cache.save("Pipeline", [ONE])
    (file,) = tmp_path.rglob("*.json")
    given = json.loads(file.read_text())
    if spoil == "other version":
        given["known"][0] = "0.0.1"
    if spoil == "lacks a field":
        del given["runs"]["1"]["created"]
    if spoil == "a list":
        given["runs"]["1"] = []
    file.write_text("{" if spoil == "not JSON" else json.dumps(given))
    assert cache.load("Pipeline") == {}
    cache.save("Pipeline", [replace(ONE, run="3")])
    assert set(cache.load("Pipeline")) <= {"1", "3"}


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file", "here")
    cache.save("Pipeline", [ONE])
    assert cache.load("Pipeline") == {}
    nothing = Cache(None, "here")
    nothing.save("Pipeline", [ONE])
    assert nothing.load("Pipeline") == {}
