"""TF Serving's REST API, on aiohttp's low-level server.

    POST /v1/models/NAME[/versions/N|/labels/L]:predict|:classify|:regress
    GET  /v1/models/NAME[/versions/N|/labels/L][/metadata]
    GET  /monitoring/prometheus/metrics
    GET  /healthz, /v2/health/live, /v2/health/ready

HEAD is answered like GET, without a body.

Every answer of a model has its version in the header `X-Model-Version`. Every error is JSON:
`{"error": "..."}`. There is no router, and an answer is sent by one write; see `connection`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from mfx.serve.awaiting import Awaiting
from mfx.serve.errors import RequestError
from mfx.serve.http import json_answers, json_api, json_examples, json_models, json_text
from mfx.serve.http.bodies import Bodies, BodyError, Limits
from mfx.serve.http.connection import HttpServer, Response
from mfx.serve.http.cors import Cors
from mfx.serve.http.metrics import CONTENT_TYPE, PATH, Metrics
from mfx.serve.model import ServedModel, Signature
from mfx.serve.versions import ModelVersions

log = logging.getLogger("mfx.serve")
# As in TF Serving's `http_rest_api_util.cc`.
_SPEC = r"/v1/models/([^/:]+)(?:/versions/([0-9]+)|/labels/([^/:]+))?"
_POST = re.compile(_SPEC + ":(classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(_SPEC + "(/metadata)?", re.IGNORECASE)
_PAGES = (PATH, "/healthz", "/v2/health/live", "/v2/health/ready")
_MOST_READERS = 256


@dataclass(frozen=True)
class Call:
    """A request, as its path says.

    Attributes:
        name: The model's name.
        version: The version's number; None for the newest.
        label: A label instead of the number, or ''.
        method: `predict`, `classify`, `regress`, `status` or `metadata`.
    """

    name: str
    version: int | None
    label: str
    method: str


@lru_cache(maxsize=1024)
def parse_path(http_method: str, path: str) -> Call:
    """Parse a request's path.

    Raises:
        RequestError: INVALID_ARGUMENT, TF Serving has no such path.
    """
    pattern = {"POST": _POST, "GET": _GET}.get(http_method)
    found = pattern.fullmatch(path.partition("?")[0]) if pattern else None
    if found is None:
        raise RequestError("INVALID_ARGUMENT", f"Malformed request: {http_method} {path}")
    name, version, label, method = found.groups()
    if version and int(version[:20]) >= 2**63:
        raise RequestError("INVALID_ARGUMENT", f"Failed to convert version: {version} to numeric.")
    if http_method == "GET":
        method = "metadata" if method else "status"
    return Call(
        unquote(name), int(version) if version else None, unquote(label or ""), method.lower()
    )


def _origin_form(target: str) -> str:
    """The path of a target in absolute form (`http://host/path`), as proxies send it."""
    scheme, _, rest = target.partition("://")
    return f"/{rest.partition('/')[2]}" if scheme.lower() in ("http", "https") else target


class Application:
    """Answers requests. It is the handler of a `connection.HttpServer`.

    Args:
        models: The served models, by name.
        limits: The limits for clients.
        metrics: Counts requests.
    """

    def __init__(
        self, models: Mapping[str, ModelVersions], limits: Limits, metrics: Metrics
    ) -> None:
        self._models, self._limits, self._metrics = models, limits, metrics
        self._loop = asyncio.get_running_loop()
        self._awaiting = Awaiting()
        # One thread, so that only one large request at a time is turned into Python objects.
        self._apart = ThreadPoolExecutor(1, thread_name_prefix="rest-large")
        self.bodies = Bodies(limits, partial(self._loop.run_in_executor, self._apart))
        self._readers: dict[int, tuple[Signature, json_api.PredictReader]] = {}

    def close(self) -> None:
        """End the thread for large requests."""
        self._apart.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, request: web.BaseRequest) -> Response:
        """Answer any request."""
        started = time.perf_counter()
        path, method = request.raw_path, request.method
        if not path.startswith("/"):
            path = _origin_form(path)
        if method == "HEAD":  # Like GET. The body is left out when the answer is written.
            method = "GET"
        code, model, api, version, held = "OK", "", "", 0, 0
        try:
            if method == "GET" and (page := path.partition("?")[0]) in _PAGES:
                return await self._monitoring(page)
            call = parse_path(method, path)
            model, api = call.name, call.method
            versions = self._versions(call)
            if api == "status":
                return Response(json_models.status(versions, call.version, call.label))
            body = await self.bodies.read(request)
            held = len(body)
            with versions.use(call.version, call.label) as served:
                version = served.version
                if api == "metadata":
                    content = json_models.metadata(call.name, served)
                elif api == "predict":
                    content = await self._predict(served, body)
                else:
                    content = await self._examples(served, api, body)
            answer = Response(content, version=version)
        except RequestError as error:
            code = error.code
            answer = Response(json_answers.failure(error.message), error.http_status, version)
        except BodyError as error:
            code = error.code
            answer = Response(json_answers.failure(str(error)), error.status, close=True)
        except asyncio.CancelledError:  # The client is gone.
            self._metrics.observe(model, api, "REST", "CANCELLED", 0)
            raise
        except Exception as error:
            code = "INTERNAL"
            log.exception("%s %s", method, path)
            answer = Response(
                json_answers.failure(f"{type(error).__name__}: {error}"), 500, version
            )
        finally:
            self.bodies.release(held)
        self._metrics.observe(model, api, "REST", code, time.perf_counter() - started)
        return answer

    def _versions(self, call: Call) -> ModelVersions:
        versions = self._models.get(call.name)
        if versions is not None:
            return versions
        if call.method == "status":
            raise RequestError("NOT_FOUND", f"Could not find any versions of model {call.name}")
        which = f"Latest({call.name})"
        if call.version is not None:
            which = f"Specific({call.name}, {call.version})"
        raise RequestError("NOT_FOUND", f"Servable not found for request: {which}")

    async def _predict(self, model: ServedModel, body: bytes | bytearray) -> bytes:
        if len(body) > self._limits.apart_bytes:
            read = await self._loop.run_in_executor(self._apart, self._read, model, body)
        else:
            read = self._read(model, body)
        signature, inputs, rows, as_rows = read
        outputs = await self._awaiting.outputs(model, signature.name, inputs, rows)
        return await self._written(partial(json_answers.predictions, outputs, as_rows), outputs)

    def _read(
        self, model: ServedModel, body: bytes | bytearray
    ) -> tuple[Signature, Mapping[str, Any], int, bool]:
        document = self._document(body)
        signature = model.signature(json_text.signature_name(document))
        inputs, rows, as_rows = self._reader(signature).read(document)
        if rows > self._limits.rows:
            raise self._too_many(rows, "rows of 'inputs'")
        return signature, inputs, rows, as_rows

    def _document(self, body: bytes | bytearray) -> dict[str, Any]:
        json_text.check_fits(body, self._limits.json_bytes)
        document = json_text.read_object(body)
        most = self._limits.rows
        if len(body) > most:
            for key in ("instances", "examples"):
                given = document.get(key)
                if type(given) is list and len(given) > most:
                    raise self._too_many(len(given), key)
        return document

    def _too_many(self, count: int, what: str) -> RequestError:
        most = self._limits.rows
        return json_text.invalid(f"{count} {what}: at most {most} are allowed in one request")

    def _reader(self, signature: Signature) -> json_api.PredictReader:
        """A signature's reader. Readers are kept, since to make one takes longer than to use it."""
        kept = self._readers.get(id(signature))
        if kept is None:
            if len(self._readers) >= _MOST_READERS:
                self._readers.clear()
            # The signature is kept too, so that no other object gets its id.
            kept = self._readers[id(signature)] = signature, json_api.PredictReader(signature)
        return kept[1]

    async def _examples(self, model: ServedModel, method: str, body: bytes | bytearray) -> bytes:
        if len(body) > self._limits.apart_bytes:
            read = await self._loop.run_in_executor(
                self._apart, self._read_examples, model, method, body
            )
        else:
            read = self._read_examples(model, method, body)
        signature, examples = read
        inputs = {"inputs": examples}
        outputs = await self._awaiting.outputs(model, signature.name, inputs, len(examples))
        write = json_answers.classifications if method == "classify" else json_answers.regressions
        return await self._written(partial(write, outputs), outputs)

    def _read_examples(
        self, model: ServedModel, method: str, body: bytes | bytearray
    ) -> tuple[Signature, list[bytes]]:
        document = self._document(body)
        name = json_text.signature_name(document)
        examples = json_examples.read_examples(document, method)
        signature = model.signature(name)
        json_answers.check_method(signature, method)
        return signature, examples

    async def _written(self, write: Callable[[], bytes], outputs: Mapping[str, Any]) -> bytes:
        """Write the answer; a large one in the thread for large requests."""
        if sum(array.size for array in outputs.values()) * 8 > self._limits.apart_bytes:
            return await self._loop.run_in_executor(self._apart, write)
        return write()

    async def _monitoring(self, path: str) -> Response:
        if path == PATH:
            page = await self._loop.run_in_executor(None, self._metrics.page)
            return Response(page, content_type=CONTENT_TYPE)
        if path != "/v2/health/ready":
            return Response(b'{"live":true}')
        if json_models.ready(self._models):
            return Response(b'{"ready":true}')
        return Response(b'{"ready":false}', 503)


