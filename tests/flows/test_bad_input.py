"""A user's mistake gives one clear message and exit code 1, and nothing is pushed.

One run for each place where a run can stop; which mistakes stop it there, tests of the rooms say.
"""

from __future__ import annotations

import re

import pytest
from helpers.flows import ROOT, SAMPLE, call_flow

LINES = SAMPLE.read_text().splitlines()
HEADER, ROWS = LINES[0], LINES[1:601]
COLUMNS = HEADER.split(",")


def _csv(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _without(column: str, *rows: str) -> bytes:
    place = COLUMNS.index(column)
    cells = [line.split(",") for line in (HEADER, *rows)]
    return _csv(*(",".join(row[:place] + row[place + 1 :]) for row in cells))


def _with(column: str, value: str, row: int | None = None) -> list[str]:
    """The rows with one cell, or a whole column, replaced."""
    place = COLUMNS.index(column)
    cells = [line.split(",") for line in ROWS]
    for number, cell in enumerate(cells):
        if row in (None, number):
            cell[place] = value
    return [",".join(cell) for cell in cells]


@pytest.fixture
def stopped(tmp_path):
    """Run the flow on given bytes; its message, after checking that it is one and nothing more."""

    def run(content: bytes | None, *options: str) -> str:
        path = tmp_path / "trips.csv"
        if content is not None:
            path.write_bytes(content)
        pushed = tmp_path / "pushed"
        result = call_flow(
            tmp_path, *options, "run", "--data", str(path), "--destination", str(pushed)
        )
        assert result.code == 1, result.output
        assert "Traceback" not in result.output
        assert result.output.count("The pipeline stopped") == 1, result.output
        assert not pushed.exists()
        return result.output

    return run


def test_a_missing_file(stopped, tmp_path):
    assert f"{tmp_path}/trips.csv: no such file" in stopped(None)


def test_what_is_not_as_the_schema_says(stopped):
    """A column is missing, another has a value out of its domain."""
    message = stopped(_without("trip_miles", *_with("payment_type", "Shells")))
    assert re.search(
        r"- trip_miles \[train\] SCHEMA_MISSING_COLUMN: expected .+; observed", message
    )
    assert "lower presence of 'trip_miles' in the schema" in message
    assert "payment_type [train] ENUM_TYPE_UNEXPECTED_STRING_VALUES" in message
    assert "Shells" in message


def test_text_in_a_numeric_column(stopped):
    message = stopped(_csv(HEADER, *_with("trip_seconds", "ten", row=41)))
    assert "trips.csv, line 43, column 'trip_seconds': expected an integer, found 'ten'" in message


def test_a_label_with_one_class(stopped):
    message = stopped(_csv(HEADER, *_with("tips", "0.0")))
    assert "label 'big_tipper' has one value in the train split: 0" in message


def test_a_wrong_config(tmp_path):
    folder = ROOT / "flows" / "taxi"
    text = (folder / "config.toml").read_text()
    path = tmp_path / "config.toml"
    path.write_text(text.replace("steps =", "stepz =", 1))
    (tmp_path / "model.py").write_text((folder / "model.py").read_text())
    result = call_flow(tmp_path, "--config", "config", str(path), "run")
    assert result.code == 1, result.output
    assert "Traceback" not in result.output
    assert "Workflow starting" not in result.output
    expected = "unknown key 'train.stepz'; did you mean 'steps'?"
    (line,) = [line for line in result.output.splitlines() if expected in line]
    assert line.strip().startswith(f"{path}: ")


def test_paths_start_at_the_config_whatever_it_is_called(tmp_path):
    folder = ROOT / "flows" / "taxi"
    text = (folder / "config.toml").read_text().replace("../../data/taxi/", "")
    (tmp_path / "settings.conf").write_text(text)
    (tmp_path / "model.py").write_text((folder / "model.py").read_text())
    result = call_flow(tmp_path, "--config", "config", str(tmp_path / "settings.conf"), "run")
    assert result.code == 1, result.output
    assert f"{tmp_path}/trips.csv: no such file" in result.output


def test_a_parameter_that_does_not_fit(tmp_path):
    result = call_flow(tmp_path, "run", "--steps", "0")
    assert result.code == 1
    said = "command line: train.steps: expected a whole number, at least 1, found 0"
    assert said in result.output
    assert "Traceback" not in result.output
