"""A PostgreSQL of the tests' own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.metadata_service import postgres


@contextmanager
def postgresql(port: int | None = None) -> Iterator[str]:
    """A server, and the address of an empty database of it.

    Args:
        port: On 127.0.0.1, where it answers too if this is given.

    Raises:
        UnavailableError: PostgreSQL is not installed here.
    """
    with tempfile.TemporaryDirectory(prefix="mfx-sql-") as directory:
        folder = Path(directory)
        folder.chmod(0o755)
        with postgres(folder, port) as words:
            pairs = dict(pair.split("=") for pair in words.split())
            if port:
                yield f"postgresql://postgres@127.0.0.1:{port}/metaflow"
            else:
                yield f"postgresql://postgres@/metaflow?host={pairs['host']}"


def psql(dsn: str, given: str, command: str = "") -> str:
    """What `psql` prints for statements, or for one command with `given` as its input."""
    asked = ["-c", command] if command else []
    done = subprocess.run(
        ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, *asked],
        input=given,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
