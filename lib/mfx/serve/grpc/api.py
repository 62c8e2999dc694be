"""TF Serving's gRPC API: PredictionService, ModelService, and gRPC's own health and reflection.

Requests are answered in the event loop in which `start` is awaited. So a batch wakes one loop, and
not a thread for each of its requests. Messages are parsed here and not by gRPC, so that this module
can word the error of one that cannot be parsed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from mfx.errors import MfxError
from mfx.serve.errors import RequestError
from mfx.serve.grpc.services import Budget, ModelService, PredictionService, apart
from mfx.serve.versions import AVAILABLE, ModelVersions

Observe = Callable[[str, str, str, float], None]
"""Called for each answer with model ('' for an unknown one), method, gRPC code and seconds."""
Answer = Callable[[Any, bool], Awaitable[bytes]]
LARGE = 1 << 18
"""Requests with more bytes than this are read in a thread."""

DETAILS = 2000
"""The most bytes of an error's text. gRPC sends it in a header, where a byte may become three, and
clients accept headers of 8 KB."""
HEALTH = "grpc.health.v1.Health"
# grpc.health.v1.HealthCheckResponse.ServingStatus.
SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
WATCH_SECONDS = 1.0

log = logging.getLogger("mfx.serve")


@dataclass(frozen=True)
class GrpcLimits:
    """Limits that bound the server's memory. Requests beyond them get RESOURCE_EXHAUSTED.

    Attributes:
        message_bytes: The most bytes of a request. Its arrays may not have more either; these may
            be larger than the request, since the last value is repeated up to the shape. Arrays
            beyond the limit get INVALID_ARGUMENT.
        requests: The most requests at the same time.
        total_bytes: The most bytes of all requests being answered, with their arrays. (As Python
            objects, short strings take about 20 times their bytes in a message.)
    """

    message_bytes: int = 16 << 20
    requests: int = 1024
    total_bytes: int = 64 << 20


class GrpcServer:
    """A started server.

    Attributes:
        port: The port at which it listens.
    """

    def __init__(self, server: grpc.aio.Server, port: int) -> None:
        self.port, self._server = port, server

    async def stop(self, grace: float | None = None) -> None:
        """Take no more requests, and let those at hand finish for up to `grace` seconds."""
        await self._server.stop(grace)


async def start(
    models: Mapping[str, ModelVersions],
    host: str = "127.0.0.1",
    port: int = 8500,
    limits: GrpcLimits | None = None,
    observe: Observe | None = None,
) -> GrpcServer:
    """Start a server in the running event loop.

    Args:
        models: The models, by name.
        host: The address to listen at.
        port: The port; 0 for any free port.
        limits: The limits for memory.
        observe: Called for every answer, for metrics.

    Raises:
        MfxError: It cannot listen at this address and port.
    """
    limits = limits or GrpcLimits()
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", limits.message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=limits.requests,
    )
    server.add_generic_rpc_handlers(_services(models, limits, observe))
    # So that tools such as grpcurl know the methods and messages without their proto files.
    reflection.enable_server_reflection((*_described(), reflection.SERVICE_NAME), server)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        raise MfxError(f"gRPC cannot listen at {address}", "Is the port taken?") from None
    await server.start()
    return GrpcServer(server, bound)


def _described() -> list[str]:
    """Make protobuf know TF Serving's services; return their full names."""
    names = []
    for module in ("prediction_service_pb2", "model_service_pb2"):
        # Their code is for an older protobuf. It fails, but only after registering the service.
        with suppress(AttributeError):
            import_module(f"tensorflow_serving.apis.{module}")
    for name in ("PredictionService", "ModelService"):
        found = descriptor_pool.Default().FindServiceByName(f"tensorflow.serving.{name}")
        names.append(found.full_name)
    return names


