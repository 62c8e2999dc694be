"""What stands after the `?` of an address."""

from __future__ import annotations

import pytest

from mfx.ui.answers import CARD, OWN, Answer, Query, WrongQueryError


def test_values_are_given_by_name():
    given = Query("q=a+b%20c&run=1&run=2&page=3", ("q", "run", "page", "other"))
    assert given.one("q") == "a b c" and given.all("run") == ["1", "2"]
    assert given.number("page", 1) == 3
    assert (given.one("other", "x"), given.all("other"), given.number("other", 7)) == ("x", [], 7)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "", "9999999999", "²", "1e3"])
def test_a_number_is_a_whole_one_from_1(text):
    with pytest.raises(WrongQueryError, match="page="):
        Query(f"page={text}", ("page",)).number("page", 1)


def test_what_is_not_known_is_an_error():
    with pytest.raises(WrongQueryError, match="unknown parameter 'b'") as caught:
        Query("a=1&b=2", ("a",))
    assert caught.value.remedy == "This page takes a."
    with pytest.raises(WrongQueryError, match="cannot be read"):
        Query("&".join(f"a={n}" for n in range(50)), ("a",))


def test_a_card_may_run_its_script_and_nothing_else():
    headers = Answer("x", policy=CARD).headers
    assert headers["Content-Security-Policy"].startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in CARD and "connect-src" not in CARD
    assert "default-src 'none'" in CARD and "default-src 'none'" in OWN
    assert Answer("é").headers["Content-Length"] == "2"
    assert "max-age" in Answer("x", keep=True).headers["Cache-Control"]
