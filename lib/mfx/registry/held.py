"""Find out which payload blobs a run needs, from this project's datastore itself.

So it does not matter in which folder the project was when the run was made, or whether the present
metadata knows the run. If something cannot be read, that is an error and never counts as "nothing".
"""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from mfx.artifacts.store import CHUNK_BYTES, Payload
from mfx.errors import MfxError
from mfx.storage import open_storage
from mfx.storage.address import parse
from mfx.storage.answers import NotThereError
from mfx.storage.retries import in_parallel

_TEXT = re.compile(rb"[0-9a-f]{40}")
"""Anything in the bytes of an artifact that may be a blob's key."""
_SAID, _DONE = ".data.json", ".DONE.lock"
_GZIP = b"\x1f\x8b"
_OURS = b"mfx"
"""These bytes are in every artifact that has an object of this library: its module's name."""


@dataclass(frozen=True)
class BlobKey:
    """A blob of the datastore."""

    storage: str
    root: str
    flow: str
    sha: str


@dataclass
class Held:
    """The data that a run has in the datastore.

    Args:
        blobs: Its blobs, with their sizes in bytes.
        mentioned: Everything in its artifacts that may be a blob's key.
        found: Whether it has anything in this datastore.
        settings: Its config; None if it did not get that far.
        evaluated: Whether it made a model that might have been promoted.
        unread: What could not be read, and why; empty if everything could be read.
    """

    blobs: dict[BlobKey, int] = field(default_factory=dict)
    mentioned: set[str] = field(default_factory=set)
    found: bool = False
    settings: Any = None
    evaluated: bool = False
    unread: str = ""


class Datastore:
    """A flow's part of the datastore that Metaflow's settings name.

    Args:
        flow: The flow's name.

    Raises:
        MfxError: There is no datastore.
    """

    def __init__(self, flow: str) -> None:
        from metaflow.metaflow_config import DEFAULT_DATASTORE
        from metaflow.plugins import DATASTORES

        (storage,) = [kind for kind in DATASTORES if kind.TYPE == DEFAULT_DATASTORE]
        root = storage.datastore_root or storage.get_datastore_root_from_config(
            lambda *_, **__: None, create_on_absent=False
        )
        if root is None:
            raise MfxError(
                "there is no datastore here", "Go to the folder of the project that has runs."
            )
        self.flow, self.storage, self.root = flow, storage.TYPE, str(root)
        self._files = _S3Files(self.root) if storage.TYPE == "s3" else _Files(storage(root))
        self._seen: dict[str, tuple[dict[BlobKey, int], set[str], Any]] = {}

    def __str__(self) -> str:
        return f"{self.root.rstrip('/')}/{self.flow}/data"

    def runs(self) -> set[str]:
        """The ids of the runs that have results in this datastore."""
        return self._files.folders(self.flow) - {"data", "_meta"}

    def read(self, run: str) -> Held:
        """The data that a run's finished steps have in this datastore."""
        try:
            # <step>/<task>/<attempt>.data.json has the hashes of an attempt's artifacts by name.
            names = self._files.below(f"{self.flow}/{run}")
            ended = {name.removesuffix(_DONE) for name in names if name.endswith(_DONE)}
            said = [name for name in names if name.removesuffix(_SAID) in ended]
            artifacts = [
                (f"{said_by.split('/')[2]}/{name}", sha)
                for said_by, data in self._files.read(said).items()
                for name, sha in json.loads(data)["objects"].items()
                if name != "name" and not name.startswith("_")
            ]
            self._load({sha for _, sha in artifacts if sha not in self._seen})
        except MfxError:
            raise
        except Exception as error:  # Whatever the error is, something could not be read.
            return Held(unread=one_line(error))
        held = Held(found=bool(said))
        for name, sha in artifacts:
            blobs, mentioned, value = self._seen[sha]
            held.blobs |= blobs
            held.mentioned |= mentioned
            if name == "start/settings":
                held.settings = value
            held.evaluated |= name == "evaluate/evaluation"
        if held.evaluated and held.settings is None:
            held.unread = "its settings: this version of MFX does not know their class"
        return held

    def _load(self, shas: set[str]) -> None:
        names = {f"{self.flow}/data/{sha[:2]}/{sha}": sha for sha in shas}
        for name, packed in self._files.read(names).items():
            # It is compressed, unless it was copied from another datastore.
            sha, data = names[name], gzip.decompress(packed) if packed[:2] == _GZIP else packed
            if hashlib.sha1(data).hexdigest() != sha:
                raise FileGoneError(f"{name} has other bytes than were stored")
            value = _unpickled(data) if _OURS in data else None
            blobs = {key: size for payload in _payloads(value) for key, size in self._keys(payload)}
            settings = value if hasattr(value, "pipeline") and hasattr(value, "push") else None
            self._seen[sha] = blobs, {text.decode() for text in _TEXT.findall(data)}, settings

    def _keys(self, payload: Payload) -> Iterator[tuple[BlobKey, int]]:
        # The blobs of a local datastore move with the project.
        if payload.storage == self.storage and (
            self.storage == "local" or payload.root == self.root
        ):
            for sha, size in chunks(payload):
                yield BlobKey(self.storage, self.root, payload.flow, sha), size


