"""What Metaflow needs of the environment before it is imported."""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path

_ROOT = "METAFLOW_DATASTORE_SYSROOT_LOCAL"


def set_defaults(root: Path) -> None:
    """Give Metaflow what a bare machine lacks; what the user has set stays.

    That is a user name (there may be none in the environment), and a local datastore below
    `root`, so that `run`, `resume` and `card` find the same runs from any folder.
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "root"
    # Metaflow takes `root` for no user at all.
    os.environ.setdefault("METAFLOW_USER", "mfx" if user == "root" else user)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if _ROOT not in _profile():
        os.environ.setdefault(_ROOT, str(root))


def _profile() -> dict[str, str]:
    """The user's Metaflow configuration file, found as Metaflow finds it."""
    home = os.environ.get("METAFLOW_HOME", "~/.metaflowconfig")
    profile = os.environ.get("METAFLOW_PROFILE")
    path = Path(home, f"config_{profile}.json" if profile else "config.json").expanduser()
    return json.loads(path.read_text()) if path.is_file() else {}
