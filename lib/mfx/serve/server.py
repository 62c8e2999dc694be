"""The server: it serves one model over REST and gRPC until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import tensorflow as tf

from mfx.destinations import open_folder
from mfx.destinations.base import Destination
from mfx.errors import MfxError
from mfx.export import warmup
from mfx.serve.grpc import api
from mfx.serve.http import rest
from mfx.serve.http.metrics import Metrics
from mfx.serve.model import ServedModel
from mfx.serve.parameters import BatchingParameters
from mfx.serve.versions import AVAILABLE, END, ModelVersions, Versions

GRACE_SECONDS = 10
"""How long requests may take that are being answered when the server is stopped."""
_MOST_NAMED = 10


@dataclass(frozen=True)
class Options:
    """What to serve, and where.

    Attributes:
        folder: A model's folder of versions: `<destination>/<model>`, on disk or in a
            bucket.
        name: The model's name for clients; by default the folder's.
        host: The address to listen at; by default only this machine can reach it.
        rest_port: The port for REST; 0 for any free port.
        grpc_port: The port for gRPC; 0 for any free port.
        keep: How many of the newest versions are served.
        labels: Versions by label. They are served besides the newest, until the server ends.
        poll_seconds: Seconds between two looks for new versions.
        batching: How requests are put together into batches.
        cors_origins: Origins of web pages whose scripts may use the REST API; `*` for all.
    """

    folder: str
    name: str = ""
    host: str = "127.0.0.1"
    rest_port: int = 8501
    grpc_port: int = 8500
    keep: int = 1
    labels: Mapping[str, int] = field(default_factory=dict)
    poll_seconds: float = 1.0
    batching: BatchingParameters = field(default_factory=BatchingParameters)
    cors_origins: Sequence[str] = ()


@dataclass(frozen=True)
class Serving:
    """A server that is ready for requests.

    Attributes:
        model: The model's name.
        versions: The served versions, ascending.
        rest: The address of the REST API.
        grpc: The address of the gRPC API.
    """

    model: str
    versions: list[int]
    rest: str
    grpc: str


def serve(options: Options, ready: Callable[[Serving], None]) -> None:
    """Serve until SIGTERM or SIGINT; then answer the requests at hand, and return.

    Args:
        options: What to serve, and where.
        ready: Called once a version answers.

    Raises:
        MfxError: There is no version that can be served, or a port is taken.
    """
    import uvloop

    source, name = open_folder(options.folder)
    name = options.name or name
    models: dict[str, ModelVersions] = {}
    metrics = Metrics(models)
    models[name] = versions = ModelVersions(
        name,
        source,
        replace(options.batching, observed=metrics.batch_observer(name)),
        keep=options.keep,
        labels=options.labels,
        poll_seconds=options.poll_seconds,
        warm_up=warm_up,
        observe_load=partial(metrics.observe_load, name),
    )
    versions.start()
    try:
        check_can_serve(versions, source, options)
        uvloop.run(_answer(models, options, metrics, ready))
    finally:
        versions.stop()


async def _answer(
    models: Mapping[str, ModelVersions],
    options: Options,
    metrics: Metrics,
    ready: Callable[[Serving], None],
) -> None:
    """Answer over REST and gRPC from one event loop, until a signal comes."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        over_rest = await rest.start(
            models,
            options.host,
            options.rest_port,
            metrics=metrics,
            cors_origins=options.cors_origins,
        )
    except OSError as error:
        raise MfxError(
            f"{options.host}:{options.rest_port}: cannot listen: {error.strerror}",
            "Give another --rest-port or --host.",
        ) from None
    try:
        over_grpc = await api.start(
            models, options.host, options.grpc_port, observe=partial(_observe, metrics)
        )
        (versions,) = models.values()
        host = f"[{options.host}]" if ":" in options.host else options.host
        ready(
            Serving(
                versions.name,
                versions.served(),
                f"http://{host}:{over_rest.port}/v1/models/{versions.name}",
                f"{host}:{over_grpc.port}",
            )
        )
        await stop.wait()
        await over_grpc.stop(GRACE_SECONDS)
    finally:
        await over_rest.stop()


def _observe(metrics: Metrics, model: str, method: str, code: str, seconds: float) -> None:
    metrics.observe(model, method, "GRPC", code, seconds)


def warm_up(model: ServedModel, folder: Path) -> None:
    """Run the warm-up requests in the model's folder, so that no client waits for the first run.

    Raises:
        RequestError, KeyError, ValueError: A request does not fit the model.
        AttributeError: A request is of a kind that no signature takes.
    """
    for log in warmup.read(folder):
        kind = log.WhichOneof("log_type")
        request = getattr(log, kind).request
        signature = model.signature(request.model_spec.signature_name)
        if kind == "predict_log":
            inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        else:
            examples = request.input.example_list.examples
            inputs = {name: [e.SerializeToString() for e in examples] for name in signature.inputs}
        model.run(signature.name, inputs)


def check_can_serve(versions: Versions, source: Destination, options: Options) -> None:
    """Check that some version can be served now or soon, and the version of each label now.

    Raises:
        MfxError: There is no version, no version can be loaded, or the version of a label is not
            there or cannot be loaded.
    """
    status = {version.version: version for version in versions.status()}
    if not status:
        passed = ", ".join(source.passed_over()[:_MOST_NAMED])
        raise MfxError(
            f"{options.folder}: no version of a model here"
            + (f"; these names are no version numbers: {passed}" if passed else ""),
            "A version's folder has a whole number as its name, such as 1, of at most 2^63 - 1. "
            "Push a version first: make run. Or name a model's folder: mfx serve pushed/taxi",
        )
    if all(version.state == END for version in status.values()):
        newest = status[max(status)]
        raise MfxError(f"{source.path(newest.version)} cannot be served: {newest.message}")
    for label, version in options.labels.items():
        if version not in status:
            raise MfxError(
                f"--version-label {label}={version}: there is no version {version} in "
                f"{options.folder}",
                f"There are {', '.join(map(str, sorted(status)))}.",
            )
        if status[version].state != AVAILABLE:
            raise MfxError(
                f"--version-label {label}={version}: {source.path(version)} cannot be served: "
                f"{status[version].message}"
            )
