"""The documentation as a site: it builds without a warning and needs nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from helpers.flows import ROOT

from mfx import artifacts, registry

LOADED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=\"?((?:https?:)?//[^\s\">]+)"
)
"""What a browser fetches by itself; links, which readers follow, are none."""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_the_site(site):
    pages = {p.relative_to(ROOT / "docs").with_suffix("") for p in (ROOT / "docs").rglob("*.md")}
    built = {p.relative_to(site).with_suffix("") for p in site.rglob("*.html")}
    assert pages <= built
    assert len(pages) > 20


def test_nothing_is_fetched_from_elsewhere(site):
    asked = {
        (str(page.relative_to(site)), address)
        for page in site.rglob("*.html")
        for address in LOADED.findall(page.read_text())
    }
    assert not asked
    styles = "".join(p.read_text() for p in site.rglob("*.css"))
    assert not re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//[^)]*", styles)


def test_no_page_has_a_diagram_that_a_script_from_elsewhere_would_draw():
    """The theme takes mermaid from unpkg.com."""
    drawn = [p for p in (ROOT / "docs").rglob("*.md") if re.search(r"```\s*mermaid", p.read_text())]
    assert not drawn


def test_what_would_be_fetched_is_found():
    found = LOADED.findall('<script src=https://unpkg.com/x.js></script><a href="https://a.b">')
    assert found == ["https://unpkg.com/x.js"]


def test_the_python_reference_has_all_that_is_public(site):
    """Each function and class that the page on what is public names, and what modules list."""
    page = (site / "reference" / "python-api.html").read_text()
    described = set(re.findall(r'id="(mfx[\w.]*)"', page))
    policy = (ROOT / "docs" / "reference" / "api-policy.md").read_text()
    named = {name for name in re.findall(r"`(mfx(?:\.\w+)+)`", policy) if callable(found(name))}
    listed = {f"{m.__name__}.{name}" for m in (registry, artifacts) for name in m.__all__}
    assert len(named) > 10
    assert not sorted((named | listed) - described)


def found(name: str) -> object:
    """What a dotted name stands for; None for a module."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module), attribute, None)
    except ModuleNotFoundError:  # an entry point's group
        return None


def test_lists_blocks_and_tables_are_rendered(site):
    """Python's Markdown wants four spaces below `1.`, and an empty line before a list or a table;
    else its marks end up in the text."""
    left = [
        (page.name, paragraph[:80])
        for page in site.rglob("*.html")
        for paragraph in re.findall(r"<p>(.*?)</p>", page.read_text(), re.S)
        if re.search(
            r"^\s*(?:\d+\. |[-*] |```|\|.*\|\s*$)", re.sub(r"<[^>]*>", "", paragraph), re.M
        )
    ]
    assert not left
