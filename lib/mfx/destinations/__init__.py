"""Where pushed models lie: one file for each storage, and which of them an address means."""

from __future__ import annotations

from pathlib import Path

from mfx import plugins
from mfx.destinations.base import Destination
from mfx.errors import MfxError
from mfx.plugins import Registry
from mfx.storage import address

DESTINATIONS: Registry[type[Destination]] = Registry(plugins.DESTINATIONS, "destination")
"""By the scheme of their URLs."""


def open_destination(destination: str, model: str) -> Destination:
    """The destination's folder of one model.

    Args:
        destination: A folder, `s3://bucket/prefix`, or a URL of another scheme in DESTINATIONS.
        model: The model's name.

    Raises:
        MfxError: Another kind of URL, or what only looks like one.
    """
    scheme = address.scheme(address.check(destination))
    return DESTINATIONS.get(scheme or plugins.DISK).at(destination, model)


def open_folder(folder: str) -> tuple[Destination, str]:
    """A model's folder `<destination>/<model>`, and the model's name.

    Args:
        folder: On disk, or a URL such as `s3://bucket/…/model`.

    Raises:
        MfxError: Another kind of URL, or no model's name in it.
    """
    scheme = address.scheme(address.check(folder))
    if not scheme:
        path = Path(folder).resolve()
        return open_destination(str(path.parent), path.name), path.name
    above, _, name = folder.rstrip("/").rpartition("/")
    if above.rstrip("/") == f"{scheme}:":
        raise MfxError(
            f"{folder}: expected {scheme}://bucket/model, or {scheme}://bucket/prefix/model"
        )
    return open_destination(above, name), name
