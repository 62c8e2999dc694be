"""Read, unpack and count the bodies of requests, with limits for each and for all together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from mfx.serve.errors import RequestError
from mfx.serve.http.unpacking import CODINGS, PLAIN, Unpacker, UnpackError, said_size

LARGE, SLICE = 1 << 18, 1 << 20
"""A body with more unpacked bytes than LARGE waits for its turn; then SLICE bytes are unpacked at a
time."""

_CODES = {408: "DEADLINE_EXCEEDED", 413: "RESOURCE_EXHAUSTED"}
"""gRPC's status codes for HTTP statuses; metrics count requests by them."""
Apart = Callable[..., Awaitable[Any]]
"""Runs a function with its arguments in a thread."""


@dataclass(frozen=True)
class Limits:
    """Limits for clients.

    Attributes:
        body_bytes: The most bytes of a body, packed and unpacked. Larger ones get status 413.
        bytes_in_flight: The most bytes of all bodies being read, unpacked or answered, and of all
            answers being sent. Requests beyond it get 429.
        rows: The most rows of a request: a row may have few bytes, but take much memory when it is
            read. Requests with more rows get 400.
        json_bytes: The most memory that a request's JSON may take when it is read. Requests that
            may take more get 400 before they are read.
        connections: The most connections at the same time. Others get 503 and are closed.
        idle_seconds: After this time, a connection without a whole request header is closed.
        body_seconds: The time to send a body (then 408), and to unpack it (then 503).
        answer_seconds: The time to receive an answer; then the connection is closed.
        apart_bytes: Larger bodies and answers are processed in a separate thread.
        shutdown_seconds: The time for requests at hand when the server stops.
    """

    body_bytes: int = 32 << 20
    bytes_in_flight: int = 128 << 20
    rows: int = 1_000_000
    json_bytes: int = 512 << 20
    connections: int = 1000
    idle_seconds: float = 60.0
    body_seconds: float = 30.0
    answer_seconds: float = 30.0
    apart_bytes: int = 1 << 16
    shutdown_seconds: float = 15.0


class BodyError(Exception):
    """A body that was not read. The connection cannot be used any more.

    Args:
        status: The HTTP status: 400, 408, 413 or 415.
        message: The message for the client.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status, self.code = status, _CODES.get(status, "INVALID_ARGUMENT")
        super().__init__(message)


class Bodies:
    """Reads bodies, and counts how many bytes of them are in memory.

    Args:
        limits: The limits for clients.
        apart: Runs a function in a thread. There, large bodies are unpacked slice by slice.

    Attributes:
        held: The bytes of all bodies and large answers in memory.
    """

    def __init__(self, limits: Limits, apart: Apart) -> None:
        self._limits, self._apart = limits, apart
        # One large body at a time: otherwise many of them could together reach the limit.
        self._turn = asyncio.Lock()
        self.held = 0

    async def read(self, request: web.BaseRequest) -> bytes | bytearray:
        """Read and unpack a request's body. It counts until `release` is called with its size.

        Raises:
            BodyError: It is too large, too slow, damaged, or in an unknown coding.
            RequestError: RESOURCE_EXHAUSTED, there are too many bytes in memory already;
                UNAVAILABLE, it could not be unpacked in time.
        """
        said = request.headers.get("Content-Encoding", "")
        coding = CODINGS.get(said.strip().lower()) if said else PLAIN
        if coding is None:
            raise BodyError(
                415, f"Content-Encoding: {said[:100]} is not supported; send gzip, deflate or none"
            )
        body = await self._received(request)
        if not coding or not body:
            return body
        try:
            return await self._unpacked(coding, body)
        finally:
            self.release(len(body))

    def release(self, size: int) -> None:
        """Stop counting a body or an answer of this size."""
        self.held -= size

    async def _received(self, request: web.BaseRequest) -> bytes | bytearray:
        content = request.content
        if content.is_eof():
            body = content.read_nowait()
            self._hold(len(body), len(body))
            return body
        length = request.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > self._limits.body_bytes:
            raise self._too_large()
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            return await asyncio.wait_for(self._rest(request), self._limits.body_seconds)
        except asyncio.TimeoutError:
            raise BodyError(
                408, f"The body did not come within {self._limits.body_seconds:g} s"
            ) from None

    async def _rest(self, request: web.BaseRequest) -> bytearray:
        body = bytearray()
        try:
            while part := await request.content.readany():
                self._hold(len(part), len(body) + len(part))
                body += part
        except BaseException as error:
            self._drop(body)
            if isinstance(error, web.RequestPayloadError):
                raise BodyError(400, f"The body cannot be read: {error}") from None
            raise
        return body

    async def _unpacked(self, coding: str, packed: bytes | bytearray) -> bytearray:
        if (size := said_size(coding, packed)) > self._limits.body_bytes:
            raise BodyError(
                413,
                f"The body says that it unpacks to {size} bytes; at most "
                f"{self._limits.body_bytes} are allowed",
            )
        body = bytearray()
        try:
            await self._unpack(coding, packed, body)
        except BaseException as error:
            self._drop(body)
            if isinstance(error, UnpackError):
                raise BodyError(400, f"The body cannot be read: {error}") from None
            raise
        return body

    async def _unpack(self, coding: str, packed: bytes | bytearray, body: bytearray) -> None:
        """Unpack a small body at once, a larger one by slices in a thread, a large one in turn."""
        unpacker = Unpacker(coding, packed)
        most = self._limits.apart_bytes
        while len(packed) <= most and len(body) < most:
            if not self._add(unpacker.next(most), body):
                return
        while len(body) < LARGE:
            if not self._add(await self._apart(unpacker.next, LARGE), body):
                return
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.body_seconds
        async with self._turn:
            while loop.time() < end:
                if not self._add(await self._apart(unpacker.next, SLICE), body):
                    return
        raise RequestError("UNAVAILABLE", f"Not unpacked within {self._limits.body_seconds:g} s")

    def _add(self, part: bytes, body: bytearray) -> bool:
        """Count and add unpacked bytes; return whether there may be more."""
        self._hold(len(part), len(body) + len(part))
        body += part
        return bool(part)

    def _drop(self, body: bytearray) -> None:
        """Free a refused body at once; otherwise it would stay until the garbage collector runs."""
        self.held -= len(body)
        body.clear()

    def _hold(self, more: int, size: int) -> None:
        """Count some more bytes of a body that now has this size.

        Raises:
            BodyError: The body is too large.
            RequestError: RESOURCE_EXHAUSTED, there are too many bytes in memory.
        """
        if size > self._limits.body_bytes:
            raise self._too_large()
        if self.held + more > self._limits.bytes_in_flight:
            raise RequestError(
                "RESOURCE_EXHAUSTED", "Too many bytes of requests are being worked on"
            )
        self.held += more

    def _too_large(self) -> BodyError:
        return BodyError(413, f"The body is larger than {self._limits.body_bytes} bytes")
