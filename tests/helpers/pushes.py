"""Where versions are put up in tests, and one put up as a promotion does."""

from __future__ import annotations

import os
from pathlib import Path

ADDRESSES = {
    "folder": lambda request: str(request.getfixturevalue("tmp_path") / "pushed"),
    "s3": lambda request: f"s3://{request.getfixturevalue('s3').bucket}/some/prefix",
    "gs": lambda request: f"gs://{request.getfixturevalue('gs')}/some/prefix",
    "az": lambda request: f"az://{request.getfixturevalue('az')}/some/prefix",
}
"""Makes an empty destination's address, for each that is registered."""


def push_folder(destination, folder: Path) -> int:
    """Put a folder up as the next version, as a promotion does, but without the log."""
    import json

    from mfx.destinations.base import RECORD, STAGED

    name = f"{STAGED}{os.urandom(8).hex()}"
    record = folder / RECORD
    given = json.loads(record.read_text()) if record.is_file() else {}
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({**given, "push": name}))
    destination.stage(folder, name)
    version = destination.next_version()
    destination.publish(name, version)
    destination.discard(name)
    return version