class _Files:
    """Reads the datastore's files by Metaflow's own classes, which know all its storages."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def folders(self, folder: str) -> set[str]:
        """The names of the folders in a folder."""
        found = self._storage.list_content([folder])
        return {entry.path.rstrip("/").rpartition("/")[2] for entry in found if not entry.is_file}

    def below(self, folder: str) -> list[str]:
        """All files below a folder."""
        found = list(self._storage.list_content([folder]))
        files = [entry.path for entry in found if entry.is_file]
        folders = [entry.path.rstrip("/") for entry in found if not entry.is_file]
        return files + [file for inner in folders for file in self.below(inner)]

    def read(self, names: Iterable[str]) -> dict[str, bytes]:
        """The contents of files, by name.

        Raises:
            FileGoneError: A file does not exist.
        """
        read = {}
        with self._storage.load_bytes(list(names)) as loaded:
            for name, path, _ in loaded:
                if path is None:
                    raise FileGoneError(f"{name} is gone")
                read[name] = Path(path).read_bytes()
        return read


class _S3Files:
    """The same on S3 by this library's own client: Metaflow's starts 64 processes each time."""

    def __init__(self, root: str) -> None:
        there = parse(root)
        assert there  # Metaflow's root on S3 is such an address.
        self._prefix = there.prefix
        self._storage = open_storage(there)

    def folders(self, folder: str) -> set[str]:
        below = f"{self._prefix}{folder}/"
        found = self._storage.list(below, deeper=False).folders
        return {key[len(below) :].rstrip("/") for key in found}

    def below(self, folder: str) -> list[str]:
        found = self._storage.list(f"{self._prefix}{folder}/").entries
        return [entry.key[len(self._prefix) :] for entry in found]

    def read(self, names: Iterable[str]) -> dict[str, bytes]:
        def one(name: str) -> bytes:
            try:
                return self._storage.read(self._prefix + name)
            except NotThereError:
                raise FileGoneError(f"{name} is gone") from None

        wanted = list(names)
        return dict(zip(wanted, in_parallel(one, wanted), strict=True))


class FileGoneError(Exception):
    """A file in the datastore is missing, or has changed."""


def one_line(error: Exception) -> str:
    """The first line of an error's text; if it has none, its class."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def chunks(payload: Payload) -> Iterator[tuple[str, int]]:
    """Yield the keys of a payload's blobs, with their sizes in bytes."""
    for blob in payload.blobs:
        for number, sha in enumerate(blob.keys):
            yield sha, min(CHUNK_BYTES, blob.size - number * CHUNK_BYTES)


def _unpickled(data: bytes) -> Any:
    """Unpickle an object; None if that fails, for example because its class does not exist here."""
    try:
        return pickle.loads(data)
    except Exception:  # A class's own code may raise anything.
        return None


def _payloads(value: Any) -> Iterator[Payload]:
    if isinstance(value, Payload):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from _payloads(getattr(value, f.name, None))
    elif isinstance(value, dict):
        yield from _payloads(list(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from _payloads(part)
