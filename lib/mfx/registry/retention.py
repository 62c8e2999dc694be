"""`[push] keep`: remove old versions from the destination once a new one is served.

One can still roll back to a removed version: the log of promotions keeps its entry, and `freeing`
keeps the data of every run that was in production. It then gets a new version number.
"""

from __future__ import annotations

from mfx.destinations.base import Destination
from mfx.errors import MfxError
from mfx.registry.log import DONE, Log


def retain(destination: Destination, keep: int, pushed: int) -> list[int]:
    """Remove the oldest versions beyond `keep`.

    Three kinds of versions are never removed: the version in production, which is the highest; the
    version just pushed, which may not be the highest any more; and versions that something else
    pushed, since no run could restore them.

    Args:
        destination: The destination.
        keep: How many versions pushed by this library to keep, at least 1.
        pushed: The version just pushed.

    Returns:
        The removed versions, oldest first.

    Raises:
        MfxError: The destination cannot be read or written.
    """
    versions = destination.versions()
    ours = {e.version for e in Log(destination).entries() if e.state == DONE and e.push}
    counted = [version for version in versions if version in ours]
    removed = [v for v in counted[:-keep] if v not in (pushed, versions[-1])]
    for version in removed:
        destination.withdraw(version)
    return removed


def retain_or_warn(destination: Destination, keep: int | None, pushed: int) -> str:
    """Call `retain` after a successful push. An error becomes a remark.

    Args:
        destination: The destination.
        keep: How many versions to keep; None to keep all.
        pushed: The version just pushed.

    Returns:
        A remark for the user, or ''.
    """
    if keep is None:
        return ""
    try:
        removed = retain(destination, keep, pushed)
    except MfxError as error:
        return f"older versions could not be removed: {error.what}"
    shown = ", ".join(str(version) for version in removed)
    return f"older versions removed ([push] keep = {keep}): {shown}" if removed else ""
