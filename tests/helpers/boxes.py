"""A bucket of its own on each storage, for tests that all storages pass."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfx.storage import open_storage
from mfx.storage.address import Address, on_disk, parse
from mfx.storage.base import Storage


@dataclass
class Box:
    """A bucket.

    Attributes:
        place: Its address.
        put: Writes an object from outside: what others do to it.
        gone: The address of a bucket that is not there; None where one cannot be missing.
    """

    place: Address
    put: Callable[[str, bytes], object]
    gone: Address | None = None

    def open(self) -> Storage:
        """A storage that knows nothing yet."""
        return open_storage(self.place)


def _address(text: str) -> Address:
    place = parse(text)
    assert place
    return place


def disk(request: Any) -> Box:
    folder = request.getfixturevalue("tmp_path") / "box"
    folder.mkdir()

    def put(key: str, content: bytes) -> None:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(content)

    return Box(on_disk(folder), put)


def s3(request: Any) -> Box:
    client = request.getfixturevalue("s3")

    def put(key: str, content: bytes) -> None:
        client.put_object(Bucket=client.bucket, Key=key, Body=content)

    return Box(_address(f"s3://{client.bucket}"), put, _address("s3://no-such-bucket"))


def cloud(scheme: str) -> Callable[[Any], Box]:
    """A bucket on Google Cloud Storage, or a container on Azure."""

    def box(request: Any) -> Box:
        place = _address(f"{scheme}://{request.getfixturevalue(scheme)}")
        return Box(place, open_storage(place).write, _address(f"{scheme}://no-such-bucket"))

    return box


def web(request: Any) -> Box:
    folder = request.getfixturevalue("tmp_path") / "site"
    folder.mkdir()
    url = request.getfixturevalue("site")(folder)

    def put(key: str, content: bytes) -> None:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(content)

    return Box(_address(url), put)


BOXES: dict[str, Callable[[Any], Box]] = {
    "folder": disk,
    "s3": s3,
    "gs": cloud("gs"),
    "az": cloud("az"),
    "http": web,
}
"""Makes an empty one, for each storage that is registered; https is http's."""


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """A web server for a folder, which knows parts of files and ETags; its URL."""
    from aiohttp import web

    loop = asyncio.new_event_loop()

    async def start() -> tuple[web.AppRunner, int]:
        application = web.Application()
        application.router.add_static("/", folder)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, runner.addresses[0][1]

    runner, port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
