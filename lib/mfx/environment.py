"""What Metaflow needs of the environment before it is imported."""

from __future__ import annotations

import getpass
import io
import json
import os
import sys
from pathlib import Path

from mfx.storage import s3

HOME = "mfx_home"
"""The folder beside the flow, in a code package, with the files that the config names."""

_ROOT = "METAFLOW_DATASTORE_SYSROOT_LOCAL"
_S3 = {
    # Tries of a listing; all else is tried for as long as `mfx.storage.s3.patience` says.
    "METAFLOW_S3_RETRY_COUNT": "3",
    "METAFLOW_S3_CLIENT_RETRY_CONFIG": {"mode": "standard", "max_attempts": s3.RETRIES},
    "METAFLOW_DATATOOLS_CLIENT_PARAMS": {
        "config": {"connect_timeout": s3.CONNECT_SECONDS, "read_timeout": s3.READ_SECONDS}
    },
}
"""What keeps one try of Metaflow's short."""
_SPLITS = {f"METAFLOW_{command}_MAX_NUM_SPLITS": "10000" for command in ("RUN", "RESUME")}
"""Most candidates of a run here; by default Metaflow stops at 100."""
_PACKAGE_MARK = ".mf_install"  # Metaflow's, at the root of an unpacked code package


_project: Path | None = None


def set_defaults(root: Path) -> None:
    """Give Metaflow what a bare machine lacks; what the user has set stays. `root` is the project.

    That is a user name (there may be none in the environment), the time after which S3 counts as
    gone, room for more than 100 candidates, and a local datastore below `root`, so that `run`,
    `resume` and `card` find the same runs from any folder. A container of a deployed run keeps
    nothing, and Metaflow's own default suits it.
    """
    print_anything()
    global _project
    _project = root.resolve()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "root"
    # Metaflow takes `root` for no user at all.
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
    """Let what the user's terminal has no character for be printed as `\\u2192`, not be an error.

    A terminal or a log may be of ASCII or Latin-1, by LANG, LC_ALL or PYTHONIOENCODING.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def project() -> Path:
    """The project that this process works in; of a container its code package.

    A flow says it, by `set_defaults`. Otherwise it is the nearest folder above the current one that
    holds a local datastore, or else flows; or this library's checkout.
    """
    if package := code_package():
        return package
    return _project or project_around(Path.cwd())


def project_around(folder: Path) -> Path:
    """The project that a command given in `folder` is about."""
    for place in (folder.resolve(), *folder.resolve().parents):
        if any((place / mark).is_dir() for mark in (".metaflow", "flows")):
            return place
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "flows").is_dir() else folder.resolve()


def code_package() -> Path | None:
    """The folder of the code package that this process runs from; None on the user's machine."""
    folder = Path(sys.argv[0]).resolve().parent
    return folder if (folder / _PACKAGE_MARK).is_file() else None


def folder_of(home: str) -> str:
    """Where the files of the config's folder `home` are for this process: below its project, if
    `home` is relative."""
    package = code_package()
    return str(project() / home if package is None else package / HOME)


def kept_home(folder: Path) -> str:
    """A config's folder as it is kept: from the project if it lies in it, so that both may move."""
    if folder.is_relative_to(project()):
        return folder.relative_to(project()).as_posix()
    return str(folder)


def _profile() -> dict[str, str]:
    """The user's Metaflow configuration file, found as Metaflow finds it."""
    home = os.environ.get("METAFLOW_HOME", "~/.metaflowconfig")
    profile = os.environ.get("METAFLOW_PROFILE")
    path = Path(home, f"config_{profile}.json" if profile else "config.json").expanduser()
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
