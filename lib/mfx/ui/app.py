"""The pages put together: which address shows what."""

from __future__ import annotations

import os
from functools import partial
from importlib import import_module
from threading import Thread

from mfx import environment
from mfx.artifacts import metaflow_s3
from mfx.registry import client
from mfx.storage import retries
from mfx.ui import cache
from mfx.ui.answers import Answer
from mfx.ui.catalog import Catalog
from mfx.ui.server import Page, Server, listen
from mfx.ui.site import Site

_RUN = r"([^/]+)/([^/]+)"
_PATIENCE = "5"
"""Seconds for which a page tries S3 again: nobody waits for a page as long as for a run."""


def open_server(flow: str = "", port: int | None = None) -> Server:
    """A server that listens; `serve_forever` has it answer.

    Args:
        flow: The flow whose runs are shown; empty for all of the project's.
        port: To listen on; None for the first free one from `mfx.ui.server.PORT`.

    Raises:
        MfxError: The port is in use.
    """
    if retries.FORMER not in os.environ:
        os.environ.setdefault(retries.PATIENCE, _PATIENCE)
    metaflow_s3.limit_time()
    catalog = Catalog(flow, cache.default_folder())
    site = Site(catalog, environment.project().name, client.source())
    server = listen(port, routes(site), site.error, catalog.close)
    # The list is read while the browser starts.
    Thread(target=_begin, args=(catalog,), daemon=True).start()
    return server


PAGES = {
    r"/": "runs.page",
    r"/production": "history.page",
    r"/compare": "compare.page",
    rf"/run/{_RUN}": "run.overview",
    rf"/run/{_RUN}/data": "run.data",
    rf"/run/{_RUN}/slices": "run.slices",
    rf"/run/{_RUN}/cards": "run.cards",
    rf"/card/{_RUN}/([^/]+)/([^/]+)/(\d{{1,4}})": "run.card",
    r"/part/runs": "runs.listed",
    r"/part/course": "runs.course",
    r"/part/production": "history.listed",
    r"/part/metrics": "compare.metrics",
    r"/part/charts": "compare.charts",
    r"/part/drift": "compare.drift",
    rf"/part/slices/{_RUN}": "run.slice_charts",
    rf"/part/distributions/{_RUN}": "schema.distributions",
}
"""Patterns of whole paths, and which function of which module below `mfx.ui.pages` they lead to."""


def routes(site: Site) -> list[tuple[str, Page]]:
    """Patterns of whole paths, and the pages that they lead to."""
    found = [(pattern, partial(_page, name, site)) for pattern, name in PAGES.items()]
    return [*found, (r"/static/([^/]+)", site.file)]


def _page(name: str, site: Site, *given: str) -> Answer:
    """A page, whose module is loaded when it is first asked for: the first page needs few."""
    module, _, function = name.partition(".")
    return getattr(import_module(f"mfx.ui.pages.{module}"), function)(site, *given)


def _begin(catalog: Catalog) -> None:
    try:
        catalog.lines()
    except Exception:  # said on the first page
        return
