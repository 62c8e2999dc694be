"""Results of earlier runs taken over where nothing they are made from has changed (TFX:
`enable_cache`).

A result's key is the step's code, the part of the config that the step reads, and what went into it
by content: never a path or a time. So a file that changed behind the same path is another key.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mfx.artifacts import Shard, Sources
from mfx.artifacts.lineage import Lineage, hash_json
from mfx.config import Settings
from mfx.errors import MfxError

READS: dict[str, tuple[str, ...]] = {
    "ingest": (
        *("data.split", "data.null_values", "data.ragged_rows"),
        *("data.compression", "data.delimiter", "data.trim"),
        *("label.columns", "label.missing"),
    ),
    "validate": ("schema", "label", "data.split", "beam"),
    "transform": ("pipeline", "label", "beam"),
    "train": ("pipeline", "label", "train"),
    "evaluate": ("label", "evaluate", "beam"),
}
"""The parts of the config that each step reads."""

LATEST = 20
"""Runs that are looked through, newest first."""


@dataclass(frozen=True)
class Key:
    """What a step's result is made from.

    Args:
        step: The step.
        code: Hash of the library's and the pipeline's code.
        config: The part of the config that the step reads, by dotted name.
        inputs: Digests of what went in, by the function's parameters.
    """

    step: str
    code: str
    config: dict[str, Any]
    inputs: dict[str, str]

    def differences(self, other: Key) -> list[str]:
        """What keeps this key from being the other, which is an earlier run's."""
        found = ["the code"] if self.code != other.code else []
        found += [
            f"{name} ({other.config.get(name)} → {self.config.get(name)})"
            for name in sorted({*self.config, *other.config})
            if self.config.get(name) != other.config.get(name)
        ]
        return found + [
            f"the {name}"
            for name in dict.fromkeys([*self.inputs, *other.inputs])
            if self.inputs.get(name) != other.inputs.get(name)
        ]


@dataclass(frozen=True)
class Made:
    """A step's result and its key: what later runs look for.

    Args:
        result: What the step's function returned.
        source: Pathspec of the task that it was taken over from; empty if it was made here.
    """

    key: Key
    result: Any
    source: str = ""


def or_make(
    flow: Any,
    step: str,
    inputs: dict[str, Any],
    report: Callable[[str], None],
    beside: dict[str, Any] | None = None,
) -> Made:
    """What `mfx.<step>.<step>(settings=flow.settings, **inputs)` returns, or an earlier run's.

    Looks only where the flow's parameters say so: `from_run`, the id of a run, or `reuse`, the
    newest runs. Nothing of the step's module is imported when a result is found.

    Args:
        flow: The running flow.
        step: The step's name.
        inputs: What the result is made from, by the function's parameters.
        report: Called with one line on what was found, if something was looked for.
        beside: Arguments that make no difference to the result.

    Raises:
        MfxError: `from_run` names no run.
    """
    key = key_of(step, inputs, flow.settings, flow.sources.lineage)
    if flow.from_run or flow.reuse:
        found, line = find(key, flow.name, flow.from_run)
        report(line)
        if found:
            return replace(found, result=_made_here(found.result, flow.sources.lineage))
    function = getattr(importlib.import_module(f"mfx.{step}.{step}"), step)
    return Made(key, function(settings=flow.settings, **inputs, **(beside or {})))


def key_of(step: str, inputs: dict[str, Any], settings: Settings, lineage: Lineage) -> Key:
    """The key of a step's result."""
    config: dict[str, Any] = {}
    for part in READS[step]:
        values: Any = settings.to_dict()
        for name in part.split("."):
            values = values[name]
        config |= _flat(part, values)
    if "schema" in READS[step]:
        # The file is edited, its path is not.
        path = Path(settings.resolve(settings.schema_.path))
        config["schema.path"] = hash_json(
            path.read_text(encoding="utf-8") if path.is_file() else None
        )[:12]
    digests = {name: _digest(value) for name, value in inputs.items()}
    return Key(step, lineage.code, config, digests)


def find(key: Key, flow: str, from_run: str | None) -> tuple[Made | None, str]:
    """A finished result of this key in earlier runs, and a line on what was found or not.

    Raises:
        MfxError: `from_run` names no run, or one that cannot be read.
    """
    nearest: tuple[str, list[str]] | None = None
    unread = ""
    for task, made in _results(key.step, flow, from_run):
        if isinstance(made, MfxError):
            if from_run:
                raise made
            unread = unread or f"; {made.what}"
            continue
        if not (differing := key.differences(made.key)):
            run = task.split("/")[1]
            return replace(made, source=task), f"{key.step}: reused from run {run}"
        if nearest is None or len(differing) < len(nearest[1]):
            nearest = task.split("/")[1], differing
    if nearest is None:
        where = f"run {from_run}" if from_run else "earlier runs"
        return None, f"{key.step}: made anew: no finished {key.step} in {where}{unread}"
    changed = f"since run {nearest[0]} changed {', '.join(nearest[1])}"
    return None, f"{key.step}: made anew: {changed}{unread}"


def _results(step: str, flow: str, from_run: str | None) -> Iterator[tuple[str, Made | MfxError]]:
    """Tasks of the step and what they made, or why that cannot be read, newest run first."""
    from itertools import islice

    from metaflow import Flow, Run, current

    from mfx.registry.runs import UnreadableError, absent, asking, read

    try:
        with asking():
            if from_run:
                runs = iter([Run(f"{flow}/{from_run}", _namespace_check=False)])
            else:
                runs = islice(Flow(flow, _namespace_check=False).runs(), LATEST + 1)
    except absent():
        if not from_run:
            return
        raise MfxError(
            f"--from-run: no run {flow}/{from_run}",
            "`mfx ls --all` lists runs.",
        ) from None
    for run in runs:
        if run.id == current.run_id:
            continue
        try:
            tasks = list(run[step])
        except KeyError:
            continue
        for task in tasks:
            if task.finished and "made" in task:
                try:
                    made = read(task["made"], run.pathspec, step)
                except UnreadableError as error:
                    made = error
                if isinstance(made, Made | UnreadableError):
                    yield task.pathspec, made


def _flat(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {k: v for key, inner in value.items() for k, v in _flat(f"{name}.{key}", inner).items()}


def _digest(value: Any) -> str:
    if isinstance(value, Shard):
        return value.sha256
    if isinstance(value, Sources):
        return hash_json(value.columns)
    if isinstance(value, list | tuple):
        return hash_json([_digest(v) for v in value])
    return getattr(value, "digest", None) or hash_json(value)


def _made_here(result: Any, lineage: Lineage) -> Any:
    """The result as this run would have made it: of this run's whole data and config."""
    if isinstance(result, tuple) and type(result) is tuple:
        return tuple(_made_here(part, lineage) for part in result)
    if isinstance(old := getattr(result, "lineage", None), Lineage):
        return replace(result, lineage=replace(lineage, parents=old.parents))
    return result
