"""`mfx schema`: the committed schema."""

from __future__ import annotations

import argparse
from pathlib import Path

from mfx.cli.text import command, which
from mfx.errors import MfxError


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    schema = commands.add_parser("schema", help="the committed schema")
    actions = schema.add_subparsers(dest="action", required=True)
    accept = command(
        actions,
        "accept",
        lambda given: accept_schema(given.flow, given.run, given.to),
        "commit the schema that a run's data would give",
        "mfx schema accept 1795224328407074",
    )
    accept.add_argument(
        "run", nargs="?", help="id of the run, also of a stopped one; by default the latest"
    )
    which(accept)
    accept.add_argument(
        "--to", metavar="PATH", help="the file to write; by default the one that the config names"
    )


def accept_schema(flow: str, run: str | None, to: str | None = None) -> str:
    """Write the schema that a run proposes to its committed place; say what was done.

    Args:
        flow: The flow's name; empty is any of the project's that has the run, or its only one.
        run: Id of the run; None is the latest, of any user.
        to: The file to write; None is the schema of the run's config, on this machine.

    Raises:
        MfxError: There is no such run, it stopped before it saw its data, or there is no such
            folder here.
    """
    from mfx import registry
    from mfx.validate import schema_file

    schema, settings = registry.artifacts(flow, run, ("validate", "schema"), ("start", "settings"))
    # Not `schema.path`: in a deployed run that is a file of the container's code package.
    path = Path(to or settings.resolve(settings.schema_.path))
    if not path.parent.is_dir():
        raise MfxError(
            f"{path}: there is no such folder on this machine",
            "Name the file to write, such as --to flows/taxi/schema.pbtxt.",
        )
    existed = path.exists()
    schema_file.write(path, schema.proposal)
    return (
        f"{'replaced' if existed else 'wrote'} {path}\n"
        "Read it, tighten or loosen what your data needs, and commit it."
        + ("" if schema.fits else "\nThe run's own data breaks it all the same.")
    )
