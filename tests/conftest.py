"""What tests share: the taxi pipeline's settings, a datastore to save to, one run of the flow."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import pytest
from helpers import hermetic

hermetic.clean()  # Before any import of this library, which PYTHONPATH may hide.

from helpers import boxes, clouds, cost, local_s3  # noqa: E402
from helpers.boxes import BOXES, Box  # noqa: E402
from helpers.flows import REAL, ROOT, FlowResult, call_flow  # noqa: E402
from helpers.pushes import ADDRESSES  # noqa: E402
from helpers.shared import once  # noqa: E402
from helpers.small_runs import SmallRuns, small_runs_in  # noqa: E402
from helpers.storing import saving  # noqa: E402
from xdist.scheduler import LoadScopeScheduling  # noqa: E402

LONG = [
    "flows/test_several_runs",
    "deploy/test_argo",
    "flows/test_resume",
    "flows/test_s3",
    "cli/test_cli",
    "registry/test_promotion",
    "evaluate/test_tfma_local",
    "train/test_train",
    "transform/test_transform",
    "transform/declared/test_preprocessing",
    "flows/test_declared",
    "flows/test_real_data",
    "ui/test_browser",
    "serve/test_server",
    "flows/test_flow",
    "storage/test_faults",
    "flows/test_own_steps",
    "flows/test_bad_input",
    "push/test_push",
    "flows/test_lists",
    "serve/triton/test_triton",
    "beam/test_runner",
    "destinations/test_destinations",
    "project/test_serving",
    "push/servers/test_servers",
    "flows/test_networks",
    "registry/test_retention",
    "serve/http/test_rest",
    "evaluate/test_evaluate",
]
"""Files that take long, the longest first, so that both processes end at about the same time."""


def pytest_configure(config):
    """Refuse to run where `assert` does nothing; processes of pytest-xdist start without -O."""
    if sys.flags.optimize and not config.getoption("numprocesses", None):
        raise pytest.UsageError("python -O or PYTHONOPTIMIZE leaves out the tests' assertions")
    if file := os.environ.get("MFX_TEST_COST"):
        config.pluginmanager.register(cost.Cost(Path(file)))


@pytest.fixture(scope="session", autouse=True)
def _at_root() -> Iterator[None]:
    """Tests run in the project's folder, wherever pytest was called."""
    before = Path.cwd()
    os.chdir(ROOT)
    yield
    os.chdir(before)


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """What a test logs does not depend on the tests before it: flows and `mfx serve` set levels
    for their whole process."""
    loggers = [logging.getLogger(name) for name in ("", "tensorflow", "mfx")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


TOGETHER = {
    "all_small_runs": [
        "cli/test_cli",
        "cli/test_ui",
        "flows/test_moved_project",
        "flows/test_pipelines",
        "registry/test_actions",
        "registry/test_comparison",
        "registry/test_freeing",
        "registry/test_runs",
        "registry/test_steps",
    ],
    "ui_runs": ["ui/test_browser", "ui/test_pages", "ui/test_reader", "ui/test_server"],
}
"""Fixtures that take long, and that tests change, with all files that use them: one process has
these files, and makes the fixture once. (What nobody changes, `flow_run`, all processes share.)"""


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0].removeprefix("tests/").removesuffix(".py")


def pytest_collection_modifyitems(config, items):
    """Long files first, then the others in their order; some tests only when asked for."""
    if not config.option.markexpr:
        asked = [i for i in items if not any(map(i.get_closest_marker, ("deploy", "docs", "long")))]
        config.hook.pytest_deselected(items=[item for item in items if item not in asked])
        items[:] = asked
    for fixture, files in TOGETHER.items():
        using = {_file(item.nodeid) for item in items if fixture in item.fixturenames}
        if missing := sorted(using.difference(files)):
            raise pytest.UsageError(f"TOGETHER in tests/conftest.py: {fixture} lacks {missing}")
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(_file(item.nodeid), len(LONG)))


class _WholeFiles(LoadScopeScheduling):
    """Gives each process whole files; those of a row of TOGETHER count as one.

    (xdist's own marks for this, `--dist loadgroup`, do nothing with pytest 9.2: they are put into
    `_nodeid`, which it no longer reads.)
    """

    def _split_scope(self, nodeid: str) -> str:
        file = _file(nodeid)
        return next((fixture for fixture, files in TOGETHER.items() if file in files), file)


def pytest_xdist_make_scheduler(config, log):
    """How tests are dealt out to processes."""
    named = {*LONG, *(file for files in TOGETHER.values() for file in files)}
    if gone := sorted(file for file in named if not (ROOT / "tests" / f"{file}.py").is_file()):
        raise pytest.UsageError(f"LONG and TOGETHER in tests/conftest.py: no such files: {gone}")
    return _WholeFiles(config, log)


