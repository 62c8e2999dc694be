"""What tests share: the taxi pipeline's settings, a datastore to save to, one run of the flow."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOW = ROOT / "flows" / "pipeline.py"
SAMPLE = ROOT / "data" / "taxi" / "trips.csv"
REAL = ROOT.parent / "shared" / "data" / "taxi" / "trips.csv"

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("METAFLOW_USER", "tester")


LONG = ["test_argo", "test_resume", "test_real_data", "test_flow", "test_bad_input"]
"""Files of many flow runs: first, so that the two processes end at about the same time."""


def pytest_collection_modifyitems(config, items):
    """Long files first, all others in their order; deployed runs only when asked for."""
    if not config.option.markexpr:
        asked = [item for item in items if not item.get_closest_marker("deploy")]
        config.hook.pytest_deselected(items=[item for item in items if item not in asked])
        items[:] = asked
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


@dataclass(frozen=True)
class FlowResult:
    """One call of the flow's command line."""

    code: int
    output: str
    store: Path

    @property
    def run_id(self) -> str:
        """The run's id, from the log."""
        return self.output.split("run-id ")[1].split(")")[0]

    @property
    def run(self):
        """Metaflow's client object of the run."""
        from metaflow import Run, metadata, namespace

        os.environ["METAFLOW_DATASTORE_SYSROOT_LOCAL"] = str(self.store)
        metadata(f"local@{self.store}")
        namespace(None)
        return Run(f"Pipeline/{self.run_id}")

    @property
    def data(self):
        """The finished run's artifacts."""
        return self.run.data


def call_flow(store: Path, *arguments: str, **environment: str) -> FlowResult:
    """`python flows/pipeline.py ARGUMENTS`, its datastore below `store`."""
    done = subprocess.run(
        [sys.executable, str(FLOW), *arguments],
        env={**os.environ, "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(store), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return FlowResult(done.returncode, done.stdout, store)


@pytest.fixture(scope="session")
def flow_run(tmp_path_factory) -> FlowResult:
    """One whole run of the taxi pipeline on the sample, shared by many tests; pushes to
    `<store>/pushed`."""
    store = tmp_path_factory.mktemp("flow")
    (store / "imports").mkdir()
    result = call_flow(
        store,
        *("run", "--destination", str(store / "pushed")),
        PYTHONPATH=f"{Path(__file__).parent / 'recorder'}:{os.environ.get('PYTHONPATH', '')}",
        MFX_RECORD_IMPORTS=str(store / "imports"),
    )
    assert result.code == 0, result.output
    return result


@pytest.fixture
def settings():
    """The taxi pipeline's settings, checked."""
    from mfx import config

    return config.load(ROOT / "flows" / "taxi" / "config.toml")


@pytest.fixture
def datastore(tmp_path, monkeypatch) -> Path:
    """Lets `mfx.store.save` work outside a flow: a local datastore below `tmp_path`."""
    from metaflow import current
    from metaflow.datastore import FlowDataStore
    from metaflow.plugins.datastores.local_storage import LocalStorage

    root = tmp_path / "datastore"
    monkeypatch.setattr(LocalStorage, "datastore_root", str(root))
    monkeypatch.setattr(FlowDataStore, "default_storage_impl", LocalStorage)
    monkeypatch.setattr(current, "_flow_name", "Pipeline", raising=False)
    return root


@pytest.fixture
def real_data() -> Path:
    """The real taxi file; skips the test where it is absent."""
    if not REAL.exists():
        pytest.skip("the real taxi file, ../shared/data/taxi/trips.csv, is not here")
    return REAL


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    """A local AWS, gone with the module; its value, and the environment, are what reaches it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    values = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "hush-the-aws-key",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_PROFILE", raising=False)
        for name, value in values.items():
            patch.setenv(name, value)
        yield values
    server.stop()


@dataclass
class Webhook:
    """A receiver on this machine: its URL, the bodies that came, the status it answers."""

    url: str = ""
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A receiver of webhooks, gone with the test."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            hook.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(hook.status)
            self.end_headers()

        def do_GET(self):
            self.send_response(hook.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    hook.url = f"http://127.0.0.1:{server.server_port}/services/hush-the-webhook"
    yield hook
    server.shutdown()
    server.server_close()
