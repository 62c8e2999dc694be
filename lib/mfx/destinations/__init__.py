"""Where pushed models lie: one file for each storage, and which of them an address means."""

from __future__ import annotations

from pathlib import Path

from mfx.destinations.base import Destination
from mfx.destinations.local import LocalDestination
from mfx.errors import MfxError
from mfx.storage import address


def open_destination(destination: str, model: str) -> Destination:
    """The destination's folder of one model.

    Args:
        destination: A folder or `s3://bucket/prefix`.
        model: The model's name.

    Raises:
        MfxError: Another kind of URL, or what only looks like one.
    """
    if there := address.on_s3(address.check(destination)):
        from mfx.destinations.s3 import S3Destination

        return S3Destination(there.at(f"{there.prefix}{model}/"))
    return LocalDestination(Path(destination, model))


def open_folder(folder: str) -> tuple[Destination, str]:
    """A model's folder `<destination>/<model>`, and the model's name.

    Args:
        folder: On disk, or `s3://bucket/…/model`.

    Raises:
        MfxError: Another kind of URL, or no model's name in it.
    """
    if not address.is_url(address.check(folder)):
        path = Path(folder).resolve()
        return LocalDestination(path), path.name
    above, _, name = folder.rstrip("/").rpartition("/")
    if address.fault(above):
        raise MfxError(f"{folder}: expected s3://bucket/model, or s3://bucket/prefix/model")
    return open_destination(above, name), name
