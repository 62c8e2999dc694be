"""An error in the user's files is one message: file, line, its text, what the code was given."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mfx.errors import MfxError
from mfx.user_code.failures import MOST_NAMES, listed, running


def call(folder: Path, text: str, function: str = "go", names=(), about: str = "", given=()):
    """Run a function of a file with this text."""
    path = folder / "model.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("users", path)
    module = importlib.util.module_from_spec(spec)
    with running(path, function, names, about):
        spec.loader.exec_module(module)
        return getattr(module, function)(*given)


def message(folder: Path, text: str, **given) -> str:
    with pytest.raises(MfxError) as caught:
        call(folder, text, **given)
    assert isinstance(caught.value.__cause__, Exception)
    assert caught.value.remedy.startswith("Set MFX_TRACEBACK=1 ")
    return caught.value.what


def test_a_result_is_handed_through(tmp_path):
    assert call(tmp_path, "def go(x):\n    return x + 1\n", given=(2,)) == 3


def test_the_line_and_those_that_led_to_it(tmp_path):
    text = "def inner(x):\n    return x['fare']\n\ndef go():\n    return inner({})\n"
    found = message(tmp_path, text, names=["fares", "tips"], about="Columns: fares, tips")
    assert found.splitlines() == [
        f"{tmp_path}/model.py, line 2, in inner: KeyError: 'fare'; did you mean 'fares'?",
        "    return x['fare']",
        f"called from {tmp_path}/model.py, line 5, in go: return inner({{}})",
        "Columns: fares, tips",
    ]


def test_a_title_with_spaces_is_named(tmp_path):
    found = message(tmp_path, "def go():\n    return {}['value']\n", names=[" value", "day"])
    assert "KeyError: 'value'; did you mean ' value'?" in found
    assert listed("Columns", {" value": "bytes", "day": "int64"}) == (
        "Columns: ' value' bytes, day int64"
    )


def test_many_columns_are_not_all_listed():
    shown = listed("Columns", {f"c{n}": "int64" for n in range(MOST_NAMES + 5)})
    assert shown.endswith("and 5 more")
    assert listed("Columns", {}) == "Columns: none"


@pytest.mark.parametrize(
    ("text", "line", "error"),
    [
        ("def go(:\n", 1, "SyntaxError: invalid syntax"),
        ("x = 1\nimport no_such_package\n", 2, "ModuleNotFoundError: No module named"),
        ("def go():\n    return open('/nowhere/words.txt')\n", 2, "FileNotFoundError:"),
        ("def go():\n    go()\n", 2, "RecursionError:"),
    ],
)
def test_any_error_of_the_file_itself(tmp_path, text, line, error):
    found = message(tmp_path, text)
    assert found.startswith(f"{tmp_path}/model.py, line {line}")
    assert error in found
    assert len(found.splitlines()) < 12


def test_a_file_beside_it_is_the_users_too(tmp_path, monkeypatch):
    (tmp_path / "words.py").write_text("def count(x):\n    return len(x)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = message(tmp_path, "from words import count\ndef go():\n    return count(3)\n")
    assert f"{tmp_path}/words.py, line 2, in count: TypeError" in found
    assert f"called from {tmp_path}/model.py, line 3, in go: return count(3)" in found


def test_an_error_outside_of_it_names_what_ran(tmp_path):
    found = message(tmp_path, "def go(x):\n    pass\n")
    assert found.startswith(f"{tmp_path}/model.py: go: TypeError: go() missing 1 required")


@pytest.mark.parametrize(
    "error", [MemoryError(), ConnectionResetError(), TimeoutError(), OSError("disk full")]
)
def test_what_may_pass_is_left_as_it_is(tmp_path, error):
    with pytest.raises(type(error)), running(tmp_path / "model.py", "fit"):
        raise error


def test_tensorflows_words_without_what_is_around_them(tmp_path):
    class InvalidArgumentError(Exception):
        pass

    said = (
        "Exception encountered when calling layer 'x' (type Y).\n\nGraph execution error:\n\n"
        "Detected at node model/Reshape defined at (most recent call last):\n"
        f'  File "/elsewhere/run.py", line 3, in <module>\n  File "{tmp_path}/model.py", line 1, '
        "in call\n\x1b[1mInput to reshape has 6 values\x1b[0m\n\t [[{{node model/Reshape}}]] "
        "[Op:__inference_9]\n\nCall arguments received by layer 'x' (type Y):\n  • inputs=[1, 2]"
    )
    (tmp_path / "model.py").write_text("return tf.reshape(x, [3, 7])\n")
    with pytest.raises(MfxError) as caught, running(tmp_path / "model.py", "fit"):
        raise InvalidArgumentError(said)
    assert caught.value.what.splitlines() == [
        f"{tmp_path}/model.py, line 1, in call: InvalidArgumentError: Input to reshape has 6 values"
        " (in model/Reshape)",
        "    return tf.reshape(x, [3, 7])",
    ]


def test_our_own_messages_and_whole_tracebacks_pass_through(tmp_path, monkeypatch):
    with pytest.raises(MfxError, match="ours"), running(tmp_path / "model.py", "fit"):
        raise MfxError("ours")
    monkeypatch.setenv("MFX_TRACEBACK", "1")
    with pytest.raises(KeyError):
        call(tmp_path, "def go():\n    return {}[1]\n")
