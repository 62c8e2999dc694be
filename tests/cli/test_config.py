"""`mfx config`: all tables, a table, a key; near names for what is not there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from helpers.flows import ROOT

from mfx import cli
from mfx.config import reference


@pytest.fixture
def mfx(capsys):
    """Calls `mfx config`; exit code, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["config", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_all_tables_are_a_line_for_each_key(mfx):
    code, said, _ = mfx()
    lines = said.splitlines()
    assert code == 0 and max(map(len, lines)) <= 150
    for section in reference.sections():
        assert f"[{section.name}]" in lines
        for key in section.keys:
            assert sum(line.split()[:1] == [key.name] for line in lines) == 1


def test_a_table(mfx):
    code, said, _ = mfx("schema")
    assert code == 0
    assert said.splitlines()[:4] == [
        "[schema]",
        "The schema that the data must fit.",
        "",
        "key                    default         meaning",
    ]
    assert said.splitlines()[4].startswith('schema.path            "schema.pbtxt"  The committed')


def test_a_key(mfx):
    code, said, _ = mfx("train.steps")
    assert code == 0
    assert said == (
        "train.steps\n"
        "Training steps in all. The command line's `--steps` is used instead, if given.\n"
        "\n"
        "type     a whole number, at least 1\n"
        "default  1000\n"
        "example  [train]\n"
        "         steps = 5000\n"
    )


def test_several_as_an_error_names_them(mfx):
    code, said, _ = mfx("evaluate.thresholds.0.lower", "beam")
    assert code == 0
    assert said.startswith("evaluate.thresholds.lower\n") and "\n\n[beam]\n" in said


def test_a_key_that_is_not_there(mfx):
    code, said, error = mfx("train.stepz")
    assert (code, said) == (1, "")
    assert error.startswith("the config has no key 'train.stepz'; did you mean 'train.steps'")
    assert "mfx config" in error


def test_the_page_is_written(mfx, tmp_path):
    page = tmp_path / "config.md"
    assert mfx("--markdown", str(page)) == (0, f"wrote {page}\n", "")
    assert page.read_bytes() == (ROOT / "docs/reference/config.md").read_bytes()
    code, _, error = mfx("--markdown", str(tmp_path / "gone" / "config.md"))
    assert code == 1 and "cannot write the page: No such file" in error


def test_it_loads_no_tensorflow():
    code = (
        "import sys; from mfx import cli; cli.main(['config', 'train.steps']); "
        "print([name for name in ('tensorflow', 'apache_beam', 'pandas') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "[]"


def test_a_reader_may_stop_reading():
    """As `mfx config | head` does; here nobody reads at all."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "mfx.cli", "config"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
