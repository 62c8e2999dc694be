"""The private parts of aiohttp that `serve` uses: connections of its low-level server."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

CHECKED = {"aiohttp": ("3.14.5",)}


class Connection(RequestHandler):
    """One client's connection."""

    def waiting(self) -> list[Any]:
        """The bodies of the requests that wait after the present one."""
        return [body for _, body in self._messages]


class Server(web.Server):
    """Creates connections."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the server."""
        return self._loop

    @property
    def open_connections(self) -> int:
        """The number of open connections."""
        return len(self._connections)
