"""Many finished runs at once: copies of a finished run, each with results of its own.

A copy is what Metaflow itself would have left: its blobs, its tasks' index and its metadata, under
a run id of its own. What tells it from the others are its settings' seed, its metrics and its
lineage, so that no two runs share the blobs that a list of runs reads.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mfx.artifacts import _private, metaflow_local

SECONDS = re.compile(r'("ts_epoch": |"created_at": )(\d+)')


def copy_run(run: Any, root: Path, began: datetime, chance: random.Random) -> str:
    """A copy of a finished run that began at another time; its id.

    Args:
        run: Metaflow's object of it, of local metadata.
        root: The folder of the local metadata, `.metaflow`.
        began: When the copy began.
        chance: Makes its results differ.
    """
    metaflow_local.look_beside_records()
    flow, old = run.pathspec.split("/")
    new = str(int(began.timestamp() * 1e6))
    later = int(began.timestamp() * 1000) - int(int(old) / 1000)
    keys: dict[str, str] = {}
    others: dict[str, Any] = {}
    for step in [*run, run["_parameters"]]:
        for task in step:
            keys |= _copy_results(flow, old, new, step.id, task, others, chance)
    _copy_metadata(root / flow / old, root / flow / new, {old: new, **keys}, later)
    cards = root / "mf.cards" / flow / "runs"
    if (cards / old).is_dir():
        shutil.copytree(cards / old, cards / new, copy_function=os.link)
    return new


def copies(run: Any, root: Path, count: int) -> list[str]:
    """So many copies, an hour apart, the newest an hour before the run itself."""
    chance = random.Random(7)
    newest = datetime.fromtimestamp(int(run.id) / 1e6)
    return [copy_run(run, root, newest - timedelta(hours=n + 1), chance) for n in range(count)]


def _copy_results(
    flow: str,
    old: str,
    new: str,
    step: str,
    task: Any,
    others: dict[str, Any],
    chance: random.Random,
) -> dict[str, str]:
    """Copies a task's results; the keys of blobs that are others now.

    `others` holds what results were changed to, by their keys: tasks hand results on.
    """
    from metaflow.datastore import FlowDataStore
    from metaflow.plugins import DATASTORES

    said = _private.record(next(iter(task)))
    (storage,) = [one for one in DATASTORES if said["ds_type"] == one.TYPE]
    place = said["location"].removeprefix(":root:")
    store = FlowDataStore(flow, None, storage_impl=storage, ds_root=place)
    was = store.get_task_datastore(old, step, task.id)
    now = store.get_task_datastore(new, step, task.id, attempt=0, mode="w")
    now.init_task()
    now.clone(was)
    before = dict(now.items())
    for name, key in before.items():
        if name in _CHANGED and key not in others:
            others[key] = _CHANGED[name](was[name], chance)
    changed = {name: others[key] for name, key in before.items() if name in _CHANGED}
    now.save_artifacts(iter(changed.items()))
    now.done()
    after = dict(now.items())
    return {before[name]: after[name] for name in changed}


def _evaluation(result: Any, chance: random.Random) -> Any:
    rows = [
        replace(
            row,
            metrics={
                name: value
                if value is None or name == "example_count"
                else value * chance.uniform(0.95, 1.02)
                for name, value in row.metrics.items()
            },
        )
        for row in result.rows
    ]
    return replace(result, rows=rows)


def _lineage(result: Any, chance: random.Random) -> Any:
    return replace(result, lineage=replace(result.lineage, data=f"{chance.getrandbits(256):064x}"))


_CHANGED = {
    "settings": lambda result, chance: result.model_copy(
        update={"train": result.train.model_copy(update={"seed": chance.randrange(10**6)})}
    ),
    "sources": _lineage,
    "examples": _lineage,
    "pushed": _lineage,
    "evaluation": _evaluation,
    "code": lambda result, chance: replace(result, commit=f"{chance.getrandbits(160):040x}"),
}
"""Results that each copy has its own of."""


def _copy_metadata(old: Path, new: Path, names: dict[str, str], later: int) -> None:
    for file in old.rglob("_meta/*.json"):
        text = file.read_text(encoding="utf-8")
        for name, other in names.items():
            text = text.replace(name, other)
        text = SECONDS.sub(lambda found: f"{found[1]}{int(found[2]) + later}", text)
        copy = new / file.relative_to(old)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="utf-8")
