"""The `mfx` command: what a user does beside running the flow."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mfx.environment import set_defaults
from mfx.errors import MfxError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit code 0 if it did what was asked, 1 with one message if not."""
    parser = argparse.ArgumentParser(prog="mfx", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    schema = commands.add_parser("schema", help="the committed schema")
    actions = schema.add_subparsers(dest="action", required=True)
    accept = actions.add_parser(
        "accept",
        help="commit the schema that a run's data would give",
        epilog="example: mfx schema accept 1795224328407074",
    )
    accept.add_argument(
        "run", nargs="?", help="id of the run, also of a stopped one; by default the latest"
    )
    accept.add_argument("--flow", default="Pipeline", help="the flow's name (%(default)s)")
    given = parser.parse_args(arguments)
    set_defaults(root=_project_root(Path.cwd()))
    try:
        print(accept_schema(given.flow, given.run))
    except MfxError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


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


def _project_root(folder: Path) -> Path:
    """The nearest folder above that holds a local datastore, else this library's checkout."""
    checkout = Path(__file__).resolve().parents[2]
    for place in (folder, *folder.parents):
        if (place / ".metaflow").is_dir():
            return place
    return checkout if (checkout / "flows").is_dir() else folder


if __name__ == "__main__":
    sys.exit(main())
