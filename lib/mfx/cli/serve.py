"""`mfx serve`: serve a pushed model on this machine, over TensorFlow Serving's API."""

from __future__ import annotations

import argparse
from functools import partial

from mfx.cli.text import command, model_of, where
from mfx.serve import command as serve


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
    serve.options(
        parser,
        "folder of the model's versions, or its URL; by default where the latest run pushes",
    )


def run(given: argparse.Namespace) -> str:
    """Serve until a signal stops the process.

    Raises:
        MfxError: There is nothing to serve, or a port is taken.
    """
    serve.run(given, given.model_dir or str(model_of(given)), partial(print, flush=True))
    return "stopped"
