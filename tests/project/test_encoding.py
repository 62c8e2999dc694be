"""Text files are UTF-8, and every message can be printed on any terminal."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from helpers.flows import ROOT

OURS = [
    path
    for name in ("lib", "flows", "serving", "benchmarks")
    for path in (ROOT / name).rglob("*.py")
]
PROCESSES = {"run", "Popen", "check_output", "call", "check_call"}


def by_locale(code: str) -> Iterator[int]:
    """The lines that read or write text in the encoding of the user's locale."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        words = {word.arg: word.value for word in node.keywords}
        said = [a.value for a in (*node.args, *words.values()) if isinstance(a, ast.Constant)]
        mode = next((w for w in said if isinstance(w, str) and set(w) <= set("rwabxt+")), "")
        found = {
            "read_text": True,
            "write_text": True,
            # `place.open()` and `os.open(path, flags)` have no mode.
            "open": "b" not in mode and bool(mode or isinstance(node.func, ast.Name)),
            "TemporaryFile": bool(mode) and "b" not in mode,
            "NamedTemporaryFile": bool(mode) and "b" not in mode,
            **dict.fromkeys(PROCESSES, bool({"text", "universal_newlines"} & words.keys())),
        }
        if found.get(name) and "encoding" not in words:
            yield node.lineno


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("path.read_text()", True),
        ("path.read_text(encoding='utf-8')", False),
        ("path.write_text(text)", True),
        ("path.open('w')", True),
        ("path.open('rb')", False),
        ("open(path)", True),
        ("open(path, 'r+b')", False),
        ("os.open(path, os.O_RDONLY)", False),
        ("place.open()", False),
        ("TemporaryFile()", False),
        ("TemporaryFile('w+')", True),
        ("subprocess.run(command, text=True)", True),
    ],
)
def test_reading_by_locale_is_found(code, found):
    assert bool(list(by_locale(code))) == found


def test_no_file_is_read_or_written_as_the_locale_has_it():
    assert len(OURS) > 100
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in OURS
        for line in by_locale(path.read_text(encoding="utf-8"))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "given", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONUTF8": "0", "LC_ALL": "C"}]
)
def test_what_a_terminal_has_no_character_for_is_printed_all_the_same(given, tmp_path):
    code = (
        "from mfx import cli\n"
        "from mfx.cli import runs\n"
        "runs._ls = lambda _: '1000 \\u2192 5000 \\u2026 Z\\xfcrich'\n"
        "raise SystemExit(cli.main(['ls']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONCOERCECLOCALE": "0", **given, "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert done.stdout.strip() == rb"1000 \u2192 5000 \u2026 Z\xfcrich"
