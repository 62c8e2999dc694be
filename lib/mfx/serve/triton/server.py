"""Serve one model by NVIDIA's Triton until it is told to stop.

Triton runs as a separate process, with a model repository made for it. It answers KServe's V2 API.
This process finds versions, makes Triton load them, and stops it.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mfx.destinations import open_folder
from mfx.destinations.base import Destination
from mfx.errors import MfxError
from mfx.serve.model import read_signatures
from mfx.serve.parameters import BatchingParameters
from mfx.serve.server import GRACE_SECONDS, Options, Serving, check_can_serve
from mfx.serve.triton import repository
from mfx.serve.versions import Versions

START_SECONDS, LOAD_SECONDS = 120, 600
_RESTRICTED = "model-repository,shared-memory,trace,logging"
"""APIs that only this process may use. By default, Triton lets every client unload models."""
_KEY = "mfx-key"


def serve(options: Options, ready: Callable[[Serving], None]) -> None:
    """Serve until SIGTERM or SIGINT; then answer the requests at hand, and return.

    Args:
        options: What to serve, and where. Labels and CORS origins are not supported.
        ready: Called once a version answers.

    Raises:
        MfxError: The `triton` extra is missing, there is no version that can be served, a port is
            taken, Triton ended by itself, or an option is not supported.
    """
    if options.labels:
        raise MfxError("Triton has no version labels", "Remove --version-label.")
    if options.cors_origins:
        raise MfxError("Triton does not support CORS", "Remove --cors-origin.")
    repository.stub()  # First, since all else takes longer.
    source, name = open_folder(options.folder)
    name = options.name or name
    ports = _ports(options)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="mfx-triton-") as directory:
        models, backends = Path(directory, "models"), Path(directory, "backends")
        (models / name).mkdir(parents=True)
        repository.link_backend(backends)
        with _running(models, backends, options.host, ports) as triton:
            loader = TritonLoader(models / name, triton, options.keep, options.batching)
            versions = Versions(
                name, source, loader, keep=options.keep, poll_seconds=options.poll_seconds
            )
            versions.start()
            try:
                while not versions.served():
                    check_can_serve(versions, source, options)
                    triton.must_run()
                    if stop.wait(0.1):
                        return
                ready(_serving(versions, options.host, ports))
                while not stop.wait(0.2):
                    triton.must_run()
            finally:
                # Versions stay loaded: when Triton is stopped, it answers the requests at hand.
                versions.stop_polling()


class TritonProcess:
    """Triton's process.

    Args:
        process: The process.
        address: `host:port` of its REST API.
        key: The secret with which this process may manage models.
    """

    def __init__(self, process: subprocess.Popen, address: str, key: str) -> None:
        self._process, self._address, self._key = process, address, key

    def load(self, model: str, action: str = "load") -> None:
        """Make Triton load the versions in the model's folder, or `unload` the model.

        Raises:
            MfxError: A new version cannot be loaded. Versions loaded before are still served.
        """
        status, text = self.ask("POST", f"/v2/repository/models/{model}/{action}", LOAD_SECONDS)
        if status != 200:
            raise MfxError(json.loads(text).get("error", text) if text else f"status {status}")

    def ask(self, method: str, path: str, timeout: float) -> tuple[int, str]:
        """Send a request; return the answer's status and body.

        Raises:
            OSError: There is no answer.
        """
        connection = http.client.HTTPConnection(self._address, timeout=timeout)
        try:
            connection.request(method, path, headers={_KEY: self._key})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise OSError(f"{type(error).__name__}: {error}") from None
        finally:
            connection.close()

    def must_run(self) -> None:
        """Check that the process runs.

        Raises:
            MfxError: It has ended.
        """
        if self._process.poll() is not None:
            raise MfxError(f"Triton ended with exit code {self._process.returncode}")

    def wait(self, seconds: float) -> None:
        """Wait until Triton answers.

        Raises:
            MfxError: It has ended, or does not answer in time.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.must_run()
            with suppress(OSError):
                if self.ask("GET", "/v2/health/live", 5)[0] == 200:
                    return
            time.sleep(0.05)
        raise MfxError(f"Triton does not answer within {seconds:g} s")


