"""Run Beam pipelines, in this process or on the runner that `[beam]` names.

No other module creates pipelines.
"""

from __future__ import annotations

import io
import logging
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import apache_beam as beam
import grpc
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from mfx.beam import _private
from mfx.config import Beam
from mfx.errors import MfxError, TransientError, nearest

ENDPOINT_SECONDS = 10
"""How long a job endpoint may take to answer; Beam itself would wait five minutes."""
WHERE = "[beam] options"


def engine(name: str, options: Beam) -> str:
    """A description of the engine, for results: `name`, and the runner if it is not this process.

    Args:
        name: What ran, such as `TFT on Beam`.
        options: The config's table `[beam]`.
    """
    given = dict(option.removeprefix("--").partition("=")[::2] for option in options.options)
    if not given:
        return name
    endpoint = f" at {given['job_endpoint']}" if "job_endpoint" in given else ""
    return f"{name} ({given['runner']}{endpoint})"


@contextmanager
def pipeline(options: Beam) -> Iterator[beam.Pipeline]:
    """A pipeline that runs at the end of the `with` block.

    Raises:
        MfxError: Beam does not know or accept an option, the job endpoint does not answer, or the
            job failed on a runner outside this process.
    """
    if not options.options:
        # `DirectRunner` is not used: it may choose another runner, which needs a download.
        with _said_once(), beam.Pipeline(runner=_private.FnApiRunner()) as made:
            yield made
        return
    made = _remote(options)
    complete = False
    try:
        with made:
            yield made
            complete = True
    except Exception as error:
        # An error before the pipeline was complete did not come from the runner.
        if not complete:
            raise
        # In this process it would fail again in the same way.
        failed = TransientError if options.options else MfxError
        raise failed(
            f"{engine('Beam', options)}: the job failed: {_last_line(error)}",
            "See the log above and the runner's own log. Workers need this version of mfx, access "
            "to Metaflow's datastore, and the folder that temp under [beam] names.",
        ) from error


@contextmanager
def folder(options: Beam) -> Iterator[str]:
    """A new folder for a pipeline's files, below `[beam] temp`. It is removed afterwards.

    Raises:
        MfxError: The folder cannot be created.
    """
    if options.temp is None:
        with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
            yield directory
        return
    path = f"{options.temp.rstrip('/')}/mfx-{uuid.uuid4().hex}"
    try:
        tf.io.gfile.makedirs(path)
    except tf.errors.OpError as error:
        raise MfxError(
            f"[beam] temp: cannot create a folder in {options.temp}: {error.message}",
            "Name a folder that this machine and all workers can write to.",
        ) from None
    try:
        yield path
    finally:
        tf.io.gfile.rmtree(path)


def fetch(source: str, target: Path) -> None:
    """Copy a folder that a pipeline wrote, on any storage, to this machine."""
    for directory, _, names in tf.io.gfile.walk(source):
        here = target / directory[len(source) :].strip("/")
        here.mkdir(parents=True, exist_ok=True)
        for name in names:
            tf.io.gfile.copy(f"{directory.rstrip('/')}/{name}", str(here / name), overwrite=True)


@contextmanager
def _said_once() -> Iterator[None]:
    """Keep Beam from logging the traceback of an error that it also raises in this process."""
    log = logging.getLogger(_private.WORKER_LOG)
    log.disabled, before = True, log.disabled
    try:
        yield
    finally:
        log.disabled = before


def _remote(options: Beam) -> beam.Pipeline:
    parsed = PipelineOptions(options.options)
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            known = parsed.get_all_options()
            unknown = set(parsed.get_all_options(retain_unknown_options=True)) - set(known)
    except SystemExit:  # This is how argparse refuses a value.
        raise MfxError(f"{WHERE}: {said.getvalue().strip().rpartition('error: ')[2]}") from None
    endpoint = parsed.view_as(PortableOptions).job_endpoint
    described = _described(endpoint) if endpoint not in (None, "embed") else set()
    for name in sorted(unknown - described):
        hint = nearest(name, {*known, *described})
        raise MfxError(f"{WHERE}: Beam does not know the option '--{name}'{hint}")
    try:
        return beam.Pipeline(options=parsed)
    except (ValueError, ImportError) as error:
        raise MfxError(f"{WHERE}: {error}") from None


def _described(endpoint: str) -> set[str]:
    """The names of the job server's own options."""
    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=ENDPOINT_SECONDS)
            answer = beam_job_api_pb2_grpc.JobServiceStub(channel).DescribePipelineOptions(
                beam_job_api_pb2.DescribePipelineOptionsRequest(), timeout=ENDPOINT_SECONDS
            )
        except (grpc.FutureTimeoutError, grpc.RpcError) as error:
            why = error.code().name if isinstance(error, grpc.Call) else "no connection"
            raise TransientError(
                f"{WHERE}: no Beam job server answers at --job_endpoint={endpoint}: {why} within "
                f"{ENDPOINT_SECONDS} s",
                "Start it, or fix its host and port.",
            ) from None
    return {option.name for option in answer.options}


def _last_line(error: Exception) -> str:
    """The last line of an error's text. In a worker's traceback that is the exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next(
        (line for line in reversed(lines) if not line.startswith("[while")), type(error).__name__
    )
