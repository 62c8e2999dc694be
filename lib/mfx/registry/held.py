"""What runs hold of the payload blobs in this project's datastore, read from the datastore itself.

So it does not matter where the project was when a run was made, nor whether the metadata that is
asked now knows of it. What cannot be read is never taken for nothing.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from mfx import metaflow_s3
from mfx.errors import MfxError
from mfx.store import CHUNK_BYTES, Payload

_TEXT = re.compile(rb"[0-9a-f]{40}")
"""What may be a blob's key, in the bytes of an artifact."""
_OURS = b"mfx"
"""In the bytes of every artifact that holds an object of this library, the name of its module."""


@dataclass(frozen=True)
class Key:
    """A blob of the datastore."""

    storage: str
    root: str
    flow: str
    sha: str


@dataclass
class Held:
    """What one run holds.

    Args:
        blobs: Its blobs, with sizes in bytes.
        mentioned: All that may be a blob's key in what its steps left, whatever holds it there.
        found: Whether it left anything here.
        settings: Its config; None if it did not get that far.
        evaluated: Whether it made a model that might have been promoted.
        unread: What could not be read, and why; empty if all could be.
    """

    blobs: dict[Key, int] = field(default_factory=dict)
    mentioned: set[str] = field(default_factory=set)
    found: bool = False
    settings: Any = None
    evaluated: bool = False
    unread: str = ""


class Datastore:
    """One flow's part of the datastore that Metaflow's settings name.

    Args:
        flow: The flow's name.

    Raises:
        MfxError: The settings name none.
    """

    def __init__(self, flow: str) -> None:
        from metaflow.datastore import FlowDataStore
        from metaflow.metaflow_config import DEFAULT_DATASTORE
        from metaflow.plugins import DATASTORES

        (storage,) = [kind for kind in DATASTORES if kind.TYPE == DEFAULT_DATASTORE]
        root = storage.datastore_root or storage.get_datastore_root_from_config(
            lambda *_, **__: None, create_on_absent=False
        )
        if root is None:
            raise MfxError("there is no datastore here", "Go to the project whose runs are meant.")
        self.flow, self.storage, self.root = flow, storage.TYPE, str(root)
        self._store = FlowDataStore(flow, None, storage_impl=storage, ds_root=root)
        self._seen: dict[str, tuple[dict[Key, int], set[str], Any]] = {}

    def __str__(self) -> str:
        return f"{self.root.rstrip('/')}/{self.flow}/data"

    def runs(self) -> set[str]:
        """Ids of the runs that have results here."""
        found = self._store._storage_impl.list_content([self.flow])
        names = {entry.path.rstrip("/").rpartition("/")[2] for entry in found if not entry.is_file}
        return names - {"data", "_meta"}

    def read(self, run: str) -> Held:
        """What a run's steps left here, as far as they have ended."""
        try:
            tasks = self._store.get_task_datastores(run)
            artifacts = [
                (f"{task.step_name}/{name}", sha)
                for task in tasks
                for name, sha in task.items()
                if name != "name" and not name.startswith("_")
            ]
            self._load({sha for _, sha in artifacts if sha not in self._seen})
        except Exception as error:  # of the storage, of gzip: whatever it is, something is unread
            if metaflow_s3.stopped(error):
                raise
            return Held(unread=one_line(error))
        held = Held(found=bool(tasks))
        for name, sha in artifacts:
            blobs, mentioned, value = self._seen[sha]
            held.blobs |= blobs
            held.mentioned |= mentioned
            if name == "start/settings":
                held.settings = value
            held.evaluated |= name == "evaluate/evaluation"
        if held.evaluated and held.settings is None:
            held.unread = "its settings: of a version that is not known here"
        return held

    def _load(self, shas: set[str]) -> None:
        for sha, data in self._store.load_data(sorted(shas)):
            value = _unpickled(data) if _OURS in data else None
            blobs = {key: size for payload in _payloads(value) for key, size in self._keys(payload)}
            settings = value if hasattr(value, "pipeline") and hasattr(value, "push") else None
            self._seen[sha] = blobs, {text.decode() for text in _TEXT.findall(data)}, settings

    def _keys(self, payload: Payload) -> Iterator[tuple[Key, int]]:
        # A project that was moved or copied has its blobs with it.
        if payload.storage == self.storage and (
            self.storage == "local" or payload.root == self.root
        ):
            for sha, size in chunks(payload):
                yield Key(self.storage, self.root, payload.flow, sha), size


def one_line(error: Exception) -> str:
    """What an error says first, or its kind."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def chunks(payload: Payload) -> Iterator[tuple[str, int]]:
    """Keys of a payload's blobs, and how many bytes each has."""
    for blob in payload.blobs:
        for number, sha in enumerate(blob.keys):
            yield sha, min(CHUNK_BYTES, blob.size - number * CHUNK_BYTES)


def _unpickled(data: bytes) -> Any:
    """The object; None if its class is not here, and so none that holds payloads for `blobs`."""
    try:
        return pickle.loads(data)
    except Exception:  # whatever the class's own code raises
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
