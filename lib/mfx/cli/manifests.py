"""`mfx manifests`: files with which TF Serving serves the pushed model in production."""

from __future__ import annotations

import argparse
from pathlib import Path

from mfx.cli.text import command, model_of, where
from mfx.destinations.base import version_number


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    manifests = command(
        commands,
        "manifests",
        _manifests,
        "write files to serve the model in production: TF Serving, Compose, Kubernetes, KServe",
        "mfx manifests --out serving/taxi --version-label stable=1795231122",
    )
    manifests.add_argument("--out", type=Path, help="folder to write to (serving/<model>)")
    manifests.add_argument(
        "--image", default="", help="TF Serving's image (a pinned tensorflow/serving)"
    )
    manifests.add_argument("--cpu", type=int, default=2, help="CPUs for each server (%(default)s)")
    manifests.add_argument("--gpu", type=int, default=0, help="GPUs for each server (%(default)s)")
    manifests.add_argument(
        "--region", default="us-east-1", help="AWS region of the bucket (%(default)s)"
    )
    manifests.add_argument(
        "--version-label",
        action="append",
        default=[],
        metavar="LABEL[=VERSION]",
        help="serve this version under a label; by default the version in production; may be "
        "repeated; without labels the newest version is served",
    )
    manifests.add_argument(
        "--unpushed",
        action="store_true",
        help="write default sizes, without a look at what is pushed; needs --model and "
        "--destination",
    )
    where(manifests, model=True)


def _manifests(given: argparse.Namespace) -> str:
    from mfx.deploy import manifests
    from mfx.errors import MfxError

    place = model_of(given)
    versions, record = [], {}
    if not given.unpushed:
        destination = place.open()
        if not (versions := destination.versions()):
            raise MfxError(
                f"{place}: no model is pushed there yet", "Run the pipeline, or give --unpushed."
            )
        record = destination.record(versions[-1])
    current = versions[-1] if versions else None
    labels = dict(_label(text, current) for text in given.version_label)
    if gone := sorted(set(labels.values()) - set(versions)) if versions else []:
        raise MfxError(f"{place}: no versions {gone}", f"There are {versions}.")
    served = manifests.Served(
        name=place.model,
        destination=place.destination,
        version=current,
        labels=labels,
        image=given.image,
        cpu=given.cpu,
        gpu=given.gpu,
        region=given.region,
        **manifests.measured(record),
    )
    paths = manifests.write(served, given.out or Path("serving", place.model))
    lines = [f"wrote {path}" for path in paths]
    if not served.measured:
        lines.append("memory and batch sizes are defaults: nothing was measured")
    if not served.on_s3:
        lines.append(
            "no files for Kubernetes: its containers cannot read a destination on this machine"
        )
    return "\n".join(lines)


def _label(text: str, current: int | None) -> tuple[str, int]:
    """A label and its version, from `LABEL` or `LABEL=VERSION`."""
    from mfx.errors import MfxError

    name, given, version = text.partition("=")
    if not given and current is not None:
        return name, current
    number = version_number(version)
    if number is None:
        raise MfxError(f"--version-label {text}: expected LABEL=VERSION", "Versions are numbers.")
    return name, number
