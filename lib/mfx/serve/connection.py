"""HTTP connections: aiohttp's low-level server, held to limits, an answer in one write.

What a client can make the server hold is bounded: `Limits.bytes_in_flight` of bodies and answers
together, one large body at a time spread out as Python objects, and a few hundred kilobytes for
each of `Limits.connections`.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from mfx.serve.errors import ServingError
from mfx.serve.json_answers import failure

log = logging.getLogger("mfx.serve")
JSON = "application/json"
_LARGE = 1 << 16
_LINGER_SECONDS = 2.0
"""For which the rest of a body that was refused is read, so that the client sees the answer."""
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
} | {499: "HTTP/1.1 499 Client Closed Request\r\n"}


@dataclass(frozen=True)
class Limits:
    """On what clients may take up.

    Attributes:
        body_bytes: Of one request; more is answered with 413.
        bytes_in_flight: Of all bodies being read or answered, and answers being sent; a request
            beyond it is answered with 429.
        rows: Of one request's instances or examples, which may be a few bytes each and many once
            read; more are answered with 400.
        connections: At once; more are answered with 503 and closed.
        idle_seconds: Until a connection without a whole request header is closed.
        body_seconds: To send a body, then 408.
        answer_seconds: To take an answer, then the connection is closed.
        apart_bytes: Larger bodies and answers are worked on in a thread of their own.
        shutdown_seconds: For requests at hand when the server stops.
    """

    body_bytes: int = 32 << 20
    bytes_in_flight: int = 128 << 20
    rows: int = 1_000_000
    connections: int = 1000
    idle_seconds: float = 60.0
    body_seconds: float = 30.0
    answer_seconds: float = 30.0
    apart_bytes: int = 1 << 16
    shutdown_seconds: float = 15.0


class BodyError(Exception):
    """A body that was not read to its end; the connection is of no more use.

    Args:
        status: HTTP's, 408 or 413.
        message: For the client.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Bodies:
    """Reads bodies, and knows how much is held in all.

    Attributes:
        held: Bytes, of bodies and large answers.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.held = 0

    async def read(self, request: web.BaseRequest) -> bytes:
        """A request's body, held until `release` is called with its size.

        Raises:
            BodyError: It is too large, or too slow.
            ServingError: RESOURCE_EXHAUSTED, too much is held already.
        """
        content = request.content
        if content.is_eof():
            body = content.read_nowait()
            self._hold(len(body), len(body))
        else:
            length = request.headers.get("Content-Length", "")
            if length.isdecimal() and int(length) > self._limits.body_bytes:
                raise self._too_large()
            if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
                request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            try:
                body = await asyncio.wait_for(self._rest(request), self._limits.body_seconds)
            except asyncio.TimeoutError:
                raise BodyError(
                    408, f"The body did not come within {self._limits.body_seconds:g} s"
                ) from None
        return body

    def release(self, size: int) -> None:
        """A body or answer is no longer held."""
        self.held -= size

    async def _rest(self, request: web.BaseRequest) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            while part := await request.content.readany():
                self._hold(len(part), size + len(part))
                size += len(part)
                parts.append(part)
        except BaseException as error:
            self.held -= size
            if isinstance(error, web.RequestPayloadError):
                raise BodyError(400, f"The body cannot be read: {error}") from None
            raise
        return b"".join(parts)

    def _hold(self, more: int, size: int) -> None:
        """Hold some more bytes of a body that has come to this size."""
        if size > self._limits.body_bytes:
            raise self._too_large()
        if self.held + more > self._limits.bytes_in_flight:
            raise ServingError(
                "RESOURCE_EXHAUSTED", "Too many bytes of requests are being worked on"
            )
        self.held += more

    def _too_large(self) -> BodyError:
        return BodyError(413, f"The body is larger than {self._limits.body_bytes} bytes")


class Answer:
    """What aiohttp takes for a response: written at once, without its header handling.

    Args:
        body: The content.
        status: HTTP's.
        version: The model's, for X-Model-Version; 0 for none.
        content_type: Of the body.
        close: Whether the connection ends with it.
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

    async def prepare(self, request: web.BaseRequest) -> None:
        """Called by aiohttp before `write_eof`."""
        self._request = request
        self.keep_alive = request.keep_alive and not self._close
        connection = request.protocol
        if isinstance(connection, _Connection):
            connection.reading = None
            self.keep_alive = self.keep_alive and not connection.last()

    async def write_eof(self) -> None:
        """Write all; wait for a slow client when it is much."""
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
        transport.write(head.encode() + self._body)
        connection = request.protocol
        if len(self._body) > _LARGE and isinstance(connection, _Connection):
            await connection.drained(request, len(self._body))


class _Connection(RequestHandler):
    """One client's.

    Attributes:
        reading: The body of the request at hand.
        half_closed: Whether the client has said that it sends nothing more.
    """

    def __init__(self, server: Server, **parameters: Any) -> None:
        super().__init__(server, **parameters)
        self._server = server
        self.reading: Any = None
        self.half_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse one more than the limit."""
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
        """The client sends no more, but may wait for the answer to what it sent."""
        self.half_closed = True
        bodies = [body for _, body in self._messages]
        if self.reading is not None:
            bodies.append(self.reading)
        return bool(bodies) and all(body.is_eof() for body in bodies)

    def last(self) -> bool:
        """Whether no request comes after the one at hand."""
        return self.half_closed and not self._messages

    async def drained(self, request: web.BaseRequest, size: int) -> None:
        """Wait until most of an answer is sent; give up on a client that does not take it."""
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
        """What is no HTTP is answered as JSON as well."""
        log.debug("malformed HTTP from %s", request.remote, exc_info=exc)
        said = (message or HTTPStatus(status).phrase).splitlines()[0]
        return Answer(failure(f"Malformed request: {said}"), status, close=True)


class Server(web.Server):
    """Makes connections for a handler.

    Args:
        handler: Answers a request with an Answer.
        limits: Held to.
        bodies: Shared with the handler.
    """

    def __init__(self, handler: Any, limits: Limits, bodies: Bodies) -> None:
        super().__init__(handler, request_factory=self._request, handler_cancellation=True)
        self.limits, self.bodies = limits, bodies

    @property
    def open_connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    def _request(
        self, message: Any, body: Any, connection: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        connection.reading = body
        return web.BaseRequest(message, body, connection, writer, task, self._loop)

    def __call__(self) -> _Connection:
        """A connection for asyncio."""
        return _Connection(
            self,
            loop=self._loop,
            keepalive_timeout=self.limits.idle_seconds,
            access_log=None,
            lingering_time=_LINGER_SECONDS,
        )