def _services(
    models: Mapping[str, ModelVersions], limits: GrpcLimits, observe: Observe | None
) -> list[Any]:
    """All services with their methods, in the form that gRPC needs."""
    budget = Budget(limits.total_bytes)
    prediction = PredictionService(models, limits.message_bytes, budget)
    status, health = ModelService(models), HealthService(models)
    metadata = get_model_metadata_pb2.GetModelMetadataRequest
    calls = _Calls(models, budget, observe)
    methods: dict[str, dict[str, tuple[Any, Answer]]] = {
        "tensorflow.serving.PredictionService": {
            "Predict": (predict_pb2.PredictRequest, prediction.predict),
            "Classify": (classification_pb2.ClassificationRequest, prediction.classify),
            "Regress": (regression_pb2.RegressionRequest, prediction.regress),
            "MultiInference": (inference_pb2.MultiInferenceRequest, prediction.multi_inference),
            "GetModelMetadata": (metadata, prediction.metadata),
        },
        "tensorflow.serving.ModelService": {
            "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, status.status),
            "HandleReloadConfigRequest": (model_management_pb2.ReloadConfigRequest, status.reload),
        },
        HEALTH: {"Check": (StringValue, health.check)},
    }
    handlers = {
        service: {name: calls.handler(name, *answered) for name, answered in found.items()}
        for service, found in methods.items()
    }
    handlers[HEALTH]["Watch"] = grpc.unary_stream_rpc_method_handler(health.watch)
    return [grpc.method_handlers_generic_handler(*service) for service in handlers.items()]


class _Calls:
    """What all methods have in common: status codes, the limit for memory, and metrics."""

    def __init__(
        self, models: Mapping[str, ModelVersions], budget: Budget, observe: Observe | None
    ) -> None:
        self._models, self._budget, self._observe = models, budget, observe

    def handler(self, method: str, kind: Any, answer: Answer) -> grpc.RpcMethodHandler:
        """Make a method for gRPC. It takes bytes, and gives bytes or a status.

        Args:
            method: The method's name, for `observe`.
            kind: The request's class.
            answer: Takes the request, and whether it is large; gives the answer's bytes. It may
                raise RequestError.
        """

        async def call(data: bytes, context: grpc.aio.ServicerContext) -> bytes:
            started, size, request, code = time.perf_counter(), len(data), None, "OK"
            held = 0
            try:
                self._budget.take(size)
                held, large = size, size > LARGE
                request = await apart(large, kind.FromString, data)
                return await answer(request, large)
            except asyncio.CancelledError:
                left = context.time_remaining()
                code = "CANCELLED" if left is None or left > 0 else "DEADLINE_EXCEEDED"
                raise
            except RequestError as error:
                code, message = error.code, error.message
            except DecodeError:
                code, message = "INVALID_ARGUMENT", f"not a {kind.DESCRIPTOR.full_name}"
            except Exception as error:
                log.exception("%s", method)
                code, message = "INTERNAL", f"{type(error).__name__}; see the server's log"
            finally:
                self._budget.give(held)
                if self._observe is not None:
                    seconds = time.perf_counter() - started
                    self._observe(self._known_model(request), method, code, seconds)
            short = message.encode(errors="replace")[:DETAILS].decode(errors="ignore")
            return await context.abort(grpc.StatusCode[code], short)

        return grpc.unary_unary_rpc_method_handler(call)

    def _known_model(self, request: Any) -> str:
        """The model that a request names, if it is served; else '', which keeps metrics bounded."""
        tasks = getattr(request, "tasks", None)
        spec = getattr(tasks[0] if tasks else request, "model_spec", None)
        return spec.name if spec is not None and spec.name in self._models else ""


class HealthService:
    """gRPC's health checks: '' asks about the server, a model's name about that model.

    HealthCheckRequest and HealthCheckResponse have one string and one enum in field 1. As bytes
    they are the same as protobuf's StringValue and Int32Value.

    Args:
        models: The models, by name.
    """

    def __init__(self, models: Mapping[str, ModelVersions]) -> None:
        self._models = models

    async def check(self, request: StringValue, large: bool) -> bytes:
        """Check: the present state.

        Raises:
            RequestError: NOT_FOUND, there is no such model.
        """
        state = self._state(request.value)
        if state == SERVICE_UNKNOWN:
            raise RequestError("NOT_FOUND", f"unknown service {request.value}")
        return Int32Value(value=state).SerializeToString()

    async def watch(self, data: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        """Watch: yield the present state, and the new state whenever it changes."""
        name, told = StringValue.FromString(data).value, None
        while True:
            state = self._state(name)
            if state != told:
                yield Int32Value(value=state).SerializeToString()
                told = state
            await asyncio.sleep(WATCH_SECONDS)

    def _state(self, name: str) -> int:
        if name and name not in self._models:
            return SERVICE_UNKNOWN
        asked = [self._models[name]] if name else list(self._models.values())
        ready = all(any(s.state == AVAILABLE for s in model.status()) for model in asked)
        return SERVING if ready else NOT_SERVING
