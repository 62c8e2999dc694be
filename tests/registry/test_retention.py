"""`[push] keep`: old versions are removed, but not the served one; all can be restored."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.promotions import promote, rollback
from helpers.pushes import push_folder
from hypothesis import given, settings
from hypothesis import strategies as st

from mfx.destinations import open_destination
from mfx.destinations.local import LocalDestination
from mfx.errors import MfxError
from mfx.registry.promotion import begin, finish, read_view
from mfx.registry.retention import retain, retain_or_warn


@pytest.fixture
def taxi(place):
    return open_destination(place, "taxi")


def foreign(taxi, folder: Path) -> int:
    """A version that something else pushed."""
    folder.mkdir()
    (folder / "saved_model.pb").write_text("somebody else's")
    return push_folder(taxi, folder)


def test_the_oldest_beyond_n_go(taxi):
    versions = [promote(taxi, run).version for run in "12345"]
    assert retain(taxi, 3, versions[-1]) == versions[:2]
    assert taxi.versions() == versions[2:]
    assert retain(taxi, 3, versions[-1]) == []
    assert read_view(taxi).current.version == versions[-1]
    assert taxi.staged() == {}


def test_fewer_than_n_all_stay(taxi):
    versions = [promote(taxi, run).version for run in "12"]
    assert retain(taxi, 2, versions[-1]) == retain(taxi, 5, versions[-1]) == []
    assert taxi.versions() == versions


def test_the_one_just_pushed_stays_though_others_came_since(taxi):
    """The version in production stays too."""
    versions = [promote(taxi, run).version for run in "1234"]
    assert retain(taxi, 1, versions[1]) == [versions[0], versions[2]]
    assert taxi.versions() == [versions[1], versions[3]]


def test_what_something_else_put_there_is_not_ours_to_remove(taxi, tmp_path):
    theirs = foreign(taxi, tmp_path / "theirs")
    ours = [promote(taxi, run).version for run in "123"]
    served = foreign(taxi, tmp_path / "served")
    assert retain(taxi, 1, ours[-1]) == ours[:2]
    assert taxi.versions() == [theirs, ours[-1], served]


def test_numbers_are_not_used_again(taxi):
    versions = [promote(taxi, run).version for run in "123"]
    retain(taxi, 1, versions[-1])
    assert promote(taxi, "4").version > versions[-1]


def test_what_was_removed_can_be_rolled_back_to_while_another_version_has_its_bytes(taxi):
    promote(taxi, "1")
    promote(taxi, "2")
    back = rollback(taxi)
    newest = promote(taxi, "3")
    assert len(retain(taxi, 2, newest.version)) == 2
    assert rollback(taxi).digest == back.digest


def test_a_slow_promoter_finds_its_version_replaced_and_removed(taxi):
    """Another process finished its intent, then pushed and removed versions: nothing is undone."""
    first = promote(taxi, "1")
    newest = [promote(taxi, run) for run in "23"][-1]
    retain(taxi, 1, newest.version)
    assert finish(taxi, first) == first
    assert taxi.versions() == [newest.version] and begin(taxi).current.run == "3"


def test_the_log_is_as_it_was(taxi):
    versions = [promote(taxi, run).version for run in "123"]
    retain(taxi, 2, versions[-1])
    assert [entry.version for entry in read_view(taxi).served] == versions
    assert retain_or_warn(taxi, None, versions[-1]) == ""
    assert retain_or_warn(taxi, 2, versions[-1]) == ""


def test_what_was_removed_is_remarked_and_a_failure_is_no_error(tmp_path, monkeypatch):
    taxi = LocalDestination(tmp_path / "taxi")
    versions = [promote(taxi, run).version for run in "1234"]
    shown = ", ".join(map(str, versions[:2]))
    with monkeypatch.context() as patch:

        def fail(*_):
            raise PermissionError(13, "Permission denied")

        patch.setattr(Path, "rename", fail)
        said = retain_or_warn(taxi, 2, versions[-1])
        assert said.startswith("older versions could not be removed: ")
        assert said.endswith("cannot remove: Permission denied")
        with pytest.raises(MfxError, match="cannot remove"):
            retain(taxi, 2, versions[-1])
    assert (
        retain_or_warn(taxi, 2, versions[-1])
        == f"older versions removed ([push] keep = 2): {shown}"
    )
    assert check_kept(taxi) == "4"


def check_kept(taxi) -> str:
    """The run in production; its files have the hash in the log."""
    view = read_view(taxi)
    assert taxi.digest(view.current.version) == view.current.digest
    return view.current.run


@settings(max_examples=25, deadline=None)
@given(
    pushes=st.lists(st.sampled_from(["ours", "theirs"]), min_size=1, max_size=7),
    keep=st.integers(1, 4),
    data=st.data(),
)
def test_never_the_served_the_pushed_or_a_foreign_one(tmp_path_factory, pushes, keep, data):
    folder = tmp_path_factory.mktemp("retention")
    taxi = LocalDestination(folder / "taxi")
    made = {
        promote(taxi, str(number)).version
        if kind == "ours"
        else foreign(taxi, folder / str(number)): kind
        for number, kind in enumerate(pushes)
    }
    pushed = data.draw(st.sampled_from(sorted(made)))
    removed = retain(taxi, keep, pushed)
    left = taxi.versions()
    ours = [version for version in sorted(made) if made[version] == "ours"]
    assert sorted(removed + left) == sorted(made)
    assert {pushed, max(made), *ours[-keep:]} <= set(left)
    assert {version for version in made if made[version] == "theirs"} <= set(left)
    assert len([v for v in left if made[v] == "ours"]) <= keep + 1
    shutil.rmtree(folder)
