"""Links lead somewhere: files, anchors and pictures, in pages and in what the program says."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from functools import cache
from pathlib import Path

import pytest
from helpers.flows import ROOT
from markdown.extensions.toc import slugify

LISTED = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
FILES = subprocess.run(LISTED, cwd=ROOT, capture_output=True, text=True, check=False).stdout
PAGES = sorted(ROOT / name for name in FILES.split("\n") if name.endswith(".md"))
TEXTS = sorted(
    ROOT / name
    for name in FILES.split("\n")
    if name.endswith((".py", ".toml", ".yml", ".yaml", ".sh", ".ipynb", "Makefile", "Dockerfile"))
    and not name.startswith("tests/docs/")
)
LINK = re.compile(r"(?<!\\)\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|(?:src|href)=\"([^\"]+)\"")
NAMED = re.compile(r"(?<![\w/.-])docs/[\w/.-]+\.md(?:#[\w-]+)?")
"""A page of ours, as messages, comments and commands name it."""
FENCED = re.compile(r"^ *```.*?^ *```", re.M | re.S)
HEADING = re.compile(r"^#{1,6} +(.*?)(?: +#+)?$", re.M)


def _plain(heading: str) -> str:
    """A heading's text without its marks."""
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[`*]", "", text)


def _on_github(heading: str) -> str:
    kept = [c for c in _plain(heading).strip().lower() if c.isalnum() or c in " -_"]
    return "".join(kept).replace(" ", "-")


def _on_site(heading: str) -> str:
    return slugify(unicodedata.normalize("NFKD", _plain(heading)), "-")


@cache
def anchors(page: Path) -> set[str]:
    """What may stand after `#`: it must be the same on GitHub and on the site."""
    headings = HEADING.findall(FENCED.sub("", page.read_text()))
    ids = set(re.findall(r"\bid=\"([^\"]+)\"|\{ *#([\w.-]+)", page.read_text()))
    return {_on_github(h) for h in headings} & {_on_site(h) for h in headings} | {
        name for pair in ids for name in pair if name
    }


def dead(page: Path, link: str) -> str:
    """Why a link leads nowhere; empty if it leads somewhere."""
    if re.match(r"[a-z]+:", link):
        return ""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return f"{link}: no such file"
    if not target.is_relative_to(ROOT):
        return f"{link}: outside of the project"
    if anchor and target.suffix == ".md" and anchor not in anchors(target):
        return f"{link}: no such heading; there are {sorted(anchors(target))}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_links_of_a_page_lead_somewhere(page):
    text = re.sub(r"`[^`\n]*`(?!\])", "", FENCED.sub("", page.read_text()))
    links = [one or other for one, other in LINK.findall(text)]
    assert not [why for link in links if (why := dead(page, link))]


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_the_pages_that_a_file_names_are_there(file):
    links = NAMED.findall(file.read_text())
    assert not [why for link in links if (why := dead(ROOT / "README.md", link))]


def test_dead_links_are_found(tmp_path):
    home = ROOT / "docs" / "index.md"
    assert "no such file" in dead(home, "nowhere.md")
    assert "no such heading" in dead(home, "how-to/deploy/index.md#the-confag")
    assert not dead(home, "how-to/deploy/index.md#the-config")
    assert not dead(home, "https://example.com/nowhere")
    assert "outside" in dead(home, "../../")
    assert LINK.findall('[a](b.md#c) ![d](e.png) <img src="f.png">') != []
    assert len(PAGES) > 20 and len(TEXTS) > 100