@pytest.fixture(scope="session")
def flow_run(tmp_path_factory) -> FlowResult:
    """One whole run of the taxi pipeline on the sample, which all processes share; it pushed to
    `<store>/pushed`. To look at: who adds to it takes a copy of its store."""
    return once(tmp_path_factory, "flow", _run_the_flow)


def _run_the_flow(store: Path) -> FlowResult:
    (store / "imports").mkdir()
    result = call_flow(
        store,
        *("run", "--destination", str(store / "pushed")),
        PYTHONPATH=f"{ROOT / 'tests/helpers/recorder'}:{os.environ.get('PYTHONPATH', '')}",
        MFX_RECORD_IMPORTS=str(store / "imports"),
    )
    assert result.code == 0, result.output
    return result


@pytest.fixture(scope="module")
def server():
    """A local S3, and nothing else of AWS, for all that reads the environment."""
    with local_s3.running() as given, pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        yield


@pytest.fixture
def s3(server, request):
    """A client, and a bucket of the test's own."""
    import boto3

    client = boto3.client("s3")
    name = "b-" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:50]
    name += f"-{hash(request.node.name) % 1000}"
    client.create_bucket(Bucket=name)
    client.bucket = name
    return client


@pytest.fixture(scope="session")
def google(tmp_path_factory) -> Iterator[dict[str, str]]:
    """A local Google Cloud Storage: what reaches it."""
    with clouds.google(tmp_path_factory.mktemp("google")) as given:
        yield given


@pytest.fixture(scope="session")
def azure(tmp_path_factory) -> Iterator[dict[str, str]]:
    """A local Azure Blob Storage: what reaches it."""
    with clouds.azure(tmp_path_factory.mktemp("azure")) as given:
        yield given


@pytest.fixture
def gs(google, request, monkeypatch) -> str:
    """A bucket of the test's own on Google Cloud Storage, which the environment names."""
    for name, value in google.items():
        monkeypatch.setenv(name, value)
    bucket = f"b{abs(hash(request.node.nodeid)) % 10**12}"
    clouds.make_google_bucket(google, bucket)
    return bucket


@pytest.fixture
def az(azure, request, monkeypatch) -> str:
    """A container of the test's own on Azure Blob Storage, which the environment names."""
    for name, value in azure.items():
        monkeypatch.setenv(name, value)
    container = f"b{abs(hash(request.node.nodeid)) % 10**12}"
    clouds.make_azure_container(azure, container)
    return container


@pytest.fixture
def site() -> Iterator[Callable[[Path], str]]:
    """Starts a web server for a folder, gone with the test; gives its URL."""
    with ExitStack() as running:
        yield lambda folder: running.enter_context(boxes.site(folder))


@pytest.fixture(params=list(BOXES))
def box(request) -> Box:
    """An empty bucket on each storage."""
    return BOXES[request.param](request)


@pytest.fixture(params=list(ADDRESSES))
def place(request):
    """A destination's address on each storage."""
    return ADDRESSES[request.param](request)


@pytest.fixture(scope="session")
def all_small_runs(tmp_path_factory) -> tuple[SmallRuns, dict[str, str]]:
    """Small runs, and their ids by what they are; none pushed."""
    small = small_runs_in(tmp_path_factory.mktemp("small"))
    made = {
        "one": small.make("--weight", "1"),
        "two": small.make("--weight", "2"),
        "three": small.make("--weight", "3"),
        "unblessed": small.make("--weight", "4", "--blessed", "0"),
        "invalid": small.make("--weight", "5", "--valid", "0"),
        "branch": small.make("--weight", "6", PROJECT="demo"),
        "stopped": small.make("--stop", "1"),
    }
    return small, made


@pytest.fixture
def small_runs(all_small_runs, monkeypatch) -> dict[str, str]:
    """Ids of small runs, which Metaflow's client sees; nothing is in production."""
    import shutil

    from metaflow import Flow

    small, made = all_small_runs
    monkeypatch.setenv("METAFLOW_DATASTORE_SYSROOT_LOCAL", str(small.store))
    shutil.rmtree(small.config.parent / "pushed", ignore_errors=True)
    small.look()
    for run in Flow("Pipeline", _namespace_check=False):
        if tags := [tag for tag in run.user_tags if tag.startswith("production")]:
            run.remove_tags(tags)
    return made


@pytest.fixture
def pushed(all_small_runs) -> Path:
    """Where small runs push to."""
    return all_small_runs[0].config.parent / "pushed"


@pytest.fixture(autouse=True)
def _no_project_of_another_test(monkeypatch):
    """What a flow or a command says of its project holds for its test alone."""
    monkeypatch.setattr("mfx.environment._project", None)


@pytest.fixture
def settings():
    """The taxi pipeline's settings, checked."""
    from mfx import config

    return config.load(ROOT / "flows" / "taxi" / "config.toml")


@pytest.fixture
def datastore(tmp_path) -> Iterator[Path]:
    """A datastore below `tmp_path` to save to, for the whole test."""
    with saving(tmp_path / "datastore"):
        yield tmp_path / "datastore"


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
