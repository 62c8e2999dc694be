"""Patterns over folders, and lists of paths, on disk and in every storage that lists."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.boxes import BOXES

from mfx.config.data import paths_in
from mfx.errors import MfxError
from mfx.ingest import finding

NAMES = [
    "a.csv",
    "x/trips-1.csv",
    "x/trips-2.csv",
    "x/y/trips-3.csv",
    "x/y/notes.txt",
    "year=2020/month=1/part-0.csv",
    "year=2020/month=2/part-0.csv",
    "year=2021/month=1/part-0.csv",
    "up/x/a.csv",
    "_delta_log/trips-9.csv",
    ".git/trips-9.csv",
]


@pytest.fixture(params=[name for name in BOXES if name != "http"])
def root(request) -> str:
    """The files on one storage: the address of their root."""
    box = BOXES[request.param](request)
    for name in NAMES:
        box.put(name, b"n\n1\n")
    return str(box.place)


PATTERNS = {
    "**/trips-*.csv": ["x/trips-1.csv", "x/trips-2.csv", "x/y/trips-3.csv"],
    "x/**/trips-*.csv": ["x/trips-1.csv", "x/trips-2.csv", "x/y/trips-3.csv"],
    "x/**/**/y/*.csv": ["x/y/trips-3.csv"],
    "x/**": ["x/trips-1.csv", "x/trips-2.csv", "x/y/trips-3.csv"],
    "x/*": ["x/trips-1.csv", "x/trips-2.csv"],
    "*/trips-?.csv": ["x/trips-1.csv", "x/trips-2.csv"],
    "_*/*.csv": ["_delta_log/trips-9.csv"],
    ".g*/**": [".git/trips-9.csv"],
    "**/y/*[!0-9].txt": ["x/y/notes.txt"],
    "year=*/month=1/part-*.csv": [NAMES[5], NAMES[7]],
    "year=2020/**/part-*.csv": [NAMES[5], NAMES[6]],
    "**/month=2/*": [NAMES[6]],
    "year=2020": [NAMES[5], NAMES[6]],
}


def _found(root: str, *paths: str) -> list[str]:
    found = finding.find([f"{root}/{path}" for path in paths])
    return [file.address.removeprefix(f"{root}/") for file in found]


def test_patterns_go_over_folders(root):
    assert {pattern: _found(root, pattern) for pattern in PATTERNS} == PATTERNS


def test_files_come_in_the_order_of_the_list_and_are_read_once(root):
    assert _found(root, "x/**/*.csv", "a.csv") == [*NAMES[1:4], "a.csv"]
    assert _found(root, "a.csv", "x/y/*.csv", "x") == ["a.csv", NAMES[3], *NAMES[1:3]]
    with pytest.raises(MfxError) as caught:
        _found(root, "x/*.csv", "a.csv", "**/trips-2.csv")
    assert caught.value.what == (
        f"{root}/x/trips-2.csv: the same file twice: it is found by {root}/x/*.csv and by "
        f"{root}/**/trips-2.csv"
    )


SAID = {
    "x/gone-*.csv": " (other files: trips-1.csv, …)",
    "y*/**/gone.csv": " (other files: a.csv, …)",
    "year=*/month*": ": folders, such as year=2020/month=1, do not count: end it with /* or /**",
    "up/": "; its folders, such as x, are not looked at: for all files below, give ",
}


def test_nothing_found_is_one_message(root):
    for path, said in SAID.items():
        with pytest.raises(MfxError) as caught:
            _found(root, path)
        assert caught.value.what.startswith(f"{root}/{path}: no input file found")
        assert said in caught.value.what
        assert "--data" in caught.value.remedy


def test_a_file_of_the_patterns_name_is_that_file(request, root):
    storage = finding.parse(f"{root}/") or None
    if storage:
        finding.open_storage(storage).write("[ab].csv", b"n\n2\n")
    else:
        Path(root, "[ab].csv").write_text("n\n2\n")
    assert _found(root, "[ab].csv") == ["[ab].csv"]
    assert _found(root, "[ab]*.csv") == ["a.csv"]


@pytest.fixture
def folder(tmp_path):
    for name in NAMES[:4]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("n\n1\n")
    return tmp_path


@pytest.mark.parametrize("target", ["..", ".", "../../x"])
def test_a_link_that_leads_back_is_one_message(folder, target):
    (folder / "x/y/again").symlink_to(target)
    with pytest.raises(MfxError, match=r"again/: a link that leads back to .*, a folder around"):
        _found(str(folder), "**/*.csv")
    assert _found(str(folder), "x/*.csv") == NAMES[1:3]


def test_two_links_that_lead_to_each_other_are_one_message(tmp_path):
    for name, other in [("a", "b"), ("b", "a")]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "to").symlink_to(f"../{other}")
    with pytest.raises(MfxError, match="leads back to"):
        _found(str(tmp_path), "**/*.csv")


def test_a_file_that_two_links_lead_to_is_found_twice(folder):
    (folder / "z").symlink_to("x")
    with pytest.raises(MfxError, match=r"z/trips-1\.csv: the same file twice: it is .*/x/trips-1"):
        _found(str(folder), "**/*.csv")
    with pytest.raises(MfxError, match="the same file twice: it is found by"):
        _found(str(folder), "x/trips-1.csv", "x/../x/trips-1.csv")


def test_a_lost_link_is_one_message(folder):
    (folder / "x/trips-4.csv").symlink_to("gone")
    (folder / "x/trips-5.csv").symlink_to("trips-5.csv")
    assert _found(str(folder), "x/*[12].csv") == NAMES[1:3]
    for path in ("x", "x/*.csv"):
        with pytest.raises(MfxError, match=r"trips-4\.csv: a link that leads to no file"):
            _found(str(folder), path)


def test_a_folder_that_cannot_be_read_is_one_message(folder, monkeypatch):
    def denied(path):
        if str(path).endswith("/y/"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(MfxError, match="/y/: cannot read the folder: Permission denied") as caught:
        _found(str(folder), "**/*.csv")
    assert "a pattern that does not go through it" in caught.value.remedy


def test_a_pattern_below_no_folder_is_one_message(folder):
    with pytest.raises(MfxError, match=r"/gone/: no such folder"):
        _found(str(folder), "gone/**/*.csv")


def test_the_command_line_may_have_a_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert paths_in("a.csv") == "a.csv"
    assert paths_in("[ab].csv") == "[ab].csv"
    assert paths_in('["a.csv", "b/*.csv"]') == ["a.csv", "b/*.csv"]
    with pytest.raises(MfxError, match="--data: expected a path or a JSON list of paths, found"):
        paths_in("['a.csv']")
    (tmp_path / '["a.csv"]').write_text("")
    assert paths_in('["a.csv"]') == '["a.csv"]'
