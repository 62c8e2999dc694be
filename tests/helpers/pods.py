"""A container of a deployed run, without a cluster: a command in an empty folder, with nothing but
the image's environment.

In a mount namespace of its own the command sees an empty working folder, /tmp and /mnt/out, the
virtual environment at the image's place, and no checkout. The environment is the one the tests run
in, or MFX_IMAGE_VENV, such as one made by the Dockerfile's commands.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.flows import ROOT

SCRIPT = r"""
set -eu
mount -t tmpfs pod /mnt
mount -t tmpfs pod /srv
mkdir -p /mnt/out /srv/work "$IMAGE"
mount --bind "$POD/work" /srv/work
mount --bind "$POD/out" /mnt/out
mount --bind "$VENV" "$IMAGE"
mount --bind "$POD/tmp" /tmp
for folder in $HIDDEN; do
    [ ! -d "$folder" ] || mount -t tmpfs pod "$folder"
done
cd /srv/work
exec env -i "$@"
"""


@dataclass(frozen=True)
class Done:
    """What a container left: its exit code, output, seconds, and the folder /mnt/out."""

    code: int
    output: str
    seconds: float
    out: Path


def image_environment() -> dict[str, str]:
    """The environment that the Dockerfile's last stage sets."""
    last = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    lines = [line.removeprefix("ENV ") for line in last.splitlines() if line.startswith("ENV ")]
    return dict(line.split("=", 1) for line in lines)


def _unshare() -> list[str]:
    """How to get a mount namespace here: as root, or as root of a user namespace."""
    for command in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        command = [*command, "--propagation", "private"]
        try:
            trial = [*command, "mount", "-t", "tmpfs", "pod", "/mnt"]
            if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
                return command
        except FileNotFoundError:
            break
    return []


@pytest.fixture(scope="session")
def isolated() -> None:
    """Skips where this user may not mount."""
    if not _unshare():
        pytest.skip("executing deployed runs needs mount namespaces (root, or user namespaces)")


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Done:
    """Execute a container's command.

    Args:
        command: The container's command, as the workflow states it.
        environment: Its variables, beside the image's own.
        folder: A new folder for what it writes.
    """
    for name in ("work", "out", "tmp"):
        (folder / name).mkdir(parents=True)
    image = image_environment()
    values = {"HOME": "/srv/work", **image, **environment}
    begin = time.perf_counter()
    done = subprocess.run(
        [
            *_unshare(),
            *("bash", "-c", SCRIPT, "pod"),
            *(f"{name}={value}" for name, value in values.items()),
            *command,
        ],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "POD": str(folder),
            "VENV": str(Path(os.environ.get("MFX_IMAGE_VENV", sys.prefix)).resolve()),
            "IMAGE": image["PATH"].split("/bin:")[0],
            "HIDDEN": " ".join(_checkouts()),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return Done(done.returncode, done.stdout, time.perf_counter() - begin, folder / "out")


def _checkouts() -> list[str]:
    """This checkout, and the one whose `mfx` the virtual environment has."""
    installed = subprocess.run(
        [sys.executable, "-I", "-c", "import mfx; print(mfx.__path__[0])"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout.strip()
    return [str(ROOT), *([str(Path(installed).parent)] if installed else [])]
