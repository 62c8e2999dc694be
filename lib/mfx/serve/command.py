"""Serve a model over REST and gRPC until it is stopped."""

from __future__ import annotations

import argparse
import logging
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mfx.destinations.base import version_number
from mfx.errors import MfxError

if TYPE_CHECKING:
    from mfx.serve.server import Serving

MFX, TRITON = "mfx", "triton"


def main(report: Callable[[str], object]) -> None:
    """Run the command alone (see `run`). After a mistake the process ends with exit code 1."""
    parser = argparse.ArgumentParser(prog="mfx serve", description=__doc__)
    options(parser, "folder of the model's versions, on disk, s3://, gs:// or az://")
    given = parser.parse_args()
    try:
        if not given.model_dir:
            raise MfxError("MODEL_DIR is missing", "Give the folder of a model's versions.")
        run(given, given.model_dir, report)
    except MfxError as error:
        parser.exit(1, f"{error}\n")


def run(given: argparse.Namespace, folder: str, report: Callable[[str], object]) -> None:
    """Serve a model until the process is told to stop.

    Args:
        given: The parsed options (see `options`).
        folder: The folder of the model's versions.
        report: Called with the addresses of the server once it answers.

    Raises:
        MfxError: There is nothing to serve, or a port is taken.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("mfx").setLevel(logging.INFO)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of its own loader
    from mfx.serve import server
    from mfx.serve.parameters import BatchingParameters, read

    file = given.batching_parameters_file
    chosen = server.Options(
        folder,
        given.model_name,
        given.host,
        given.rest_port,
        given.grpc_port,
        given.keep,
        _labels(given.version_label),
        given.poll_seconds,
        read(file) if file else BatchingParameters(),
        given.cors_origin,
    )

    def told(serving: server.Serving) -> None:
        report(_said(serving))

    serve = server.serve
    if given.engine == TRITON:
        from mfx.serve.triton import server as triton

        serve = triton.serve
    serve(chosen, told)


def _said(serving: Serving) -> str:
    versions = ", ".join(map(str, serving.versions))
    return (
        f"{serving.model} {versions}\n  REST {serving.rest}\n  gRPC {serving.grpc}\nCtrl-C to stop"
    )


def options(parser: argparse.ArgumentParser, model_dir: str) -> None:
    """Add the server's options to a parser.

    Args:
        parser: The parser.
        model_dir: The help for MODEL_DIR.
    """
    add = parser.add_argument
    add(
        "model_dir",
        nargs="?",
        default="",
        metavar="MODEL_DIR",
        help=model_dir,
    )
    add("--model-name", default="", help="the model's name for clients; by default the folder's")
    add("--host", default="127.0.0.1", help="address to listen at (%(default)s: this machine only)")
    add("--rest-port", type=int, default=8501, help="0 for any free port (%(default)s)")
    add("--grpc-port", type=int, default=8500, help="0 for any free port (%(default)s)")
    add("--keep", type=int, default=1, help="serve so many of the newest versions (%(default)s)")
    add(
        "--version-label",
        action="append",
        type=_label,
        default=[],
        metavar="LABEL=VERSION",
        help="a name for a version; it is served besides the newest; can be given several times",
    )
    add(
        "--engine",
        choices=[MFX, TRITON],
        default=MFX,
        help="triton: NVIDIA's server with KServe's V2 API; needs the extra triton (%(default)s)",
    )
    add(
        "--cors-origin",
        action="append",
        type=_origin,
        default=[],
        metavar="ORIGIN",
        help="web pages from here may use the REST API, such as https://example.com, or '*' for "
        "all; can be given several times",
    )
    add(
        "--poll-seconds",
        type=float,
        default=1.0,
        help="seconds between two looks for new versions (%(default)s)",
    )
    add(
        "--batching-parameters-file",
        type=Path,
        metavar="FILE",
        help="file in TensorFlow Serving's format: max_batch_size, allowed_batch_sizes and so on",
    )


def _origin(text: str) -> str:
    if text != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#\s]+", text):
        raise argparse.ArgumentTypeError(
            f"'{text}': expected an origin without a path, such as https://example.com, or '*'"
        )
    return text


def _label(text: str) -> tuple[str, int]:
    name, _, version = text.partition("=")
    number = version_number(version)
    if number is None or not name or set(name) & set("/:"):
        raise argparse.ArgumentTypeError(
            f"'{text}': expected LABEL=VERSION, with a name without / and :, and a whole number"
        )
    return name, number


def _labels(given: Sequence[tuple[str, int]]) -> dict[str, int]:
    labels: dict[str, int] = {}
    for label, version in given:
        if labels.setdefault(label, version) != version:
            raise MfxError(
                f"--version-label {label}: given for the versions {labels[label]} and {version}",
                "Give each label to one version.",
            )
    return labels
