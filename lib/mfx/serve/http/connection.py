"""HTTP connections: aiohttp's low-level server with limits; an answer is sent by one write.

The memory that clients can take is bounded: all bodies and answers together have at most
`Limits.bytes_in_flight`; only one large body at a time is turned into Python objects
(`Limits.json_bytes`); and each of `Limits.connections` takes a few hundred kilobytes.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any

from aiohttp import web

from mfx.serve.http import _private
from mfx.serve.http.bodies import Bodies, Limits
from mfx.serve.http.json_answers import failure

log = logging.getLogger("mfx.serve")
JSON = "application/json"
_LARGE = 1 << 16
_LINGER_SECONDS = 0.5
"""How long the rest of a refused body is still read and thrown away. A client may send all of its
body before it reads; it would see a broken connection instead of the answer."""
_READ_BYTES = 1 << 16
"""How much of a body is read before the connection waits for the handler."""
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
} | {499: "HTTP/1.1 499 Client Closed Request\r\n"}


class Response:
    """A response for aiohttp. It is written at once, without aiohttp's handling of headers.

    Args:
        body: The content.
        status: The HTTP status.
        version: The model's version, for X-Model-Version; 0 for none.
        content_type: The body's content type.
        close: Whether the connection is closed after it.
    """

    __slots__ = ("_body", "_close", "_head", "_request", "keep_alive")

    def __init__(
        self,
        body: bytes,
        status: int = 200,
        version: int = 0,
        content_type: str = JSON,
        close: bool = False,
    ) -> None:
        named = f"X-Model-Version: {version}\r\n" if version else ""
        self._head = (
            f"{_STATUS_LINES[status]}Content-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n{named}"
        )
        self._body, self._close = body, close
        self.keep_alive = False
        self._request: web.BaseRequest | None = None

    def add(self, headers: str) -> None:
        """Add header lines; each must end with CRLF."""
        self._head += headers

    async def prepare(self, request: web.BaseRequest) -> None:
        """Prepare the response. aiohttp calls this before `write_eof`."""
        self._request = request
        self.keep_alive = request.keep_alive and not self._close
        connection = request.protocol
        if isinstance(connection, _Connection):
            connection.reading = None
            self.keep_alive = self.keep_alive and not connection.last()

    async def write_eof(self) -> None:
        """Write the whole response; if it is large, wait for a slow client."""
        request = self._request
        assert request is not None
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        if not self.keep_alive:
            head = self._head + "Connection: close\r\n\r\n"
        elif request.version < (1, 1):
            head = self._head + "Connection: keep-alive\r\n\r\n"
        else:
            head = self._head + "\r\n"
        if request.method == "HEAD":
            transport.write(head.encode())
            return
        transport.write(head.encode() + self._body)
        connection = request.protocol
        if len(self._body) > _LARGE and isinstance(connection, _Connection):
            await connection.drained(request, len(self._body))


class _Connection(_private.Connection):
    """One client's connection.

    Attributes:
        reading: The body of the present request.
        half_closed: Whether the client has said that it sends nothing more.
    """

    def __init__(self, server: HttpServer, **parameters: Any) -> None:
        super().__init__(server, **parameters)
        self._server = server
        self.reading: Any = None
        self.half_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a connection, or refuse it if there are too many."""
        limits = self._server.limits
        if self._server.open_connections >= limits.connections:
            assert isinstance(transport, asyncio.Transport)
            body = failure(f"More than {limits.connections} connections")
            transport.write(
                f"{_STATUS_LINES[503]}Content-Type: {JSON}\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n".encode()
                + body
            )
            transport.close()
            self.force_close()
            return
        super().connection_made(transport)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep the connection open for answers if the client sends nothing more."""
        self.half_closed = True
        bodies = self.waiting()
        if self.reading is not None:
            bodies.append(self.reading)
        return bool(bodies) and all(body.is_eof() for body in bodies)

    def last(self) -> bool:
        """Whether no request comes after the present one."""
        return self.half_closed and not self.waiting()

    async def drained(self, request: web.BaseRequest, size: int) -> None:
        """Wait until most of an answer is sent; close the connection if the client is too slow."""
        server = self._server
        server.bodies.held += size
        try:
            await asyncio.wait_for(request.writer.drain(), server.limits.answer_seconds)
        except asyncio.TimeoutError:
            if self.transport is not None:
                self.transport.abort()
        finally:
            server.bodies.release(size)

    def handle_error(  # type: ignore[override]
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> Any:
        """Answer malformed HTTP with a JSON error too."""
        log.debug("malformed HTTP from %s", request.remote, exc_info=exc)
        said = (message or HTTPStatus(status).phrase).splitlines()[0]
        return Response(failure(f"Malformed request: {said}"), status, close=True)


class HttpServer(_private.Server):
    """Creates connections for a handler.

    Args:
        handler: Answers a request with a `Response`.
        limits: The limits for clients.
        bodies: Counts the bytes in memory; shared with the handler.
    """

    def __init__(self, handler: Any, limits: Limits, bodies: Bodies) -> None:
        super().__init__(handler, request_factory=self._request, handler_cancellation=True)
        self.limits, self.bodies = limits, bodies

    def _request(
        self, message: Any, body: Any, connection: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        connection.reading = body
        return web.BaseRequest(message, body, connection, writer, task, self.loop)

    def __call__(self) -> _Connection:
        """Create a connection, for asyncio."""
        return _Connection(
            self,
            loop=self.loop,
            keepalive_timeout=self.limits.idle_seconds,
            access_log=None,
            lingering_time=_LINGER_SECONDS,
            read_bufsize=_READ_BYTES,
            # aiohttp would unpack bodies in the event loop, and their bytes would not be counted.
            auto_decompress=False,
        )
