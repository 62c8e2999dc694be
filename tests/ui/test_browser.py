"""What a person sees and clicks, in a headless Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from helpers.browser import browsing, chromium
from helpers.pages import TAG

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
)
PAGES = ("/", "/production", "/run/Pipeline/{one}", "/run/Pipeline/{one}/data")
PAGES += ("/run/Pipeline/{two}/cards", "/compare?run={one}&run={two}", "/nowhere")
NAME = """e => e.ariaLabel || e.title || e.innerText || e.querySelector("[aria-label]")?.ariaLabel
    || [...(e.labels || [])].map(label => label.innerText).join()"""
"""What a screen reader calls an element, about."""
SECONDS = 60_000
"""Longest wait in milliseconds: the machine may be busy."""


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with browsing() as started:
        yield started


class Watched:
    """A page, and what it did that it should not have done."""

    def __init__(self, browser, address: str, **options) -> None:
        self.page = browser.new_context(**options).new_page()
        self.page.set_default_timeout(SECONDS)
        self.address = address.rstrip("/")
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._note_request)
        self.page.on("console", self._note_message)

    def _note_request(self, request) -> None:
        if not request.url.startswith((self.address, "data:")):
            self.wrong.append(f"asked for {request.url}")

    def _note_message(self, message) -> None:
        # A card's script may try what it likes.
        from_card = "/card/" in message.location["url"]
        if message.type == "error" and "404 (Not Found)" not in message.text and not from_card:
            self.wrong.append(f"said: {message.text}")

    def open(self, path: str):
        self.page.goto(self.address + path)
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until all parts have come."""
        self.page.wait_for_selector("[aria-busy=true]", state="detached")


@pytest.fixture
def watch(browser, ask) -> Iterator:
    """Opens pages; at the end none of them has done what it should not."""
    opened: list[Watched] = []

    def open_one(**options) -> Watched:
        opened.append(Watched(browser, ask.address, **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.page.context.close()
        assert one.wrong == []


def test_two_runs_are_chosen_and_compared(watch, world):
    seen = watch()
    page = seen.open("/")
    button = page.locator("#compare")
    assert button.is_disabled() and button.inner_text() == "Compare: choose two"
    for name in ("one", "two"):
        page.get_by_label(f"Compare run {world.ids[name]}").check()
    assert button.inner_text() == "Compare 2 runs"
    button.click()
    page.wait_for_url(re.compile("/compare"))
    seen.settle()
    assert page.locator("h1").inner_text() == "Compare"
    assert page.get_by_role("heading", name="Metrics", exact=True).is_visible()
    page.get_by_role("link", name="Swap").click()
    page.wait_for_url(re.compile(f"run=Pipeline%2F{world.ids['two']}&run="))


def test_what_is_ticked_and_has_the_keyboard_stays_when_the_list_comes_anew(watch, world):
    page = watch().open("/")
    page.wait_for_function("!document.body.innerText.includes('being read')")
    box = page.get_by_label(f"Compare run {world.ids['one']}")
    box.check()
    box.focus()
    old = page.locator("table.runs").element_handle()
    page.evaluate("load(document.querySelector('[data-part^=\"/part/runs\"]'))")
    page.wait_for_function("old => !old.isConnected", arg=old)
    assert box.is_checked()
    assert page.evaluate("document.activeElement.value") == f"Pipeline/{world.ids['one']}"


def test_a_search_leaves_what_fits(watch, world):
    page = watch().open("/")
    page.get_by_role("searchbox").fill("failed")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("q=failed"))
    page.wait_for_function("!document.body.innerText.includes('being read')")
    shown = [link.inner_text() for link in page.locator("table.runs tbody th a").all()]
    assert shown == [world.ids["failed"]]
    page.get_by_role("link", name="Show all").click()
    page.wait_for_url(re.compile("/$"))


def test_a_run_is_looked_at_from_all_sides(watch, world):
    seen = watch()
    page = seen.open("/")
    page.get_by_role("link", name=world.ids["tagged"]).click()
    page.wait_for_url(re.compile("/run/"))
    assert TAG in page.locator("dl.facts").inner_text()
    for tab in ("Schema and anomalies", "Slices", "Cards", "Overview"):
        page.get_by_role("link", name=tab, exact=True).click()
        current = page.locator(".tabs [aria-current=page]")
        current.filter(has_text=tab).wait_for()
        seen.settle()


def test_a_card_is_shown_and_reaches_nothing(watch, world):
    seen = watch()
    page = seen.open(f"/run/Pipeline/{world.ids['two']}/cards")
    card = page.frame_locator("iframe").locator("#said")
    card.filter(has_text="kept in").wait_for()
    assert card.inner_text() == "drawn refused refused refused kept in"
    page.goto(page.evaluate("document.querySelector('iframe').src"))
    alone = page.locator("#said")
    alone.filter(has_text="kept in").wait_for()
    assert alone.inner_text() == "drawn reached refused refused kept in", "itself alone"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_narrow_window_and_can_be_named(watch, world, path):
    """Nothing sticks out, and whatever can be used says to a screen reader what it is."""
    page = watch(viewport={"width": 360, "height": 640}).open(path.format(**world.ids))
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
    for one in page.locator("a:visible, button:visible, input:visible, iframe").all():
        name = one.evaluate(NAME)
        assert name.strip(), one.evaluate("e => e.outerHTML")
    assert page.locator("h1").count() == 1 and page.locator("main").count() == 1


def test_the_chart_of_runs_leads_to_them(watch):
    page = watch().open("/")
    page.wait_for_function("!document.body.innerText.includes('being read')")
    point = page.locator(".trend a").last  # The uppermost: runs of one minute cover each other.
    address = point.get_attribute("xlink:href")
    assert address.startswith("/run/Pipeline/")
    point.click()
    page.wait_for_url(f"**{address}")


def test_light_and_dark_are_as_the_system_is(watch):
    colors = {}
    for scheme in ("light", "dark"):
        page = watch(color_scheme=scheme).open("/")
        colors[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light, dark = (sum(map(int, re.findall(r"\d+", colors[s]))) for s in ("light", "dark"))
    assert light > 600 and dark < 150


def test_the_keyboard_comes_to_the_content_at_once(watch):
    page = watch().open("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "To the content"
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")


def test_without_scripts_all_is_there(watch, world):
    page = watch(java_script_enabled=False).page
    page.goto(watch().address + "/")
    assert page.locator("table.runs").get_by_role("link", name=world.ids["one"]).is_visible()
    page.get_by_label(f"Compare run {world.ids['one']}").check()
    page.get_by_label(f"Compare run {world.ids['two']}").check()
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url(re.compile("/compare"))
    page.get_by_role("link", name="Show metrics on the same rows").click()
    page.get_by_text("0.7500").first.wait_for()
