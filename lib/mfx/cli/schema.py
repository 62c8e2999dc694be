"""`mfx schema`: the committed schema."""

from __future__ import annotations

import argparse
from pathlib import Path

from mfx.cli.text import command


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    schema = commands.add_parser("schema", help="the committed schema")
    actions = schema.add_subparsers(dest="action", required=True)
    accept = command(
        actions,
        "accept",
        lambda given: accept_schema(given.flow, given.run),
        "commit the schema that a run's data would give",
        "mfx schema accept 1795224328407074",
    )
    accept.add_argument(
        "run", nargs="?", help="id of the run, also of a stopped one; by default the latest"
    )
    accept.add_argument("--flow", default="Pipeline", help="the flow's name (%(default)s)")


def accept_schema(flow: str, run: str | None) -> str:
    """Write the schema that a run proposes to its committed place; say what was done.

    Raises:
        MfxError: There is no such run, or it stopped before it saw its data.
    """
    from mfx import registry, schema_file

    schema = registry.artifact(flow, run, "validate", "schema")
    path = Path(schema.path)
    existed = path.exists()
    schema_file.write(path, schema.proposal)
    return (
        f"{'replaced' if existed else 'wrote'} {path}\n"
        "Read it, tighten or loosen what your data needs, and commit it."
    )
