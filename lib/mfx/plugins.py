"""Registries of sources, targets, destinations and servers, which other packages can add to.

A member of a registry is a class or a module with a name. Other packages list theirs as entry
points in their `pyproject.toml`:

    [project.entry-points."mfx.sources"]
    parquet = "their_package.parquet"

This library's own members are in a table in the code: in a container the library may not be
installed, and then it has no entry points.
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
STORAGES = "mfx.storages"
SERVERS = "mfx.servers"
"""The entry-point groups, one for each registry."""

DISK = "folder"
"""The name of the destination, and of the storage, for addresses without a scheme: folders."""
OWN: Mapping[str, Mapping[str, str]] = {
    SOURCES: {
        "csv": "mfx.ingest.sources.csv",
        "parquet": "mfx.ingest.sources.parquet",
        "arrow": "mfx.ingest.sources.arrow",
        "avro": "mfx.ingest.sources.avro",
        "jsonl": "mfx.ingest.sources.jsonl",
        "tfrecord": "mfx.ingest.sources.tfrecord",
    },
    TARGETS: {"saved_model": "mfx.export.saved_model"},
    # By the scheme of their URLs.
    DESTINATIONS: {
        DISK: "mfx.destinations.local:LocalDestination",
        **dict.fromkeys(("s3", "gs", "az"), "mfx.destinations.objects:ObjectDestination"),
    },
    # By scheme too.
    STORAGES: {
        DISK: "mfx.storage.disk:DiskStorage",
        "s3": "mfx.storage.s3:S3Storage",
        "gs": "mfx.storage.gs:GoogleStorage",
        "az": "mfx.storage.az:AzureStorage",
        **dict.fromkeys(("https", "http"), "mfx.storage.web:WebStorage"),
    },
    SERVERS: {
        "mfx": "mfx.push.servers.mfx_serve:MfxServe",
        "tensorflow_model_server": "mfx.push.servers.tf_serving:TfServing",
        "docker": "mfx.push.servers.docker:Docker",
        "triton": "mfx.push.servers.triton:Triton",
    },
}
"""This library's members of each group, by name: `module:Class` or `module`."""

_T = TypeVar("_T")
_OWN = "mfx"


class Registry(Generic[_T]):
    """Members by name. A member's module is only imported when the member is asked for.

    Args:
        group: The entry-point group, such as `mfx.sources`.
        what: What a member is, for messages, such as "source".
        own: This library's members, as in OWN; by default those of the group in OWN.
    """

    def __init__(self, group: str, what: str, own: Mapping[str, str] | None = None) -> None:
        self.group, self.what = group, what
        self._own = dict(OWN[group] if own is None else own)
        self._loaded: dict[str, _T] = {}

    def names(self) -> list[str]:
        """All names: first this library's own, then those of other packages, sorted.

        Raises:
            MfxError: Two packages have a member with the same name.
        """
        return list(self._entries)

    def get(self, name: str) -> _T:
        """The member with this name.

        Raises:
            MfxError: There is none, it cannot be imported, or two packages have a member with the
                same name.
        """
        if name not in self._entries:
            raise MfxError(
                f"{name}: no {self.what} has this name{nearest(name, self._entries)}",
                f"There are: {', '.join(self._entries)}.",
            )
        if name not in self._loaded:
            entry = self._entries[name]
            try:
                self._loaded[name] = entry.load()
            # Loading runs another package's module, which may raise anything.
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
                    f"{self.what} {entry.name}: two packages have one with this name: {both}",
                    f"Uninstall one of them. (Both list it under {self.group} in their entry "
                    "points.)",
                )
            found[entry.name] = entry
        return found


def names(group: str) -> list[str]:
    """All names of a group, this library's own first. Nothing is imported."""
    return [*OWN[group], *(entry.name for entry in others(group))]


def others(group: str) -> list[EntryPoint]:
    """The entry points of other packages in a group, sorted by name."""
    found = [entry for entry in entry_points(group=group) if _package(entry) != _OWN]
    return sorted(found, key=lambda entry: (entry.name, _package(entry)))


def _package(entry: EntryPoint) -> str:
    """The name of the package to which an entry point belongs."""
    return entry.dist.name if entry.dist else _OWN
