"""The pictures of `mfx ui` in docs/images, and docs/card.png, of real runs of the taxi pipeline.

`make screenshots` is

    python -m helpers.screenshots [STORE]

STORE is a folder with runs to show, from an earlier call; without it the runs are made first, in a
folder that is said and kept.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from helpers import hermetic
from helpers.browser import browsing
from helpers.flows import FLOW, ROOT, SAMPLE

IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 150_000
RUNS = (
    ("--steps", "250"),
    ("--steps", "600", "--reuse", "true"),
    ("--steps", "20", "--reuse", "true"),
    ("--steps", "1000", "--seed", "7", "--reuse", "true"),
)
"""Of each run what differs from the config. The third learns too little to be blessed."""


def main(arguments: list[str]) -> None:
    """Take the pictures."""
    hermetic.clean(METAFLOW_USER="ada")
    store = Path(arguments[0]) if arguments else Path(tempfile.mkdtemp(prefix="mfx-"), "taxi")
    if not arguments:
        print(f"making runs in {store}", flush=True)
        make_runs(store)
    with browsing() as browser:
        _take_card(browser, store)
    with serving(store) as address, browsing() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        for name, path in _paths(store).items():
            page.goto(address + path, timeout=120_000)
            page.wait_for_selector("[aria-busy=true]", state="detached", timeout=300_000)
            page.wait_for_function("!document.body.innerText.includes('being read')")
            _take(page, IMAGES / f"ui-{name}.png")


def _take_card(browser: Any, store: Path) -> None:
    """The card of `evaluate` of the run that is served second: it has a baseline."""
    cards = store / ".metaflow" / "mf.cards" / "Pipeline" / "runs" / _served(store)[1]
    (card,) = cards.glob("steps/evaluate/tasks/*/cards/blank-*.html")
    page = browser.new_page(viewport={"width": 1200, "height": 1550})
    # Without Metaflow's logo and menu.
    # Not for a font from the network, which a card asks for.
    page.goto(f"{card.as_uri()}?embed=1", wait_until="domcontentloaded", timeout=120_000)
    page.wait_for_selector(".vega-embed .marks", timeout=120_000)
    _take(page, ROOT / "docs" / "card.png")


def _take(page: Any, picture: Path) -> None:
    page.screenshot(path=picture)
    size = picture.stat().st_size
    print(f"{picture.relative_to(ROOT)}  {size:,} bytes")
    if size > MOST_BYTES:
        sys.exit(f"{picture}: more than {MOST_BYTES:,} bytes")


def make_runs(store: Path) -> None:
    """Runs that are blessed, one that is not, and one that bad data stops; then a rollback."""
    (store / ".metaflow").mkdir(parents=True)
    environment = {**os.environ, "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(store)}
    destination = ("--destination", str(store / "pushed"))
    for options in RUNS:
        subprocess.run(
            [sys.executable, str(FLOW), "run", *options, *destination], env=environment, check=True
        )
    bad = store / "trips-of-may.csv"
    _write_bad(bad)
    subprocess.run(
        [sys.executable, str(FLOW), "run", "--data", str(bad), *destination],
        env=environment,
        check=False,
    )
    command = [_mfx(), "rollback", "--reason", "complaints from drivers"]
    subprocess.run(command, cwd=store, env=environment, check=True)


def _write_bad(path: Path) -> None:
    """The sample, with a payment type that the schema does not know."""
    with SAMPLE.open(newline="") as given, path.open("w", newline="") as made:
        rows = csv.DictReader(given)
        writer = csv.DictWriter(made, rows.fieldnames or [])
        writer.writeheader()
        for row in rows:
            changed = {"payment_type": "Barter"} if row["payment_type"] == "Cash" else {}
            writer.writerow(row | changed)


@contextmanager
def serving(store: Path) -> Iterator[str]:
    """`mfx ui` over these runs; its address, without a slash at the end."""
    command = [_mfx(), "ui", "--no-browser"]
    with subprocess.Popen(command, cwd=store, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[0].rstrip("/")
        finally:
            process.terminate()


def _mfx() -> str:
    return str(Path(sys.executable).parent / "mfx")


def _served(store: Path) -> list[str]:
    """The ids of the runs that were put into production, the first one first."""
    pushed = sorted((store / "pushed" / "taxi" / "promotions").glob("*-intent.json"))
    return [json.loads(path.read_text())["run"] for path in pushed]


def _paths(store: Path) -> dict[str, str]:
    """The pages, by the pictures' names."""
    first, second = _served(store)[:2]
    return {
        "runs": "/",
        "run": f"/run/Pipeline/{second}",
        "compare": f"/compare?run={first}&run={second}",
        "production": "/production",
    }


if __name__ == "__main__":
    main(sys.argv[1:])
