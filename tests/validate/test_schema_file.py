"""The committed schema: absent, good, broken; replaced in one step."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfx.errors import MfxError
from mfx.validate import schema_file

TEXT = """feature { name: "n" type: INT }
feature { name: "x" type: FLOAT }
feature { name: "w" type: BYTES }
"""


def test_no_file_is_no_schema(tmp_path):
    assert schema_file.read(tmp_path / "schema.pbtxt") is None
    assert schema_file.column_types(tmp_path / "schema.pbtxt") == {}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", ("int64", False)),
        ("value_count { min: 1 max: 1 }", ("int64", True)),
        ("value_count { min: 0 max: 1 }", ("int64", True)),
        ("value_count { min: 1 }", ("int64 list", True)),
        ("value_count { min: 1 max: 5 }", ("int64 list", True)),
        ("shape { }", ("int64", True)),
        ("shape { dim { size: 1 } }", ("int64", True)),
        (
            "shape { dim { size: 28 } dim { size: 28 } } presence { min_fraction: 1 }",
            ("int64 list", True),
        ),
    ],
)
def test_a_schema_says_whether_a_row_has_several_values(tmp_path, said, expected):
    path = tmp_path / "schema.pbtxt"
    path.write_text(f'feature {{ name: "n" type: INT {said} }}')
    assert schema_file.column_types(path) == {"n": expected}


def test_a_written_schema_reads_back(tmp_path):
    path = tmp_path / "schema.pbtxt"
    schema_file.write(path, TEXT)
    assert path.read_text() == TEXT
    assert [feature.name for feature in schema_file.read(path).feature] == ["n", "x", "w"]
    assert schema_file.column_types(path) == {
        "n": ("int64", False),
        "x": ("float32", False),
        "w": ("bytes", False),
    }
    schema_file.write(path, TEXT.replace("INT", "FLOAT"))
    assert schema_file.column_types(path)["n"].kind == "float32"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_schema(tmp_path, monkeypatch):
    path = tmp_path / "schema.pbtxt"
    schema_file.write(path, TEXT)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        schema_file.write(path, "other")
    assert path.read_text() == TEXT


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'feature { name: "n"\n  tipe: INT }\n', "2:"),
        (b"feature {", "not a schema"),
        (b"caf\xe9", "not a schema"),
    ],
    ids=["unknown field", "open brace", "latin-1"],
)
def test_a_broken_file_is_one_error(tmp_path, content, expected):
    path = tmp_path / "schema.pbtxt"
    path.write_bytes(content)
    for read in (schema_file.read, schema_file.column_types):
        with pytest.raises(MfxError) as error:
            read(path)
        assert error.value.what.startswith(f"{path}: not a schema in protobuf text format: ")
        assert expected in error.value.what
        assert "delete the file" in error.value.remedy


@pytest.mark.parametrize("kind", ["", "type: STRUCT"])
def test_a_feature_that_no_column_can_be_is_one_error(tmp_path, kind):
    path = tmp_path / "schema.pbtxt"
    path.write_text(f'feature {{ name: "n" {kind} }}')
    with pytest.raises(MfxError, match=r"schema\.pbtxt: feature 'n'"):
        schema_file.column_types(path)
