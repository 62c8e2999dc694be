"""`mfx serve`: TensorFlow Serving's API for a pushed model, on this machine."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mfx.cli.text import command, model_of, where
from mfx.destinations.destination import version_number
from mfx.errors import MfxError

MFX, TRITON = "mfx", "triton"


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    parser = command(
        commands,
        "serve",
        run,
        "serve a pushed model over TensorFlow Serving's REST and gRPC API",
        "mfx serve pushed/taxi --rest-port 8501",
    )
    where(parser, model=True)
    _options(parser)


def main() -> int:
    """The command by itself; returns the exit code."""
    parser = argparse.ArgumentParser(prog="mfx serve", description=__doc__)
    _options(parser)
    try:
        run(parser.parse_args())
    except MfxError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def run(given: argparse.Namespace) -> str:
    """Serve until told to stop.

    Raises:
        MfxError: There is nothing to serve, or a port is taken.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("mfx").setLevel(logging.INFO)
    folder = given.model_dir or str(model_of(given))
    from mfx.serve import server
    from mfx.serve.parameters import BatchingParameters, read

    file = given.batching_parameters_file
    options = server.Options(
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
    serve = server.serve
    if given.engine == TRITON:
        from mfx.serve.triton import server as triton

        serve = triton.serve
    serve(options, _tell)
    return "stopped"


def _tell(serving: Any) -> None:
    versions = ", ".join(map(str, serving.versions))
    print(
        f"{serving.model} {versions}\n  REST {serving.rest}\n  gRPC {serving.grpc}\nCtrl-C to stop",
        flush=True,
    )


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "model_dir",
        nargs="?",
        default="",
        metavar="MODEL_DIR",
        help="folder of the model's versions, on disk or s3://; by default where its latest run "
        "pushes",
    )
    add("--model-name", default="", help="its name for clients; by default the folder's")
    add("--host", default="127.0.0.1", help="address to listen at (%(default)s: this machine only)")
    add("--rest-port", type=int, default=8501, help="0 for any free one (%(default)s)")
    add("--grpc-port", type=int, default=8500, help="0 for any free one (%(default)s)")
    add("--keep", type=int, default=1, help="how many of the newest versions (%(default)s)")
    add(
        "--version-label",
        action="append",
        type=_label,
        default=[],
        metavar="LABEL=VERSION",
        help="a name for a version, which is served beside the newest; several times",
    )
    add(
        "--engine",
        choices=[MFX, TRITON],
        default=MFX,
        help="triton: NVIDIA's server, KServe's V2 API instead; needs the extra triton "
        "(%(default)s)",
    )
    add(
        "--cors-origin",
        action="append",
        type=_origin,
        default=[],
        metavar="ORIGIN",
        help="whose web pages may ask over REST, as https://example.com, or '*' for all; several "
        "times",
    )
    add("--poll-seconds", type=float, default=1.0, help="between looks (%(default)s)")
    add(
        "--batching-parameters-file",
        type=Path,
        metavar="FILE",
        help="TensorFlow Serving's: max_batch_size, allowed_batch_sizes and so on",
    )


def _origin(text: str) -> str:
    if text != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#\s]+", text):
        raise argparse.ArgumentTypeError(
            f"'{text}': expected an origin without a path, as https://example.com, or '*'"
        )
    return text


def _label(text: str) -> tuple[str, int]:
    name, _, version = text.partition("=")
    number = version_number(version)
    if number is None or not name or set(name) & set("/:"):
        raise argparse.ArgumentTypeError(
            f"'{text}': expected LABEL=VERSION, a name without / and : and a whole number"
        )
    return name, number


def _labels(given: Sequence[tuple[str, int]]) -> dict[str, int]:
    labels: dict[str, int] = {}
    for label, version in given:
        if labels.setdefault(label, version) != version:
            raise MfxError(f"--version-label {label}: given for {labels[label]} and {version}")
    return labels
