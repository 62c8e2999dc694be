"""HTML whose text is text, whatever it says."""

from __future__ import annotations

import re

import pytest

from mfx.report import html
from mfx.report.html import Html, element

EVIL = '<script>alert("1")</script> & \''


def test_text_and_attributes_are_escaped():
    assert element("p", EVIL) == (
        "<p>&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#x27;</p>"
    )
    assert element("a", href='"><b>') == '<a href="&quot;&gt;&lt;b&gt;"></a>'
    assert element("p", Html("<b>ours</b>"), 1, None, False, ["x", ("y",)]) == (
        "<p><b>ours</b>1xy</p>"
    )


def test_attributes_have_names_that_python_allows():
    found = element("input", type="text", class_="a", aria_label="b", disabled=True, value=None)
    assert found == '<input type="text" class="a" aria-label="b" disabled>'
    assert element("meta", name="n") == '<meta name="n">'
    with pytest.raises(ValueError, match="holds nothing"):
        element("br", "text")


def test_html_put_together_with_text_is_text_again():
    """So that what was added has to be escaped too."""
    assert not isinstance(element("b", "x") + EVIL, Html)
    assert element("p", element("b", "x") + "<i>") == "<p>&lt;b&gt;x&lt;/b&gt;&lt;i&gt;</p>"


def test_columns_of_numbers_go_to_the_right():
    found = html.table(["what", "count", "id"], [["a", "1,234", "x1"], ["b", html.NONE, "2"]])
    cells = re.findall(r"<t([dh])([^>]*)>([^<]*)<", found)
    right = [text for _, attributes, text in cells if 'class="n"' in attributes]
    assert right == ["count", "1,234", html.NONE]
    first = html.table(["no.", "x"], [["1", "a"], ["2", "b"]])
    assert 'class="n"' not in first, "what names a row stays at the left"
    assert html.table(["", ""], []).count("<thead>") == 0


def test_a_page_is_one_document():
    page = html.document("a < b", element("main", "text"), style=html.inline_style())
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert "<title>a &lt; b</title>" in page and page.count("<style>") == 1
    assert "http" not in page, "nothing is fetched"
    assert "prefers-color-scheme: dark" in page
