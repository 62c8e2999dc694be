"""`[push] keep`: old versions are removed from the destination once a new one is served.

The log of promotions stays, and `freeing` spares every run that was ever in production, so a
version removed here can be rolled back to: from its run's payload, under a new number.
"""

from __future__ import annotations

from mfx.destinations.base import Destination
from mfx.errors import MfxError
from mfx.registry.log import DONE, Log


def retain(destination: Destination, keep: int, pushed: int) -> list[int]:
    """Remove the oldest versions beyond `keep`.

    Never the one in production, which is the highest, nor the one just pushed, which may no longer
    be the highest; nor what something else put there, which no run could bring back.

    Args:
        destination: Where.
        keep: How many of our versions stay, at least 1.
        pushed: The version just pushed.

    Returns:
        The versions removed, oldest first.

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
    """`retain` after a push that has succeeded, whatever comes of this; what is to be said, or ''.

    Args:
        destination: Where.
        keep: None keeps all.
        pushed: The version just pushed.
    """
    if keep is None:
        return ""
    try:
        removed = retain(destination, keep, pushed)
    except MfxError as error:
        return f"older versions could not be removed: {error.what}"
    shown = ", ".join(str(version) for version in removed)
    return f"older versions removed, as [push] keep = {keep}: {shown}" if removed else ""
