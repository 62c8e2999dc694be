"""What this room takes of aiohttp beside its public API: connections of its low-level server."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

CHECKED = {"aiohttp": ("3.14.5",)}


class Connection(RequestHandler):
    """One client's connection."""

    def waiting(self) -> list[Any]:
        """The bodies of the requests that come after the one at hand."""
        return [body for _, body in self._messages]


class Server(web.Server):
    """Makes connections."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that it serves in."""
        return self._loop

    @property
    def open_connections(self) -> int:
        """How many there are."""
        return len(self._connections)
