"""Store files in Metaflow's own datastore, by their content. It works the same on all storages."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mfx.artifacts import metaflow_local, metaflow_s3, trial
from mfx.errors import MfxError, TransientError

if TYPE_CHECKING:
    from metaflow.datastore import FlowDataStore

CHUNK_BYTES = 64 * 2**20
"""The largest part of a file that is held in memory and stored under one key."""
CHUNKS = 4
"""How many chunks are read or written at the same time."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Blob:
    """One file: its path inside the payload, its size in bytes, the keys of its chunks."""

    path: str
    size: int
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Payload:
    """A set of files in the datastore. The object is small, so results can contain it.

    Args:
        flow: The flow in whose part of the datastore the files are.
        storage: Metaflow's name of the storage: local, s3, azure or gs.
        root: The datastore's root on that storage. A local one is where the project is now.
        blobs: The files, sorted by path.
    """

    flow: str
    storage: str
    root: str
    blobs: tuple[Blob, ...]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the pickled state. The root of a local datastore is where it is now."""
        here = metaflow_local.root(state["root"]) if state["storage"] == "local" else state["root"]
        vars(self).update(state, root=here)

    @property
    def digest(self) -> str:
        """SHA-256 of the files' paths, sizes and content keys. Equal files, equal digest."""
        lines = "".join(f"{b.path}\0{b.size}\0{','.join(b.keys)}\n" for b in self.blobs)
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def size(self) -> int:
        """The size of all files together, in bytes."""
        return sum(blob.size for blob in self.blobs)

    def only(self, *paths: str) -> Payload:
        """A payload with only these files.

        Raises:
            MfxError: One of them is not in this payload.
        """
        chosen = tuple(blob for blob in self.blobs if blob.path in paths)
        if missing := set(paths) - {blob.path for blob in chosen}:
            raise MfxError(f"no {', '.join(sorted(missing))} in this payload")
        return replace(self, blobs=chosen)

    def read(self, path: str) -> bytes:
        """The content of one file.

        Raises:
            MfxError: The file is not in this payload, or the datastore does not have it any more.
        """
        (blob,) = self.only(path).blobs
        store = _open(self.flow, self.storage, self.root)
        return b"".join(self._load(store, key, path) for key in blob.keys)

    def save_to(self, directory: str | Path) -> Path:
        """Write all files below `directory` and return it. It is created if it does not exist.

        Raises:
            MfxError: The datastore does not have a file any more, or its content has changed.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        store = _open(self.flow, self.storage, self.root)

        def load(chunk: tuple[Blob, int]) -> int:
            blob, number = chunk
            data = self._load(store, blob.keys[number], blob.path)
            with (directory / blob.path).open("r+b") as out:
                # All chunks but the last have the same size: CHUNK_BYTES at the time of saving.
                last = number == len(blob.keys) - 1
                out.seek(blob.size - len(data) if last else number * len(data))
                return out.write(data)

        for blob in self.blobs:
            target = directory / blob.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(b"")
        chunks = [(blob, number) for blob in self.blobs for number in range(len(blob.keys))]
        sizes = Counter(dict.fromkeys(self.blobs, 0))
        for (blob, _), size in zip(chunks, _in_parallel(load, chunks), strict=True):
            sizes[blob] += size
        for blob, found in sizes.items():
            if found != blob.size:
                raise MfxError(
                    f"{blob.path}: {found} bytes came back from the datastore "
                    f"at {self.root}, expected {blob.size}"
                )
        return directory

    @contextmanager
    def files(self) -> Iterator[Path]:
        """A context that gives the files in a temporary folder."""
        with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
            yield self.save_to(directory)

    def _load(self, store: FlowDataStore, key: str, path: str) -> bytes:
        try:
            ((_, data),) = store.load_data([key], force_raw=True)
        except Exception as error:
            if metaflow_s3.is_own_error(error):
                raise
            # With a TypeError, Metaflow says that a file does not exist.
            why = "it does not exist" if isinstance(error, TypeError) else error
            raise TransientError(
                f"{path}: cannot read {key} from the datastore at {self.root}: {why}",
                "Was the datastore moved or cleaned? Run the flow again to rebuild it.",
            ) from error
        if hashlib.sha1(data).hexdigest() != key:
            raise MfxError(
                f"{path}: the datastore at {self.root} returned other bytes for {key} than were "
                "stored",
                "Were its files changed? Remove this one, and run the flow again to rebuild it.",
            )
        return data


def save(directory: str | Path) -> Payload:
    """Put all files below `directory` into the running flow's datastore.

    Raises:
        MfxError: No flow is running.
    """
    from metaflow import current
    from metaflow.datastore import FlowDataStore

    storage = trial.storage() if trial.is_trial() else FlowDataStore.default_storage_impl
    if storage is None or current.flow_name is None:
        raise MfxError("payloads are saved inside a step of a running flow")
    store = FlowDataStore(current.flow_name, None, storage_impl=storage)
    root = Path(directory)
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    sizes = {path: path.stat().st_size for path in paths}

    def put(chunk: tuple[Path, int]) -> str:
        path, begin = chunk
        with path.open("rb") as file:
            file.seek(begin)
            ((_, key),) = store.save_data([file.read(CHUNK_BYTES)], 1)
        return key

    chunks = [(path, begin) for path in paths for begin in range(0, sizes[path], CHUNK_BYTES)]
    keys: dict[Path, list[str]] = {path: [] for path in paths}
    for (path, _), key in zip(chunks, _in_parallel(put, chunks), strict=True):
        keys[path].append(key)
    blobs = [Blob(p.relative_to(root).as_posix(), sizes[p], tuple(keys[p])) for p in paths]
    return Payload(current.flow_name, storage.TYPE, storage.datastore_root, tuple(blobs))


def _in_parallel(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Apply `function` to all items, CHUNKS at a time. The first error stops the rest."""
    with ThreadPoolExecutor(CHUNKS) as pool:
        try:
            return list(pool.map(function, items))
        finally:
            pool.shutdown(cancel_futures=True)


def _open(flow: str, storage: str, root: str) -> FlowDataStore:
    from metaflow.datastore import FlowDataStore
    from metaflow.plugins import DATASTORES

    (implementation,) = [d for d in DATASTORES if storage == d.TYPE]
    return FlowDataStore(flow, None, storage_impl=implementation, ds_root=root)
