"""The `mfx` command: look at runs, compare them, put models into production and serve them.

Exit codes: 0, the command did what was asked; 1, it did not, and a message says why; 2, the command
line is wrong; 3, someone else's promotion came first, so nothing was changed.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from mfx import __version__
from mfx.cli import comparing, config, manifests, new, production, runs, schema, serve, ui
from mfx.cli.schema import accept_schema
from mfx.environment import print_anything, project_around, set_defaults
from mfx.errors import MfxError

__all__ = ["accept_schema", "main"]

FAILED, CONFLICT = 1, 3


def make_parser() -> argparse.ArgumentParser:
    """The whole command line, from which docs/reference/cli.md is made too."""
    parser = argparse.ArgumentParser(
        prog="mfx", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"mfx {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for group in (new, runs, comparing, production, ui, serve, manifests, schema, config):
        group.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    print_anything()
    # As in the steps of the flow: libraries warn of Python versions, and of each other.
    warnings.filterwarnings("ignore", category=FutureWarning)
    given = make_parser().parse_args(arguments)
    set_defaults(root=project_around(Path.cwd()))
    try:
        return _run(given)
    except MfxError as error:
        print(error, file=sys.stderr)
        # By its name, because not every command needs the module that has the class.
        return CONFLICT if type(error).__name__ == "ConflictError" else FAILED
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"mfx {given.command}: {what}", file=sys.stderr)
        return FAILED


def _run(given: argparse.Namespace) -> int:
    from metaflow import namespace
    from metaflow.exception import MetaflowException

    if getattr(given, "all", False):
        namespace(None)
    elif getattr(given, "namespace", None):
        namespace(given.namespace)
    try:
        if getattr(given, "pipeline", None) and not given.flow:
            from mfx.registry import flows

            given.flow = flows.flow_of_pipeline(given.pipeline)
        said = given.run_command(given)
    except MetaflowException as error:
        raise MfxError(f"mfx {given.command}: Metaflow says: {error}") from None
    try:
        print(said, flush=True)
    except BrokenPipeError:
        # The reader, such as `head`, has enough. At exit Python would try again, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
