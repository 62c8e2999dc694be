"""Azure Blob Storage, by obstore (Rust's `object_store`), which knows conditional writes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from mfx.errors import MfxError
from mfx.storage.answers import Entry, Fault, Listing, Opened
from mfx.storage.base import Storage
from mfx.storage.reading import BLOCK
from mfx.storage.retries import CONNECT_SECONDS, READ_SECONDS
from mfx.storage.web import meaning_of

CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
_ALIASES = {
    "AZURE_STORAGE_ACCOUNT": "account_name",
    "AZURE_STORAGE_KEY": "account_key",
    # obstore reads this one, but panics where it is asked to print such a store.
    "AZURE_STORAGE_ACCOUNT_NAME": "account_name",
}
"""Variables of Azure's own command line that obstore does not read, and one that it does."""
_PARTS = {
    "AccountName": "account_name",
    "AccountKey": "account_key",
    "BlobEndpoint": "endpoint",
    "SharedAccessSignature": "sas_key",
}
"""Of a connection string, and obstore's settings."""
_METADATA = "http://169.254.169.254"
"""Where a virtual machine asks for its identity: the last resort of one without credentials."""


class AzureStorage(Storage):
    """A container on Azure Blob Storage."""

    TITLE = "Azure Blob Storage"
    BUCKET = "container"
    REMEDY = (
        "Check the container's name, AZURE_STORAGE_ACCOUNT_NAME and the credentials: "
        f"AZURE_STORAGE_ACCOUNT_KEY, {CONNECTION}, or AZURE_CLIENT_ID and those with it."
    )

    _store: Any
    first_process = 0
    """The process that asked first: obstore's threads are in it, and in no fork of it."""

    def fault(self, error: BaseException) -> Fault | None:
        """What an error of obstore's means; most say it in their text alone."""
        from obstore import exceptions

        text = str(error)
        if isinstance(error, FileNotFoundError) and text.startswith("Object at location"):
            return Fault.NO_BUCKET if "ContainerNotFound" in text else Fault.ABSENT
        if isinstance(error, (exceptions.AlreadyExistsError, exceptions.PreconditionError)):
            return Fault.CONDITION
        if isinstance(error, (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)):
            return Fault.DENIED
        if isinstance(error, (ConnectionError, TimeoutError)):
            return Fault.PASSING
        if isinstance(error, exceptions.GenericError) and _METADATA not in text:
            return _meaning(text)
        known = (exceptions.BaseError, ValueError, OSError)
        return Fault.OTHER if isinstance(error, known) else None

    def said(self, error: BaseException) -> str:
        """Azure's code and sentence, out of a page of them."""
        text = str(error).partition("\n\nDebug source")[0]
        if _METADATA in text:
            return "no credentials are set, and this machine has no identity on Azure"
        code = re.search(r"<Code>(.*?)</Code>", text)
        message = re.search(r"<Message>(.*?)\n?(?:RequestId:.*)?</Message>", text, re.DOTALL)
        if code and message:
            text = f"{code[1]}: {message[1]}"
        return super().said(Exception(text))

    def _connect(self) -> None:
        try:
            from obstore.store import AzureStore
        except ImportError:
            raise MfxError(
                f"{self.place}: the package obstore is not installed",
                "Install the extra mfx[cloud]: pip install 'mfx[cloud]', or uv sync --extra cloud",
            ) from None
        AzureStorage.first_process = AzureStorage.first_process or os.getpid()
        if AzureStorage.first_process != os.getpid():
            raise MfxError(
                f"{self.place}: Azure was used before this process was forked, and would never "
                "answer here",
                "Start processes by multiprocessing's spawn, or ask Azure in them alone.",
            )
        self._store = AzureStore(
            self.place.bucket,
            **settings(),
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "read_timeout": timedelta(seconds=READ_SECONDS),
            },
            # One try; `Storage` makes more of them.
            retry_config={"max_retries": 0},
        )

    def _list(self, prefix: str, deeper: bool) -> Listing:
        if deeper:
            pages = self._store.list(prefix or None)
            return Listing([_entry(meta) for page in pages for meta in page])
        found = self._store.list_with_delimiter(prefix or None)
        folders = [f"{folder}/" for folder in found["common_prefixes"]]
        return Listing([_entry(meta) for meta in found["objects"]], folders)

    def _head(self, key: str) -> Entry:
        return _entry(self._store.head(key))

    @contextmanager
    def _open(self, key: str, first: int, tag: str, end: int | None = None) -> Iterator[Opened]:
        options: dict[str, Any] = {"if_match": f'"{tag}"'} if tag else {}
        if first or end is not None:
            options["range"] = {"offset": first} if end is None else (first, end)
        found = self._store.get(key, options=options)
        blocks = (bytes(block) for block in found.stream(min_chunk_size=BLOCK))
        yield Opened(_entry(found.meta), first, blocks)

    def _write(self, key: str, content: bytes | Path) -> None:
        self._store.put(key, content)

    def _create(self, key: str, content: bytes, writer: str) -> None:
        self._store.put(key, content, mode="create", attributes={"writer": writer})

    def _replace(self, key: str, content: bytes, tag: str, writer: str) -> None:
        self._store.put(key, content, mode={"e_tag": f'"{tag}"'}, attributes={"writer": writer})

    def _writer(self, key: str) -> str:
        return self._store.get(key, options={"head": True}).attributes.get("writer", "")

    def _copy(self, key: str, target: str) -> None:
        self._store.copy(key, target)

    def _delete(self, key: str) -> None:
        self._store.delete(key)


def settings() -> dict[str, Any]:
    """What obstore is told beside the variables that it reads itself.

    Raises:
        MfxError: The connection string cannot be one.
    """
    found = {name: os.environ[key] for key, name in _ALIASES.items() if os.environ.get(key)}
    if not (text := os.environ.get(CONNECTION)):
        return found
    parts = dict(part.partition("=")[::2] for part in text.strip().split(";") if part)
    if parts.get("UseDevelopmentStorage", "").lower() == "true":
        return {"use_emulator": True}
    given = {name: parts[key] for key, name in _PARTS.items() if key in parts}
    if "account_name" not in given and "endpoint" not in given:
        raise MfxError(
            f"{CONNECTION}: expected AccountName=…;AccountKey=…, found parts named "
            f"{', '.join(parts)}",
            "Copy it from the storage account's page “Access keys”.",
        )
    if "endpoint" not in given and "EndpointSuffix" in parts:
        protocol = parts.get("DefaultEndpointsProtocol", "https")
        given["endpoint"] = f"{protocol}://{given['account_name']}.blob.{parts['EndpointSuffix']}"
    return given


def _meaning(text: str) -> Fault:
    if "ContainerNotFound" in text:
        return Fault.NO_BUCKET
    if status := re.search(r"status code: (\d+)", text):
        return meaning_of(int(status[1]))
    if status := re.search(r"\(code: (\d+)\)", text):  # of one in a batch
        return meaning_of(int(status[1]))
    return Fault.PASSING if "HTTP error" in text or "error sending" in text else Fault.OTHER


def _entry(meta: Any) -> Entry:
    tag = (meta["e_tag"] or "").strip('"')
    return Entry(meta["path"], meta["size"], tag, meta["last_modified"].timestamp())
