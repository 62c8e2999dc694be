"""The one room that makes Beam pipelines: in this process, or on the runner that `[beam]` names."""

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
    """What results say of where they were made: `name`, and the runner unless it is this process.

    Args:
        name: What ran, such as `TFT on Beam`.
        options: The config's `[beam]`.
    """
    given = dict(option.removeprefix("--").partition("=")[::2] for option in options.options)
    if not given:
        return name
    endpoint = f" at {given['job_endpoint']}" if "job_endpoint" in given else ""
    return f"{name} ({given['runner']}{endpoint})"


@contextmanager
def pipeline(options: Beam) -> Iterator[beam.Pipeline]:
    """A pipeline that is run at the end of the block.

    Raises:
        MfxError: An option that Beam does not know or take, a job endpoint that does not answer,
            or a job that failed on a runner other than this process.
    """
    if not options.options:
        # Named outright: `DirectRunner` may mean another runner that needs a download.
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
        # What went wrong before the pipeline was complete has nothing to do with the runner.
        if not complete:
            raise
        # In this process it would fail alike again.
        failed = TransientError if options.options else MfxError
        raise failed(
            f"{engine('Beam', options)}: the job failed: {_last_line(error)}",
            "The log above and the runner's own have more. Workers need this version of mfx, "
            "access to Metaflow's datastore, and the folder temp of [beam].",
        ) from error


@contextmanager
def folder(options: Beam) -> Iterator[str]:
    """A new folder for what pipelines write, below `[beam] temp`; gone afterwards.

    Raises:
        MfxError: It cannot be made.
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
            f"[beam] temp: cannot make a folder in {options.temp}: {error.message}",
            "Name a folder that this machine and all workers can write to.",
        ) from None
    try:
        yield path
    finally:
        tf.io.gfile.rmtree(path)


def fetch(source: str, target: Path) -> None:
    """Copy a folder that a pipeline wrote, on whatever storage, to this machine."""
    for directory, _, names in tf.io.gfile.walk(source):
        here = target / directory[len(source) :].strip("/")
        here.mkdir(parents=True, exist_ok=True)
        for name in names:
            tf.io.gfile.copy(f"{directory.rstrip('/')}/{name}", str(here / name), overwrite=True)


@contextmanager
def _said_once() -> Iterator[None]:
    """Keep Beam from logging the traceback of an error that it raises too, in this process."""
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
    except SystemExit:  # how argparse refuses a value
        raise MfxError(f"{WHERE}: {said.getvalue().strip().rpartition('error: ')[2]}") from None
    endpoint = parsed.view_as(PortableOptions).job_endpoint
    described = _described(endpoint) if endpoint not in (None, "embed") else set()
    for name in sorted(unknown - described):
        raise MfxError(f"{WHERE}: Beam knows no '--{name}'{nearest(name, {*known, *described})}")
    try:
        return beam.Pipeline(options=parsed)
    except (ValueError, ImportError) as error:
        raise MfxError(f"{WHERE}: {error}") from None


def _described(endpoint: str) -> set[str]:
    """The names of the options that the job server has of its own."""
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
    """The last thing that an error says: of a worker's traceback, its exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next(
        (line for line in reversed(lines) if not line.startswith("[while")), type(error).__name__
    )
