"""The pages over HTTP, as a browser asks for them."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest
from helpers.pages import REASON, TAG, serving
from requests import RequestException

PAGES = ("/", "/production", "/run/Pipeline/{one}", "/run/Pipeline/{one}/data")
PAGES += ("/run/Pipeline/{one}/slices", "/run/Pipeline/{one}/cards", "/compare?run={one}&run={two}")
PARTS = ("/part/runs", "/part/course", "/part/production", "/part/metrics?run={one}&run={two}")
PARTS += ("/part/slices/Pipeline/{one}", "/part/charts?run={one}&run={two}")
PARTS += ("/part/drift?run={one}&run={two}",)


class Words(HTMLParser):
    """The text of a page, and the names of its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_data(self, data):
        self.words.append(data)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read_all(ask, path="/part/runs") -> str:
    """The list of runs when all have been read."""
    for _ in range(100):
        text = ask(path).text
        if not re.search("still being read|Reading where", text):
            return text
        time.sleep(0.1)
    raise AssertionError(text)


def row(text: str, run: str) -> str:
    """A run's row of the list."""
    (found,) = [line for line in re.findall("<tr>.*?</tr>", text, re.DOTALL) if f'/{run}"' in line]
    return found


@pytest.mark.parametrize("path", [*PAGES, *PARTS])
def test_a_page_is_there_whole_and_does_nothing_by_itself(ask, world, path):
    got = ask(path.format(**world.ids))
    assert got.status == 200, Words(got.text).text
    found = Words(got.text)
    assert "Traceback" not in found.text
    assert "style=" not in got.text and "<style" not in got.text and "onclick" not in got.text
    assert "unsafe-inline" not in got.headers["Content-Security-Policy"]
    assert not re.search(r'(src|href)="(?:https?:)?//', got.text), "nothing from elsewhere"
    assert got.text.startswith("<!doctype html>") == (path in PAGES)


def test_each_run_is_listed_as_what_it_is(ask, world):
    text = read_all(ask)
    ids = world.ids
    assert text.count('type="checkbox"') == len(ids)
    shown = {name: Words(row(text, run)).text for name, run in ids.items()}
    assert "finished" in shown["two"] and "0.7500" in shown["two"] and "blessed" in shown["two"]
    assert "in production" in shown["one"] and "in production" not in shown["two"]
    assert "failed" in shown["failed"] and "running" in shown["running"]
    assert "unreadable" in shown["unreadable"]
    assert "'evaluation' of step 'evaluate' cannot be read" in shown["unreadable"]
    assert Words(text).text.startswith(f"{len(ids)} runs")


def test_what_comes_from_runs_is_text(ask, world):
    pages = [ask(f"/run/Pipeline/{world.ids['tagged']}"), ask("/production"), ask("/?q=%3Cb%3E%22")]
    assert TAG in Words(pages[0].text).text and REASON in Words(pages[1].text).text
    for got in pages:
        assert not re.search('<script>|<img src=x|<b>"', got.text)
        assert Words(got.text).tags.count("script") == 1, "our own"


def test_the_list_is_filtered_by_text_and_pipeline(ask, world):
    read_all(ask)
    found = ask("/part/runs?q=FAILED").text
    assert world.ids["failed"] in found and world.ids["one"] not in found
    assert "1 run<" in found
    assert world.ids["tagged"] in ask("/part/runs?q=alert").text
    assert "No run fits" in ask("/part/runs?q=nothing+of+this").text
    assert f"{len(world.ids)} runs" in ask("/part/runs?pipeline=small").text
    assert "No run fits" in ask("/part/runs?pipeline=other").text


def test_a_run_tells_how_it_went(ask, world):
    text = Words(ask(f"/run/Pipeline/{world.ids['one']}").text).text
    assert "start" in text and "in production" in text and "at least 0.5" in text
    assert "In the log of promotions" in text and "0.7500" in text
    failed = Words(ask(f"/run/Pipeline/{world.ids['failed']}").text).text
    assert "stopped here" in failed and "validate" in failed
    unreadable = Words(ask(f"/run/Pipeline/{world.ids['unreadable']}").text).text
    assert "cannot be read from the datastore" in unreadable and "Steps" in unreadable


