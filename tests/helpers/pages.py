"""Runs of all kinds for pages to show, and a client that asks these pages."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread

from helpers.many_runs import copy_run
from helpers.small_runs import SmallRuns, small_runs_in
from mfx.registry.place import Place
from mfx.registry.runs import RunSummary

TAG = "<script>alert('tag')</script>"
REASON = "<img src=x onerror=alert('reason')>"

CARD = """<!doctype html><html><body><p id="said">drawn</p><script>
const said = document.querySelector("#said");
for (const reach of [() => parent.document.title, () => localStorage.length, () => document.cookie])
  try { reach(); said.textContent += " reached"; } catch { said.textContent += " refused"; }
fetch("/").then(() => said.textContent += " fetched", () => said.textContent += " kept in");
</script></body></html>"""

SUMMARY = RunSummary(
    run="1",
    flow="Pipeline",
    pipeline="taxi",
    created=datetime(2026, 11, 20, 18, 0).astimezone(),
    user="ada",
    branch="",
    state="finished",
    files="a.csv",
    rows=40,
    commit="abc+",
    metrics={"auc": 0.75},
    blessed=True,
    version=7,
    production=None,
    place=Place("/pushed", "taxi"),
)


@dataclass(frozen=True)
class Shown:
    """Runs, and their ids by what they are.

    Args:
        small: Their datastore.
        ids: `one` and `two` were made; `two` was promoted after it, then rolled back. The others
            are of what their names say; `tagged` has TAG.
    """

    small: SmallRuns
    ids: dict[str, str]


def shown_in(folder: Path) -> Shown:
    """Runs of all kinds."""
    from metaflow import Run

    from mfx import registry

    small = small_runs_in(folder)
    names = {"one": ("--weight", "1"), "two": ("--weight", "2"), "failed": ("--stop", "1")}
    ids = {name: small.make(*arguments) for name, arguments in names.items()}
    small.look()
    registry.promote(ids["one"], reason=REASON)
    registry.promote(ids["two"])
    registry.rollback("small", reason="complaints")
    first = Run(f"Pipeline/{ids['one']}", _namespace_check=False)
    root, chance = small.store / ".metaflow", random.Random(1)
    began = datetime.fromtimestamp(int(first.id) / 1e6)
    for hours, name in enumerate(("tagged", "running", "unreadable"), 1):
        ids[name] = copy_run(first, root, began - timedelta(hours=hours), chance)
    Run(f"Pipeline/{ids['tagged']}", _namespace_check=False).add_tag(TAG)
    shutil.rmtree(root / "Pipeline" / ids["running"] / "end")
    _leave_a_card(root, ids["two"])
    _lose_its_metrics(root / "Pipeline", ids["unreadable"])
    return Shown(small, ids)


def _leave_a_card(root: Path, run: str) -> None:
    """A card that says what it can reach of the page that shows it."""
    (task,) = (root / "Pipeline" / run / "evaluate").glob("[0-9]*")
    folder = (
        root / "mf.cards" / "Pipeline" / "runs" / run / "steps/evaluate/tasks" / task.name / "cards"
    )
    folder.mkdir(parents=True)
    (folder / f"blank-{'0' * 32}.html").write_text(CARD)


def _lose_its_metrics(flow: Path, run: str) -> None:
    (record,) = (flow / run).glob("evaluate/*/_meta/0_artifact_evaluation.json")
    key = json.loads(record.read_text())["sha"]
    (flow / "data" / key[:2] / key).unlink()


@dataclass(frozen=True)
class Got:
    """What was answered."""

    status: int
    headers: dict[str, str]
    text: str


@dataclass(frozen=True)
class Client:
    """Asks a server."""

    address: str
    port: int

    def __call__(self, path: str, method: str = "GET", **headers: str) -> Got:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return Got(answer.status, dict(answer.headers), answer.read().decode())
        finally:
            connection.close()


@contextmanager
def serving(server) -> Iterator[Client]:
    """A server that answers meanwhile."""
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Client(server.address, server.server_port)
    finally:
        server.shutdown()
        server.server_close()
