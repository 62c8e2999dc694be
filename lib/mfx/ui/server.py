"""The server behind the page: for this machine's user, reading only, from nobody else's page."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from mfx.errors import MfxError
from mfx.ui.answers import Answer, NotFoundError, WrongQueryError

HOST = "127.0.0.1"
NAMES = {"127.0.0.1", "localhost", "[::1]"}
"""What a request may call this machine. A page elsewhere can give a name of its own the address
127.0.0.1, and then read what it is answered; the name gives it away."""
PORT = 8270
"""The first that is tried."""
_TRIED = 20
"""Ports tried where none is given."""
_IDLE_SECONDS = 60

Page = Callable[..., Answer]
"""Answers a request, given the parts of the path that the route names, and the query's text."""
ErrorPage = Callable[[HTTPStatus, str, str], Answer]
"""Shows an error, given its status, what is wrong, and how to mend it."""


class Server(ThreadingHTTPServer):
    """Serves pages on this machine only.

    Args:
        port: To listen on; 0 is any free one.
        routes: Patterns of whole paths, and their pages.
        error_page: Shows errors.
        close: Called when the server is closed.

    Raises:
        OSError: The port is in use.
    """

    daemon_threads = True
    # Two servers that share a port would answer in turn; newer Pythons let them.
    allow_reuse_port = False

    def __init__(
        self,
        port: int,
        routes: Sequence[tuple[str, Page]],
        error_page: ErrorPage,
        close: Callable[[], None],
    ) -> None:
        self.routes = [(re.compile(pattern), page) for pattern, page in routes]
        self.error_page = error_page
        self._close: Callable[[], None] | None = None
        super().__init__((HOST, port), _Handler)
        self._close = close  # a port that is taken closes nothing else

    def server_bind(self) -> None:
        """Take the port, without asking the network for this machine's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    @property
    def address(self) -> str:
        """The address to open."""
        return f"http://{HOST}:{self.server_port}/"

    def server_close(self) -> None:
        """Listen no more."""
        super().server_close()
        if self._close:
            self._close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is no error."""

    def answer(self, target: str) -> Answer:
        """The answer to a path with its query; whatever goes wrong is a page too."""
        try:
            return self._answer(target)
        except Exception as error:
            status, what, remedy = _told(error)
            if status == HTTPStatus.INTERNAL_SERVER_ERROR:
                logging.getLogger(__name__).error("%s", target, exc_info=error)
            return self.error_page(status, what, remedy)

    def _answer(self, target: str) -> Answer:
        split = urlsplit(target)
        for pattern, page in self.routes:
            if found := pattern.fullmatch(split.path):
                parts = [unquote(part, errors="replace") for part in found.groups()]
                return page(*parts, split.query)
        raise NotFoundError(f"there is no page {unquote(split.path)}")


def listen(
    port: int | None,
    routes: Sequence[tuple[str, Page]],
    error_page: ErrorPage,
    close: Callable[[], None] = lambda: None,
) -> Server:
    """A server that listens, but does not answer yet.

    Args:
        port: To listen on; None is the first free one from PORT.
        routes: Patterns of whole paths, and their pages.
        error_page: Shows errors.
        close: Called when the server is closed.

    Raises:
        MfxError: The port is in use.
    """
    tried = range(PORT, PORT + _TRIED) if port is None else [port]
    for one in tried:
        try:
            return Server(one, routes, error_page, close)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
    which = f"ports {tried[0]} to {tried[-1]}" if len(tried) > 1 else f"port {tried[0]}"
    raise MfxError(f"{which} on {HOST}: {why}", "Give a free one: mfx ui --port N.")


def _told(error: Exception) -> tuple[HTTPStatus, str, str]:
    """Status, what is wrong, and how to mend it."""
    from mfx.registry.client import is_metaflows
    from mfx.registry.runs import NoSuchRunError

    if isinstance(error, WrongQueryError):
        return HTTPStatus.BAD_REQUEST, error.what, error.remedy
    if isinstance(error, (NotFoundError, NoSuchRunError)):
        return HTTPStatus.NOT_FOUND, error.what, error.remedy
    if isinstance(error, MfxError):
        return HTTPStatus.BAD_GATEWAY, error.what, error.remedy
    if is_metaflows(error) or isinstance(error, OSError):
        return HTTPStatus.BAD_GATEWAY, " ".join(str(error).split()), ""
    what = f"{type(error).__name__}: {error}"
    return HTTPStatus.INTERNAL_SERVER_ERROR, what, "This is a mistake in MFX; please report it."


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "mfx", ""
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS

    def do_GET(self) -> None:
        self._send(self._checked() or self.server.answer(self.path))

    do_HEAD = do_GET  # noqa: N815 (http.server's name)

    def __getattr__(self, name: str) -> Any:
        # http.server looks for a method of the request's name.
        if name.startswith("do_"):
            return self._refuse
        raise AttributeError(name)

    def _refuse(self) -> None:
        # What comes with it is not read, so the connection can serve no other request.
        self.close_connection = True
        given = self.server.error_page(
            HTTPStatus.METHOD_NOT_ALLOWED, f"{self.command}: this page only shows", ""
        )
        self._send(Answer(given.text, given.status, more={"Allow": "GET, HEAD"}))

    def _checked(self) -> Answer | None:
        """What is answered to a request that does not come from this machine's user; else None."""
        host = re.sub(r":\d+$", "", self.headers.get("Host", ""))
        if host.lower() in NAMES:
            return None
        what = f"{host or 'no name'} is not this machine's own name"
        return self.server.error_page(
            HTTPStatus.FORBIDDEN, what, f"Open {self.server.address} instead."
        )

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses: no request that HTTP knows."""
        self.close_connection = True
        status = HTTPStatus(code)
        self._send(self.server.error_page(status, message or status.phrase, ""))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is the user's."""
