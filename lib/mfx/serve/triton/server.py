"""NVIDIA's Triton as the server of one model of a destination, until it is told to stop.

Triton runs as a process of its own with a model repository made for it. It answers KServe's V2
API; this process finds versions, has Triton load them, and stops it.
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
"""What only this process may do; Triton by itself lets every client unload models."""
_KEY = "mfx-key"


def serve(options: Options, ready: Callable[[Serving], None]) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is under way, and return.

    Args:
        options: What to serve, and where. Triton has no labels.
        ready: Called once a version answers.

    Raises:
        MfxError: The `triton` extra is missing, there is no version that can be served, a port is
            taken, or Triton ended by itself.
    """
    if options.labels:
        raise MfxError("Triton has no version labels", "Leave --version-label out.")
    if options.cors_origins:
        raise MfxError("Triton answers no pages of other origins", "Leave --cors-origin out.")
    repository.stub()  # before anything that takes longer
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
                # Not closed: Triton answers what is under way when it is stopped.
                versions.stop_polling()


class TritonProcess:
    """The process.

    Args:
        process: Triton's.
        address: `host:port` of its REST API.
        key: What it lets this process manage models by.
    """

    def __init__(self, process: subprocess.Popen, address: str, key: str) -> None:
        self._process, self._address, self._key = process, address, key

    def load(self, model: str, action: str = "load") -> None:
        """Have it look at the model's folder again, or forget it by `unload`.

        Raises:
            MfxError: A new version cannot be loaded; what was served goes on.
        """
        status, text = self.ask("POST", f"/v2/repository/models/{model}/{action}", LOAD_SECONDS)
        if status != 200:
            raise MfxError(json.loads(text).get("error", text) if text else f"status {status}")

    def ask(self, method: str, path: str, timeout: float) -> tuple[int, str]:
        """The answer to a request: status and body.

        Raises:
            OSError: Nobody answers.
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
        """Raises:
        MfxError: The process ended.
        """
        if self._process.poll() is not None:
            raise MfxError(f"Triton ended with exit code {self._process.returncode}")

    def wait(self, seconds: float) -> None:
        """Until it answers.

        Raises:
            MfxError: It ended, or does not answer in time.
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
    """Has Triton load versions, and serve them no longer once they are closed.

    Args:
        folder: The model's in Triton's repository; its name is the model's.
        triton: The process.
        keep: How many versions are wanted at a time.
        batching: How requests are put together.
    """

    def __init__(
        self, folder: Path, triton: TritonProcess, keep: int, batching: BatchingParameters
    ):
        self._folder, self._triton = folder, triton
        self._keep, self._batching = keep, batching
        self._config = folder / "config.pbtxt"
        self._live: set[int] = set()

    def load(self, source: Destination, version: int) -> _Loaded:
        """From a link to the version's folder, or a copy of it; see `versions.Loader`."""
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
        """Have Triton serve a version no longer."""
        self._live.discard(version)
        shutil.rmtree(self._folder / str(version))
        if not self._live:
            self._triton.load(self._folder.name, "unload")
        elif self._keep > 1:  # else it went when the other one came
            self._triton.load(self._folder.name)

    def _write(self, version: int, saved_model: Path) -> None:
        """The configuration for a version that is to be loaded.

        If one version is wanted, it is named: Triton goes from one to the other, even if their
        signatures differ. Several share one signature, and each change loads all of them again,
        while those loaded before go on serving.
        """
        signature = repository.served_signature(read_signatures(saved_model))
        only = version if self._keep == 1 else None
        self._write_text(repository.config(self._folder.name, signature, only, self._batching))

    def _write_text(self, text: str) -> None:
        """Unless it is there: Triton loads all anew where the file changed."""
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
    """Triton on a model repository, without a model yet; gone at the end."""
    key = secrets.token_hex(16)
    process = subprocess.Popen(
        _command(models, backends, host, ports, key),
        env=_environment(),
        stdout=subprocess.DEVNULL,
        # Its own: Ctrl-C is for this process to pass on. But it ends when this one is killed.
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
    """For the Python inside Triton: it goes by the interpreter found first."""
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
    """The ports, 0 replaced by free ones.

    Raises:
        MfxError: One is taken.
    """
    found: list[int] = []
    sockets: list[socket.socket] = []
    try:
        for port in (options.rest_port, options.grpc_port):
            family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
            sockets.append(socket.socket(family))
            # As servers do: what is left of the last one's connections is no hindrance.
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
    """An address for this process where the host is all of them."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
