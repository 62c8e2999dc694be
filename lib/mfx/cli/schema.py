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
        "write the schema that fits a run's data, to be committed",
        "mfx schema accept 1795224328407074",
    )
    accept.add_argument(
        "run", nargs="?", help="the run's id; it may have failed; by default the latest run"
    )
    which(accept)
    accept.add_argument(
        "--to", metavar="PATH", help="the file to write; by default the config's [schema] path"
    )


def accept_schema(flow: str, run: str | None, to: str | None = None) -> str:
    """Write the schema that a run proposes to the file to commit, and return what was done.

    Args:
        flow: The flow's name; '' for the project's flow that has the run, or for its only one.
        run: The run's id; None for the latest of any user.
        to: The file to write; None for the schema of the run's config, on this machine.

    Raises:
        MfxError: There is no such run, the run stopped before `validate`, or the file's folder is
            not there.
    """
    from mfx import registry
    from mfx.validate import schema_file

    schema, settings = registry.artifacts(flow, run, ("validate", "schema"), ("start", "settings"))
    # Not `schema.path`: in a deployed run that is a file of the container's code package.
    path = Path(to or settings.resolve(settings.schema_.path))
    if not path.parent.is_dir():
        raise MfxError(
            f"{path}: its folder is not on this machine",
            "Name the file to write, such as --to flows/taxi/schema.pbtxt.",
        )
    existed = path.exists()
    schema_file.write(path, schema.proposal)
    return (
        f"{'replaced' if existed else 'wrote'} {path}\n"
        "Read it, make it stricter or looser where your data needs that, and commit it."
        + ("" if schema.fits else "\nEven so, the run's own data does not fit it.")
    )
