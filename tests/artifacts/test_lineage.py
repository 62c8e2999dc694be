"""Hashes change exactly when what they stand for does."""

from __future__ import annotations

from mfx.artifacts.lineage import Lineage, hash_bytes, hash_code, hash_file, hash_json


def test_moving_a_boundary_changes_the_hash():
    assert hash_bytes(b"ab", b"c") != hash_bytes(b"a", b"bc")


def test_json_is_hashed_by_content_not_order():
    assert hash_json({"a": 1, "b": [2]}) == hash_json({"b": [2], "a": 1})
    assert hash_json({"a": 1}) != hash_json({"a": 2})


def test_a_file_is_hashed_as_sha256sum_does(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_file(tmp_path / "a") == known


def test_code_is_hashed_by_names_and_contents(tmp_path):
    module = tmp_path / "model.py"
    module.write_text("a = 1\n")
    before = hash_code({"model.py": module})
    assert hash_code({"old/model.py": module}) != before
    module.write_text("a = 2\n")
    assert hash_code({"model.py": module}) != before


def test_lineage_keeps_its_origin_and_names_its_parents():
    made = Lineage("d", "c", "f").derived("p", "q")
    assert made == Lineage("d", "c", "f", ("p", "q"))