class TritonLoader:
    """Makes Triton load versions, and unload them when they are closed.

    Args:
        folder: The model's folder in Triton's repository. It has the model's name.
        triton: Triton's process.
        keep: How many versions are served at the same time.
        batching: How requests are put together into batches.
    """

    def __init__(
        self, folder: Path, triton: TritonProcess, keep: int, batching: BatchingParameters
    ):
        self._folder, self._triton = folder, triton
        self._keep, self._batching = keep, batching
        self._config = folder / "config.pbtxt"
        self._live: set[int] = set()

    def load(self, source: Destination, version: int) -> _Loaded:
        """Load a version by a link to its folder, or from a copy of it; see `versions.Loader`."""
        before = self._config.read_text(encoding="utf-8") if self._live else ""
        try:
            place = repository.write_version(self._folder, version)
            folder = source.folder(version)
            if folder is None:
                place.mkdir()
                source.fetch(version, place)
            else:
                place.symlink_to(folder.resolve(), target_is_directory=True)
            self._write(version, place)
            self._triton.load(self._folder.name)
        except Exception:
            shutil.rmtree(self._folder / str(version), ignore_errors=True)
            if before:
                self._write_text(before)
            raise
        self._live.add(version)
        return _Loaded(self, version)

    def drop(self, version: int) -> None:
        """Make Triton unload a version."""
        self._live.discard(version)
        shutil.rmtree(self._folder / str(version))
        if not self._live:
            self._triton.load(self._folder.name, "unload")
        elif self._keep > 1:  # Otherwise it was unloaded when the other one was loaded.
            self._triton.load(self._folder.name)

    def _write(self, version: int, saved_model: Path) -> None:
        """Write the configuration for a version that will be loaded.

        If only one version is served, the configuration names it. Then Triton can switch even if
        signatures differ. Several versions share one signature. Each change of the file loads all
        of them again; until then, the old ones answer.
        """
        signature = repository.served_signature(read_signatures(saved_model))
        only = version if self._keep == 1 else None
        self._write_text(repository.config(self._folder.name, signature, only, self._batching))

    def _write_text(self, text: str) -> None:
        """Write the file if its text differs: Triton loads everything again if the file changes."""
        if not self._config.is_file() or self._config.read_text(encoding="utf-8") != text:
            self._config.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class _Loaded:
    """A version that Triton serves."""

    loader: TritonLoader
    version: int

    def close(self) -> None:
        self.loader.drop(self.version)


@contextmanager
def _running(
    models: Path, backends: Path, host: str, ports: tuple[int, int]
) -> Iterator[TritonProcess]:
    """A context with a running Triton that has no model loaded yet. It is stopped at the end."""
    key = secrets.token_hex(16)
    process = subprocess.Popen(
        _command(models, backends, host, ports, key),
        env=_environment(),
        stdout=subprocess.DEVNULL,
        # In its own session it does not get Ctrl-C; this process stops it. It also ends when this
        # process is killed.
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )
    try:
        triton = TritonProcess(process, f"{_reachable(host)}:{ports[0]}", key)
        triton.wait(START_SECONDS)
        yield triton
    finally:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS + 20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _command(
    models: Path, backends: Path, host: str, ports: tuple[int, int], key: str
) -> Sequence[str]:
    return [
        str(repository.home() / "bin" / "tritonserver"),
        f"--model-repository={models}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        f"--backend-directory={backends}",
        f"--http-address={host}",
        f"--http-port={ports[0]}",
        f"--grpc-address={host}",
        f"--grpc-port={ports[1]}",
        f"--http-restricted-api={_RESTRICTED}:{_KEY}={key}",
        f"--grpc-restricted-protocol={_RESTRICTED}:{_KEY}={key}",
        "--allow-metrics=false",
        "--log-info=false",
        f"--exit-timeout-secs={GRACE_SECONDS}",
    ]


def _environment() -> dict[str, str]:
    """The environment for the Python inside Triton, which uses the first interpreter on PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    libraries = [sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH")]
    return {
        **os.environ,
        "PATH": path,
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
    }


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _ports(options: Options) -> tuple[int, int]:
    """The ports for REST and gRPC; 0 is replaced by a free port.

    Raises:
        MfxError: A port is taken.
    """
    found: list[int] = []
    sockets: list[socket.socket] = []
    try:
        for port in (options.rest_port, options.grpc_port):
            family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
            sockets.append(socket.socket(family))
            # As in servers: connections that an earlier server left behind do not block the port.
            sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sockets[-1].bind((options.host, port))
            except OSError as error:
                raise MfxError(
                    f"{options.host}:{port}: cannot listen: {error.strerror}",
                    "Give another --rest-port, --grpc-port or --host.",
                ) from None
            found.append(sockets[-1].getsockname()[1])
    finally:
        for each in sockets:
            each.close()
    return found[0], found[1]


def _serving(versions: Versions, host: str, ports: tuple[int, int]) -> Serving:
    host = f"[{host}]" if ":" in host else host
    rest = f"http://{host}:{ports[0]}/v2/models/{versions.name}"
    return Serving(versions.name, versions.served(), rest, f"{host}:{ports[1]}")


def _reachable(host: str) -> str:
    """The address by which this process reaches a server that listens at `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
