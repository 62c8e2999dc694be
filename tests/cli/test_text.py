"""Tables: aligned, one line for each row in a pipe, fitted to a terminal."""

import sys

import pytest

from mfx.cli import text

ROWS = [("7", "a reason of many words", "1,200"), ("12", "short", "3")]
HEADERS = ["NO", "WHY", "ROWS"]


@pytest.fixture
def terminal(monkeypatch):
    """Gives standard output a terminal of a width."""

    def of(width: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(width))

    return of


def test_numbers_are_to_the_right_and_text_to_the_left():
    assert text.table(ROWS, HEADERS).splitlines() == [
        "NO  WHY                      ROWS",
        " 7  a reason of many words  1,200",
        "12  short                       3",
    ]


def test_in_a_pipe_a_row_is_one_line_however_long(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    lines = text.table([("a", "x" * 300)], ["A", "B"]).splitlines()
    assert lines == ["A  B", "a  " + "x" * 300]


def test_in_a_narrow_terminal_long_text_goes_on_below(terminal):
    """25 columns, of which 2, 5 and twice 2 are taken: 14 are left for the reason."""
    terminal(25)
    assert text.table(ROWS, HEADERS).splitlines() == [
        "NO  WHY              ROWS",
        " 7  a reason of     1,200",
        "    many words",
        "12  short               3",
    ]


def test_a_wide_terminal_changes_nothing(terminal):
    plain = text.table(ROWS, HEADERS)
    terminal(80)
    assert text.table(ROWS, HEADERS) == plain and "\x1b" not in plain


def test_numbers_are_never_folded_and_no_column_is_too_narrow(terminal):
    terminal(5)
    lines = text.table([("1796088148231185", "a long reason")], ["RUN", "WHY"]).splitlines()
    assert lines == [
        "             RUN  WHY",
        "1796088148231185  a long",
        "                  reason",
    ]


def test_characters_of_two_columns_keep_what_follows_aligned(terminal):
    lines = text.table([("出租车", "a"), ("taxi", "b")]).splitlines()
    assert lines == ["出租车  a", "taxi    b"]
    terminal(20)
    lines = text.table([("出租车" * 6, "b" * 3)]).splitlines()
    assert lines == ["出租车出租车出   bbb", "租车出租车出租", "车出租车"]


def test_nothing_is_no_table():
    assert text.table([]) == ""
    assert text.table([], ["A", "B"]) == "A  B"