def test_runs_are_compared(ask, world):
    ids = world.ids
    page = ask(f"/compare?run={ids['one']}&run={ids['two']}").text
    assert f"run {ids['two']} against run {ids['one']}" in Words(page).text
    path = re.search(r'data-part="(/part/metrics[^"]*)"', page)[1].replace("&amp;", "&")
    metrics = ask(path)
    assert metrics.status == 200 and "0.7500" in metrics.text
    started = time.monotonic()
    assert ask(path).text == metrics.text
    assert time.monotonic() - started < 5, "kept"
    stopped = ask(f"/part/metrics?run={ids['one']}&run={ids['failed']}")
    assert stopped.status == 200 and "has no &#x27;examples&#x27;" in stopped.text


def test_production_says_what_is_live_and_what_was(ask, world):
    text = read_all(ask, "/part/production")
    said = Words(text).text
    assert "rollback" in said and "complaints" in said and "live" in said
    assert [int(n) for n in re.findall(r'<th scope="row">(\d)</th>', text)] == [3, 2, 1]
    assert text.count("<rect") == 3
    assert text.index(world.ids["one"]) < text.index(world.ids["two"])


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nowhere", 404, "there is no page /nowhere"),
        ("/run/Pipeline/999", 404, "no run Pipeline/999"),
        ("/run/Nothing/1", 404, "no run Nothing/1"),
        ("/run/..%2F..%2Fetc/passwd", 404, "no run"),
        ("/card/Pipeline/{one}/start/1/0", 404, "has no card 0"),
        ("/static/..%2Fapp.py", 404, "there is no file"),
        ("/?page=0", 400, "Expected a whole number from 1"),
        ("/?page=1&page=2", 400, "page is given 2 times"),
        ("/?color=red", 400, "unknown parameter 'color'"),
        ("/?q=%ff", 400, "cannot be read"),
        ("/compare", 400, "0 runs to compare"),
        ("/compare?run={one}", 400, "1 runs to compare"),
        ("/compare?run={one}&run=999", 404, "no run"),
        ("/part/metrics?run={one}&run={unreadable}", 502, "cannot be read from the datastore"),
        ("/part/slices/Pipeline/{unreadable}", 502, "cannot be read from the datastore"),
    ],
)
def test_what_cannot_be_shown_is_one_message(ask, world, path, status, said):
    got = ask(path.format(**world.ids))
    assert got.status == status
    assert said in Words(got.text).text and "Traceback" not in got.text
    assert "<h1>" in got.text, "a page like the others"


def test_a_metadata_service_that_is_gone_is_said_with_502(ask, world, monkeypatch):
    from mfx.registry import client, runs

    def gone(*_):
        with client.asking():
            raise RequestException("refused")

    monkeypatch.setattr(client, "source", lambda: "service@http://metadata")
    monkeypatch.setattr("metaflow.get_metadata", lambda: "service@http://metadata")
    monkeypatch.setattr(runs, "newest", gone)
    time.sleep(1.1)  # the list that was read holds so long
    got = ask("/")
    assert got.status == 502
    assert "metadata service at http://metadata: refused" in Words(got.text).text


def test_no_runs_is_no_error(world, tmp_path, monkeypatch):
    from metaflow import metadata

    from mfx.ui import app

    (tmp_path / ".metaflow").mkdir()
    monkeypatch.setenv("METAFLOW_DATASTORE_SYSROOT_LOCAL", str(tmp_path))
    metadata(f"local@{tmp_path}")
    with serving(app.open_server(port=0)) as ask:
        for path in ("/", "/production"):
            got = ask(path)
            assert got.status == 200 and "no run of " in Words(got.text).text
