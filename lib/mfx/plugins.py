"""Tables of what can be added: this library's own members, and those of other packages.

A member is a class, or a module, with a name. Other packages name theirs under an entry-point group
of their `pyproject.toml`:

    [project.entry-points."mfx.sources"]
    parquet = "their_package.parquet"

This library's own stand in a table in the code. In a container it may be there without being
installed, so that nothing there could tell of its entry points.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from mfx.errors import MfxError, nearest

SOURCES = "mfx.sources"
TARGETS = "mfx.targets"
DESTINATIONS = "mfx.destinations"
SERVERS = "mfx.servers"
"""Entry-point groups."""

DISK = "folder"
"""The destination of what has no scheme."""
OWN: Mapping[str, Mapping[str, str]] = {
    SOURCES: {"csv": "mfx.ingest.sources.csv"},
    TARGETS: {"saved_model": "mfx.export.saved_model"},
    # By the scheme of their URLs.
    DESTINATIONS: {
        DISK: "mfx.destinations.local:LocalDestination",
        "s3": "mfx.destinations.s3:S3Destination",
    },
    SERVERS: {
        "mfx": "mfx.push.servers.mfx_serve:MfxServe",
        "tensorflow_model_server": "mfx.push.servers.tf_serving:TfServing",
        "docker": "mfx.push.servers.docker:Docker",
        "triton": "mfx.push.servers.triton:Triton",
    },
}
"""This library's members, `module:Class` or `module` by name, for each group."""

_T = TypeVar("_T")
_OWN = "mfx"


class Registry(Generic[_T]):
    """Members by name; a member's module is imported when it is asked for, and not before.

    Args:
        group: The entry-point group, such as `mfx.sources`.
        what: What a member is, for messages, such as "source".
        own: This library's members as in OWN, in the order of `names`; by default those there.
    """

    def __init__(self, group: str, what: str, own: Mapping[str, str] | None = None) -> None:
        self.group, self.what = group, what
        self._own = dict(OWN[group] if own is None else own)
        self._loaded: dict[str, _T] = {}

    def names(self) -> list[str]:
        """All names: this library's own first, then those of other packages, sorted.

        Raises:
            MfxError: Two packages give members of one name.
        """
        return list(self._entries)

    def get(self, name: str) -> _T:
        """The member of this name.

        Raises:
            MfxError: There is none, it cannot be imported, or two packages give one of this name.
        """
        if name not in self._entries:
            raise MfxError(
                f"{name}: no {self.what} of this name{nearest(name, self._entries)}",
                f"There are: {', '.join(self._entries)}.",
            )
        if name not in self._loaded:
            entry = self._entries[name]
            try:
                self._loaded[name] = entry.load()
            # It runs another package's module, which may raise anything.
            except Exception as error:
                raise MfxError(
                    f"{self.what} {name} of the package {_package(entry)} cannot be loaded from "
                    f"{entry.value}: {type(error).__name__}: {error}",
                    "Update the package, or uninstall it.",
                ) from error
        return self._loaded[name]

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        found = {n: EntryPoint(n, value, self.group) for n, value in self._own.items()}
        for entry in others(self.group):
            if entry.name in found:
                both = f"{_package(found[entry.name])} and {_package(entry)}"
                raise MfxError(
                    f"{self.what} {entry.name}: two packages give one of this name: {both}",
                    f"Uninstall one of them. (They name it under {self.group} in their entry "
                    "points.)",
                )
            found[entry.name] = entry
        return found


def names(group: str) -> list[str]:
    """All names of a group, this library's own first; nothing is imported for them."""
    return [*OWN[group], *(entry.name for entry in others(group))]


def others(group: str) -> list[EntryPoint]:
    """What packages other than this library name under an entry-point group, sorted by name."""
    found = [entry for entry in entry_points(group=group) if _package(entry) != _OWN]
    return sorted(found, key=lambda entry: (entry.name, _package(entry)))


def _package(entry: EntryPoint) -> str:
    """The name of the package that an entry is of."""
    return entry.dist.name if entry.dist else _OWN
