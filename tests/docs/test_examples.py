"""Examples that no test runs as a page: its language and the program accept each at least."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml
from helpers.doc_blocks import Block, _fenced
from helpers.flows import ROOT

from mfx import config
from mfx.cli import make_parser

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGES = [ROOT / "README.md", ROOT / "serving" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = ROOT / "docs" / "reference" / "config.md"
"""Its examples are tried by tests/config/test_reference.py."""
EXAMPLES = [block for page in PAGES if page != GENERATED for block in _fenced(page)]
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))


def of(*languages: str) -> list:
    """The blocks in these languages, as a test's parameters."""
    return [pytest.param(b, id=b.where) for b in EXAMPLES if b.language in languages]


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each `mfx` command of a block."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.startswith((".venv/bin/mfx ", "mfx ")):
            yield shlex.split(line, comments=True)[1:]


def test_every_block_says_its_language():
    assert not [block.where for block in EXAMPLES if not block.language]
    assert len(EXAMPLES) > 60


@pytest.mark.parametrize("block", of("sh"))
def test_a_shell_command_is_one(block):
    checked = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    for words in commands(block):
        make_parser().parse_args(words)  # exits for what it does not know


def test_an_option_that_is_not_there_is_found():
    with pytest.raises(SystemExit):
        make_parser().parse_args(["ls", "--colour"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_target_of_make_is_there(page):
    named = re.findall(r"(?:^|`)make ([a-z][\w-]*)", page.read_text(), re.M)
    assert set(named) <= TARGETS


def merged(base: dict, more: dict) -> dict:
    """Tables of `base` with the keys of `more`."""
    return {
        key: merged(base.get(key, {}), value) if isinstance(value, dict) else value
        for key, value in {**base, **more}.items()
    }


@pytest.mark.parametrize("block", of("toml"))
def test_a_config_is_accepted(block, tmp_path):
    """A part of one is put into the taxi pipeline's."""
    found = tomllib.loads(block.text)
    if "project" in found:
        pytest.skip("an example of pyproject.toml")
    taxi = tomllib.loads((ROOT / "flows" / "taxi" / "config.toml").read_text())
    (tmp_path / "model.py").touch()
    if {"query", "source", "images", "texts"} & set(found.get("data", {})):  # Instead of files.
        del taxi["data"]["path"]
    if "split" in found.get("data", {}):  # It is of one kind, as a whole.
        del taxi["data"]["split"]
    whole = found if {"pipeline", "push"} <= set(found) else merged(taxi, found)
    config.parse(json.dumps(whole), tmp_path / "config.json")


@pytest.mark.parametrize("block", of("python"))
def test_python_compiles(block):
    compile(block.text, block.where, "exec")


@pytest.mark.parametrize("block", of("json", "yaml"))
def test_data_is_read(block):
    assert (json.loads if block.language == "json" else yaml.safe_load)(block.text)
