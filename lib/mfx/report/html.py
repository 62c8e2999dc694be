"""HTML for the pages that people look at: elements whose text is escaped, tables, one look.

`element` escapes all that is not `Html` already. So text from runs (tags, slices, messages, paths)
cannot become markup, wherever it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

STYLE = Path(__file__).parent / "page.css"
"""The look of all pages, light and dark; nothing in it is fetched from elsewhere."""
NONE = "—"
"""Shown where there is nothing."""
_NUMBER = re.compile(r"[+-]?[\d,]+(\.\d+)?(e[+-]?\d+)?( ?%)?")
_EMPTY = {"input", "link", "meta", "br", "img"}
"""Elements that hold nothing."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, /, *children: Any, **attributes: Any) -> Html:
    """An element; its text and its attributes are escaped.

    Args:
        tag: Such as `td`.
        children: Texts, `Html`, lists of these; None and False stand for nothing.
        attributes: An underscore at a name's end is left out, others become `-` (`class_`,
            `aria_label`). True is an attribute without a value; None and False leave it out.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if tag in _EMPTY:
        return Html(f"<{tag}{given}>") if not children else _no_children(tag)
    return Html(f"<{tag}{given}>{join(children)}</{tag}>")


def join(children: Iterable[Any]) -> Html:
    """Texts, `Html` and lists of these, one after the other."""
    return Html("".join(map(_child, children)))


def table(
    headers: Sequence[Any], rows: Iterable[Sequence[Any]], caption: str = "", class_: str = ""
) -> Html:
    """A table, columns of numbers to the right; it scrolls by itself where the page is narrow.

    Args:
        headers: One for each column, texts or `Html`; all empty for a table without a head.
        rows: Cells, texts or `Html`; the first of a row names it.
        caption: What the table holds, for people who cannot see it.
        class_: Of the table.
    """
    rows = [list(row) for row in rows]
    kinds = ["n" if _are_numbers(column) else None for column in zip(*rows, strict=True)]
    kinds = [None, *kinds[1:]] if kinds else [None] * len(headers)
    head = [
        element("th", cell, scope="col", class_=kind)
        for cell, kind in zip(headers, kinds, strict=True)
    ]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            [element("td", cell, class_=k) for cell, k in zip(row[1:], kinds[1:], strict=True)],
        )
        for row in rows
    ]
    return element(
        "div",
        element(
            "table",
            element("caption", caption, class_="unseen") if caption else None,
            element("thead", element("tr", head)) if any(headers) else None,
            element("tbody", body),
            class_=class_ or None,
        ),
        class_="wide",
    )


def document(title: str, *body: Any, style: Html, language: str = "en", head: Any = None) -> Html:
    """A whole page.

    Args:
        title: Of the page.
        body: What it shows.
        style: Its `style` or `link` element.
        language: Of its text.
        head: What else goes into its head.
    """
    whole = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("title", title),
            style,
            head,
        ),
        element("body", *body),
        lang=language,
    )
    return Html(f"<!doctype html>\n{whole}")


def inline_style() -> Html:
    """The look of all pages, for a page that is one file."""
    return element("style", Html("\n" + STYLE.read_text(encoding="utf-8")))


def _child(child: Any) -> str:
    if child is None or child is False:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, (list, tuple)):
        return join(child)
    return escape(str(child))


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def _are_numbers(column: Sequence[Any]) -> bool:
    """Whether all cells are numbers, signs and digits' separators left out."""
    texts = [cell for cell in column if cell != NONE]
    return bool(texts) and all(isinstance(cell, str) and _NUMBER.fullmatch(cell) for cell in texts)


def _no_children(tag: str) -> Html:
    raise ValueError(f"<{tag}> holds nothing")
