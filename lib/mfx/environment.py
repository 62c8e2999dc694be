"""Set up the environment for Metaflow before it is imported; find the project's folder."""

from __future__ import annotations

import getpass
import io
import json
import os
import sys
from pathlib import Path

from mfx.storage import retries, s3

HOME = "mfx_home"
"""In a code package: the folder beside the flow with the files that the config names."""

_ROOT = "METAFLOW_DATASTORE_SYSROOT_LOCAL"
_S3 = {
    # Only for listings: all other requests are tried for `mfx.storage.retries.patience` seconds.
    "METAFLOW_S3_RETRY_COUNT": "3",
    "METAFLOW_S3_CLIENT_RETRY_CONFIG": {"mode": "standard", "max_attempts": s3.RETRIES},
    "METAFLOW_DATATOOLS_CLIENT_PARAMS": {
        "config": {
            "connect_timeout": retries.CONNECT_SECONDS,
            "read_timeout": retries.READ_SECONDS,
        }
    },
}
"""Settings that keep a single try of Metaflow's short."""
_SPLITS = {f"METAFLOW_{command}_MAX_NUM_SPLITS": "10000" for command in ("RUN", "RESUME")}
"""The most tasks of a foreach. Metaflow's default is 100, which is too few for candidates."""
_PACKAGE_MARK = ".mf_install"  # Metaflow's file at the root of an unpacked code package.


_project: Path | None = None


def set_defaults(root: Path) -> None:
    """Set environment variables for Metaflow, if the user has not set them.

    They give a user name (the machine may have none), time limits for S3, more than 100 candidates,
    and a local datastore below `root`. With it, `run`, `resume` and `card` find the same runs from
    any folder. A container of a deployed run has no local datastore to keep, so Metaflow's default
    stays there.

    Args:
        root: The project's folder.
    """
    print_anything()
    global _project
    _project = root.resolve()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "root"
    # Metaflow does not accept `root` as a user name.
    os.environ.setdefault("METAFLOW_USER", "mfx" if user == "root" else user)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for option, most in _SPLITS.items():
        os.environ.setdefault(option, most)
    profile = _profile()
    for name, value in _S3.items():
        if name not in profile:
            os.environ.setdefault(name, value if isinstance(value, str) else json.dumps(value))
    if _ROOT not in profile and code_package() is None:
        os.environ.setdefault(_ROOT, str(root))


def print_anything() -> None:
    """Print characters that the terminal does not have as `\\u2192`, instead of failing.

    A terminal or a log may be ASCII or Latin-1, because of LANG, LC_ALL or PYTHONIOENCODING.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def project() -> Path:
    """The folder of the project that this process works in.

    In a container it is the code package. A flow sets it by `set_defaults`. Otherwise it is found
    by `project_around` the current folder.
    """
    if package := code_package():
        return package
    return _project or project_around(Path.cwd())


def project_around(folder: Path) -> Path:
    """The project to which a folder belongs.

    It is the folder itself or the nearest one above it that has a local datastore (`.metaflow`) or
    a folder `flows`. If there is none, it is this library's checkout, or else `folder`.
    """
    for place in (folder.resolve(), *folder.resolve().parents):
        if any((place / mark).is_dir() for mark in (".metaflow", "flows")):
            return place
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "flows").is_dir() else folder.resolve()


def code_package() -> Path | None:
    """The folder of the code package from which this process runs; None on the user's machine."""
    folder = Path(sys.argv[0]).resolve().parent
    return folder if (folder / _PACKAGE_MARK).is_file() else None


def folder_of(home: str) -> str:
    """Where this process finds the files of the config's folder.

    Args:
        home: The config's folder as `kept_home` gives it; a relative one is below the project.
    """
    package = code_package()
    return str(project() / home if package is None else package / HOME)


def kept_home(folder: Path) -> str:
    """A config's folder as it is stored: relative if below the project, so that both can move."""
    if folder.is_relative_to(project()):
        return folder.relative_to(project()).as_posix()
    return str(folder)


def _profile() -> dict[str, str]:
    """The content of the user's Metaflow configuration file, found as Metaflow finds it."""
    home = os.environ.get("METAFLOW_HOME", "~/.metaflowconfig")
    profile = os.environ.get("METAFLOW_PROFILE")
    path = Path(home, f"config_{profile}.json" if profile else "config.json").expanduser()
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
