"""Any runs side by side: what differs between them, and their metrics on the same rows."""

from __future__ import annotations

from threading import Lock
from typing import Any

from mfx import registry
from mfx.errors import MfxError
from mfx.registry.changes import changes
from mfx.registry.client import UnreadableError, began
from mfx.registry.page import change_section, metric_sections
from mfx.registry.runs import Results
from mfx.report.html import Html, element
from mfx.ui.answers import Answer, Query, WrongQueryError
from mfx.ui.site import (
    OLDEST_FIRST,
    Site,
    address,
    as_far_as_read,
    badge,
    blessed_badge,
    callout,
    later,
    moment,
    part,
    run_link,
    state_badge,
)

MOST = 5
"""Most runs side by side: so many colours can be told apart."""
_KEPT = 20
"""Comparisons that are kept: of finished runs they do not change."""
_kept: dict[tuple[str, ...], list[Html]] = {}
_one_at_a_time = Lock()


def page(site: Site, query: str) -> Answer:
    """The whole page; metrics come later, as an older model may have to answer the rows anew."""
    given = Query(query, ("run", "drift", "order"))
    found = _find(given)
    if given.one("order") == OLDEST_FIRST:
        found.sort(key=lambda one: began(one.run))
    drift = given.one("drift") == "1"
    names = [one.run.pathspec for one in found]
    differing = (
        later(address("/part/drift", run=names), "drift and what else differs", "Measuring")
        if drift
        else _differences(found, drift=False)
    )
    return site.page(
        f"Compare {' and '.join(one.id for one in found)}",
        element("div", element("h1", "Compare"), _links(names, drift), class_="head"),
        element("div", [_about(site, one, n) for n, one in enumerate(found)], class_="sides"),
        later(address("/part/metrics", run=names), "metrics on the same rows", "Comparing"),
        differing,
        later(address("/part/charts", run=names), "differences", "Drawing"),
    )


def metrics(site: Site, query: str) -> Answer:
    """Metrics on the same rows."""
    return part(_compared(site, query)[0])


def charts(site: Site, query: str) -> Answer:
    """Their differences as charts, and metrics of slices."""
    return part(*_compared(site, query)[1:])


def drift(site: Site, query: str) -> Answer:
    """What differs besides metrics, with the drift of the data."""
    return part(_differences(_find(Query(query, ("run",))), drift=True))


def _compared(site: Site, query: str) -> list[Html]:
    """The metrics' sections, or why there are none."""
    found = _find(Query(query, ("run",)))
    names = (site.source, *(one.run.pathspec for one in found))
    with _one_at_a_time:
        if names not in _kept:
            try:
                shown = _metrics(found)
            except MfxError as error:
                if error.is_transient or isinstance(error, UnreadableError):
                    raise
                return [callout(error.what, error.remedy)]
            if len(_kept) >= _KEPT:
                del _kept[next(iter(_kept))]
            _kept[names] = shown
        return _kept[names]


def _metrics(found: list[Results]) -> list[Html]:
    from mfx.registry.comparison import compare_metrics

    return metric_sections(compare_metrics(found), found)


def _find(given: Query) -> list[Results]:
    names = list(dict.fromkeys(given.all("run")))
    if not 2 <= len(names) <= MOST or not all(names):
        raise WrongQueryError(
            f"{len(names)} runs to compare", f"Choose two to {MOST} of the list of runs."
        )
    return [registry.run(name) for name in names]


def _links(names: list[str], drift: bool) -> Html:
    swapped = [names[1], names[0], *names[2:]]
    shown = [element("a", "Swap", href=address("/compare", run=swapped), class_="button")]
    if not drift:
        target = address("/compare", run=names, drift="1")
        about = "Needs TensorFlow Data Validation, which takes some seconds to load"
        shown.append(element("a", "Measure drift", href=target, class_="button", title=about))
    return element("span", shown, class_="badges")


def _about(site: Site, found: Results, number: int) -> Html:
    """A run in a few lines."""
    flow = found.run.pathspec.partition("/")[0]
    heading = element("h2", run_link(flow, found.id))
    return element(
        "section",
        element("p", "The first run" if number == 0 else "Compared with it", class_="note"),
        heading,
        as_far_as_read(lambda one: _outcome(site, one), found),
        element("p", "began ", moment(began(found.run)), class_="note"),
    )


def _outcome(site: Site, found: Results) -> Html:
    evaluation = found.evaluation
    served = found.settings and site.catalog.production([found.place])[found.place]
    shown = [
        badge("in production", "live") if served == found.id else None,
        state_badge(found.state),
        blessed_badge(evaluation.blessing.blessed if evaluation else None),
    ]
    return element("p", shown, class_="badges")


def _differences(found: list[Results], drift: bool) -> list[Any]:
    """What differs from the first run, for each other one."""
    first, *others = found
    return [
        as_far_as_read(lambda other: change_section(changes(first, other, drift)), one)
        for one in others
    ]