class RestServer:
    """A started server.

    Attributes:
        port: The port at which it listens.
    """

    def __init__(self, application: Application, runner: web.ServerRunner, port: int) -> None:
        self._application, self._runner, self.port = application, runner, port

    @property
    def held(self) -> int:
        """The bytes of all bodies and large answers in memory."""
        return self._application.bodies.held

    async def stop(self) -> None:
        """Take no more requests, answer those at hand, then close."""
        await self._runner.cleanup()
        self._application.close()


async def start(
    models: Mapping[str, ModelVersions],
    host: str,
    port: int,
    limits: Limits | None = None,
    metrics: Metrics | None = None,
    cors_origins: Collection[str] = (),
) -> RestServer:
    """Start a server in the running event loop.

    Args:
        models: The models, by name.
        host: The address to listen at.
        port: The port; 0 for any free port.
        limits: The limits for clients.
        metrics: Counts requests; shared with gRPC.
        cors_origins: Origins of web pages whose scripts may send requests; `*` for all.

    Raises:
        OSError: It cannot listen at this address and port.
    """
    limits = limits or Limits()
    application = Application(models, limits, metrics or Metrics(models))
    handler = Cors(application, cors_origins) if cors_origins else application
    runner = web.ServerRunner(
        HttpServer(handler, limits, application.bodies), shutdown_timeout=limits.shutdown_seconds
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=1024)
        await site.start()
    except OSError:
        await runner.cleanup()
        application.close()
        raise
    return RestServer(application, runner, runner.addresses[0][1])
