"""Metadata services on this machine, each a process of its own.

- `local`: `metaflow-local-service` from PyPI. Version 0.2.0 has no route for a single artifact,
  which Metaflow's client needs for `Task["name"]` and `Run.successful`; it is added here.
- `netflix`: Netflix's metaflow-service, as in production, with a PostgreSQL of its own. It is on no
  registry: git fetches COMMIT from MFX_METAFLOW_SERVICE, GitHub by default.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMIT = "91e44f0108cba3159db97e91fb159629e1448db1"  # version 2.5.1
REPOSITORY = os.environ.get(
    "MFX_METAFLOW_SERVICE", "https://github.com/Netflix/metaflow-service.git"
)
PACKAGES = ["aiohttp<4", "aiopg==1.4.0", "boto3", "packaging", "psycopg2-binary==2.9.13"]


class UnavailableError(Exception):
    """What the service needs is not on this machine; the message says what."""


@contextmanager
def started(name: str) -> Iterator[str]:
    """The URL of a new, empty service; it ends with the context."""
    with tempfile.TemporaryDirectory(prefix="mfx-metadata-") as directory:
        folder = Path(directory)
        folder.chmod(0o755)
        if name == "local":
            command = [sys.executable, __file__, str(folder)]
            with _serving(command, folder / "log", {}) as url:
                yield url
            return
        python = _install(folder)
        with postgres(folder) as dsn:
            _migrate(folder, dsn)
            command = [str(python), "-um", "services.metadata_service.server"]
            given = {"MF_METADATA_DB_DSN": dsn, "MF_METADATA_HOST": "127.0.0.1"}
            with _serving(command, folder / "log", {**given, "MF_METADATA_PORT": "0"}) as url:
                yield url


@contextmanager
def _serving(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[str]:
    """A process that says `serving on ('127.0.0.1', PORT)` once it does."""
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
    try:
        while not (said := re.search(r"serving on \('127\.0\.0\.1', (\d+)\)", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{said[1]}"
    finally:
        process.terminate()
        process.wait(30)


def _install(folder: Path) -> Path:
    """Netflix's service in an environment of its own; the environment's Python."""
    source, python = folder / "source", folder / "venv" / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    try:
        _call(["git", "init", "--quiet", str(source)])
        _call(["git", "-C", str(source), "fetch", "--quiet", "--depth=1", REPOSITORY, COMMIT])
    except subprocess.CalledProcessError as error:
        raise UnavailableError(
            f"MFX_METAFLOW_SERVICE={REPOSITORY}: cannot be fetched: {error.stderr.strip()}"
        ) from None
    _call(["git", "-C", str(source), "checkout", "--quiet", "FETCH_HEAD"])
    _call([*uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")])
    install = [*uv, "pip", "install", "--quiet", "--python", str(python)]
    _call([*install, *PACKAGES])
    _call([*install, "--no-deps", str(source)])  # the rest is for its web interface
    return python


@contextmanager
def postgres(folder: Path, port: int | None = None) -> Iterator[str]:
    """An empty database `metaflow` behind a socket in `folder`; how to connect to it.

    Args:
        folder: Where its files lie; others than the owner must be able to enter it.
        port: On 127.0.0.1, where it answers too if this is given.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if not found:
        raise UnavailableError("PostgreSQL is not installed: apt-get install postgresql")
    data = folder / "postgres"
    data.mkdir()
    # PostgreSQL does not run as root.
    before = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if before:
        shutil.chown(data, "postgres")
    bin_ = found[-1]
    cluster = str(data / "data")
    _call([*before, str(bin_ / "initdb"), "-A", "trust", "-U", "postgres", "-D", cluster])
    listen = f"-c listen_addresses=127.0.0.1 -p {port}" if port else "-c listen_addresses=''"
    options = f"{listen} -c fsync=off -k {data}"
    control = [*before, str(bin_ / "pg_ctl"), "-D", cluster, "-w"]
    _call([*control, "-o", options, "-l", str(data / "log"), "start"])
    try:
        at = ["-h", str(data), *(["-p", str(port)] if port else [])]
        _call([str(bin_ / "createdb"), *at, "-U", "postgres", "metaflow"])
        yield f"host={data} user=postgres dbname=metaflow"
    finally:
        _call([*control, "-m", "immediate", "stop"])


def _migrate(folder: Path, dsn: str) -> None:
    """The service's own migrations, in order; they are written for goose, a program in Go."""
    files = (folder / "source/services/migration_service/migration_files").glob("*.sql")
    for file in sorted(files, key=lambda path: int(path.name.split("_")[0])):
        up = file.read_text().partition("-- +goose Down")[0]
        _call(["psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn], given=up)


def _call(command: list[str], given: str | None = None) -> None:
    # pg_ctl's child would keep a pipe open for as long as it lives.
    with tempfile.TemporaryFile("w+") as errors:
        done = subprocess.run(
            command, input=given, stdout=errors, stderr=errors, text=True, check=False, cwd="/tmp"
        )
        errors.seek(0)
        said = errors.read()
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, stderr=said)


def _serve_local(folder: str) -> None:
    """`metaflow-local-service` and the route that it lacks, until the process is ended."""
    import uvicorn
    from fastapi import HTTPException
    from metaflow_local_service import server, store

    app = server.create_app(folder)
    steps = "/flows/{flow}/runs/{run}/steps/{step}"
    path = steps + "/tasks/{task}/artifacts/{name}"

    @app.get(path)
    @app.get(path + "/attempt/{attempt}")
    def artifact(
        flow: str, run: str, step: str, task: str, name: str, attempt: int | None = None
    ) -> dict:
        kept = store.get_artifacts(flow, run, step, task, attempt)
        found = [artifact for artifact in kept if artifact["name"] == name]
        if not found:
            raise HTTPException(404)
        return max(found, key=lambda artifact: artifact["attempt_id"])

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # what comes before the server serves waits
    sys.stdout.write(f"serving on {listener.getsockname()}\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    _serve_local(sys.argv[1])
