"""What all pages have in common: their frame, links, badges, and parts that come later."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from mfx.registry import states
from mfx.registry.client import UnreadableError
from mfx.registry.runs import Results
from mfx.report import html
from mfx.report.html import Html, element
from mfx.ui.answers import Answer, NotFoundError
from mfx.ui.catalog import Catalog

STATIC = Path(__file__).parent / "static"
FILES = {
    "page.css": (html.STYLE, "text/css; charset=utf-8"),
    "ui.css": (STATIC / "ui.css", "text/css; charset=utf-8"),
    "ui.js": (STATIC / "ui.js", "text/javascript; charset=utf-8"),
    "icon.svg": (STATIC / "icon.svg", "image/svg+xml"),
}
"""Files that pages need, by the name under which they are served."""
COUNTS = ("example_count", "weighted_example_count")
"""Metrics that say nothing of the model."""
MENU = {"/": "Runs", "/production": "Production"}
OLDEST_FIRST = "oldest-first"
"""What the list of runs asks a comparison for: differences are from the first run, and the list
begins with the newest."""
_STATES = {states.RUNNING: "info", states.FAILED: "bad", states.KILLED: "warn"}


@dataclass(frozen=True)
class Site:
    """What is shown, and how.

    Args:
        catalog: The runs.
        project: The project's name.
        source: Where the runs' metadata are.
    """

    catalog: Catalog
    project: str
    source: str

    def page(
        self,
        title: str,
        *body: Any,
        at: str = "",
        status: HTTPStatus = HTTPStatus.OK,
        again: bool = False,
    ) -> Answer:
        """A whole page.

        Args:
            title: Of the page.
            body: What it shows.
            at: Its place in the menu.
            status: HTTP's.
            again: Whether there is more to come: browsers without scripts load it again.
        """
        refresh = element("meta", http_equiv="refresh", content="2") if again else None
        head = [
            element("link", rel="stylesheet", href=self._file("ui.css")),
            element("link", rel="icon", href=self._file("icon.svg"), type="image/svg+xml"),
            element("script", src=self._file("ui.js"), defer=True),
            element("noscript", refresh) if refresh else None,
        ]
        style = element("link", rel="stylesheet", href=self._file("page.css"))
        content = element("main", *body, id="main")
        top = self._top(at)
        return Answer(
            html.document(f"{title} · {self.project}", top, content, style=style, head=head),
            status,
        )

    def _top(self, at: str) -> list[Html]:
        links = [
            element("a", name, href=path, aria_current="page" if path == at else None)
            for path, name in MENU.items()
        ]
        kind = self.source.partition("@")[0]
        icon = element("img", src=self._file("icon.svg"), alt="", width=22, height=22)
        return [
            element("a", "To the content", href="#main", class_="skip"),
            element(
                "header",
                element("a", icon, "MFX ", element("span", self.project), href="/", class_="brand"),
                element("nav", links, aria_label="Pages"),
                element("span", f"read-only · {kind} metadata", class_="about", title=self.source),
                class_="top",
            ),
        ]

    def error(self, status: HTTPStatus, what: str, remedy: str) -> Answer:
        """The page that says what went wrong."""
        heading = element("h1", f"{status.value} {status.phrase}")
        return self.page(status.phrase, heading, callout(what, remedy, "bad"), status=status)

    def file(self, name: str, query: str) -> Answer:
        """A file that pages need; what stands after the `?` tells its version."""
        if name not in FILES:
            raise NotFoundError(f"there is no file {name}")
        return Answer(self._files[name], kind=FILES[name][1], keep=True)

    def _file(self, name: str) -> str:
        return f"/static/{name}?{sha256(self._files[name]).hexdigest()[:8]}"

    @cached_property
    def _files(self) -> dict[str, bytes]:
        return {name: path.read_bytes() for name, (path, _) in FILES.items()}


def part(*body: Any) -> Answer:
    """What a page asks for later."""
    return Answer(html.join(body))


def later(target: str, name: str, doing: str) -> Html:
    """A place for a part that the page asks for when it is there.

    Args:
        target: The part's address.
        name: What it shows: without a script it is a link.
        doing: What stands there until then.
    """
    return element(
        "div",
        element("p", f"{doing} {name} …", class_="reading"),
        element("noscript", element("p", element("a", f"Show {name}", href=target))),
        data_part=target,
        data_after=0,
        aria_busy="true",
        aria_live="polite",
    )


def address(path: str, **query: Any) -> str:
    """A path with its query; values that are lists are given once each, empty ones not at all."""
    given = {name: value for name, value in query.items() if value}
    return path + ("?" + urlencode(given, doseq=True) if given else "")


def run_path(flow: str, run: str, *more: str, below: str = "/run") -> str:
    """Where a run's page is, or something of it."""
    return "/".join([below, *(quote(part, safe="") for part in (flow, run, *more))])


def run_link(flow: str, run: str) -> Html:
    """A link to a run's page, by its id."""
    return element("a", run, href=run_path(flow, run), class_="id")


def badge(said: str, kind: str = "", title: str = "") -> Html:
    """A word in a coloured field; `kind` is `good`, `bad`, `warn`, `info` or `live`."""
    return element("span", said, class_=f"badge {kind}".strip(), title=title or None)


def state_badge(state: str) -> Html:
    """What became of a run."""
    return badge(state, _STATES.get(state, ""))


def blessed_badge(blessed: bool | None) -> Html | None:
    """Whether a model was blessed; None if it was not evaluated."""
    if blessed is None:
        return None
    return badge("blessed", "good") if blessed else badge("not blessed", "bad")


def callout(what: str, remedy: str = "", kind: str = "") -> Html:
    """A message that stands out."""
    body = [element("p", line) for line in (*what.splitlines(), remedy) if line]
    return element("div", body, class_=f"callout {kind}".strip(), role="note")


def section(title: str, *body: Any, class_: str = "") -> Html:
    """A titled part of a page."""
    return element("section", element("h2", title), *body, class_=class_ or None)


def facts(found: Iterable[tuple[str, Any]]) -> Html:
    """Names and what they stand for."""
    shown = [(element("dt", name), element("dd", value)) for name, value in found]
    return element("dl", shown, class_="facts")


def tiles(found: Iterable[tuple[Any, Any, Any]], class_: str = "") -> Html:
    """Large figures: each its name, the figure, and a line below it."""
    shown = [
        element(
            "div",
            element("dt", name),
            element("dd", figure, element("div", note, class_="note") if note else None),
            class_="tile",
        )
        for name, figure, note in found
    ]
    return element("dl", shown, class_=f"tiles {class_}".strip())


def moment(when: datetime) -> Html:
    """A time, local, to the minute."""
    exact = when.isoformat(timespec="seconds")
    return element("time", f"{when:%Y-%m-%d %H:%M}", datetime=exact, title=exact)


def moment_of(iso: str) -> Html | str:
    """A time of the log; a dash where there is none."""
    return moment(datetime.fromisoformat(iso).astimezone()) if iso else html.NONE


def as_far_as_read(build: Callable[[Results], Any], found: Results) -> Any:
    """What `build` makes of a run; where a result of it cannot be read, why."""
    try:
        return build(found)
    except UnreadableError as error:
        return callout(error.what, error.remedy, "bad")
