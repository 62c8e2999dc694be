"""Results of earlier runs taken over where nothing they are made from has changed (TFX:
`enable_cache`).

A result's key is the step's code, the part of the config that the step is handed, and what went
into it by content: never a path or a time. So a file that changed behind the same path is another
key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mfx.artifacts import Shard, Sources
from mfx.artifacts.lineage import Lineage, hash_json
from mfx.config.step import Reads, Step
from mfx.errors import MfxError
from mfx.flow import code

LATEST = 20
"""Runs that are looked through, newest first."""


@dataclass(frozen=True)
class ReuseKey:
    """What a step's result is made from.

    Args:
        step: The step.
        code: Hash of the modules that the step imports, and of the pipeline's if it uses them.
        config: The part of the config that the step reads, by dotted name.
        inputs: Digests of what went in, by name.
    """

    step: str
    code: str
    config: dict[str, Any]
    inputs: dict[str, str]

    def differences(self, other: ReuseKey) -> list[str]:
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
class KeyedResult:
    """A step's result and its key: what later runs look for.

    Args:
        result: What the step's function returned.
        source: Pathspec of the task that it was taken over from; empty if it was made here.
    """

    key: ReuseKey
    result: Any
    source: str = ""


def find_or_make(flow: Any, step: Step, report: Callable[[str], None]) -> KeyedResult:
    """What the step makes of the flow's settings, or an earlier run's result of the same key.

    Looks only where the flow's parameters say so: `from_run`, the id of a run, or `reuse`, the
    newest runs. Nothing heavy is imported when a result is found.

    Args:
        flow: The running flow.
        step: The step, with what goes in.
        report: Called with one line on what was found, if something was looked for.

    Raises:
        MfxError: `from_run` names no run.
    """
    settings = step.reads.of(flow.settings)
    key = key_of(step, settings)
    if flow.from_run or flow.reuse:
        found, line = find(key, flow.name, flow.from_run)
        report(line)
        if found:
            return replace(found, result=_made_here(found.result, flow.sources.lineage))
    return KeyedResult(key, step.make(settings))


def key_of(step: Step, settings: Reads) -> ReuseKey:
    """The key of the step's result.

    Args:
        step: The step, with what goes in.
        settings: What it reads.
    """
    config = settings.values()
    if "schema.path" in config:
        # The file is edited, its path is not.
        path = Path(settings.resolve(config["schema.path"]))
        config["schema.path"] = hash_json(
            path.read_text(encoding="utf-8") if path.is_file() else None
        )[:12]
    digests = {name: _digest(value) for name, value in step.inputs.items()}
    return ReuseKey(step.name, code.code_hash(step, settings), config, digests)


def find(key: ReuseKey, flow: str, from_run: str | None) -> tuple[KeyedResult | None, str]:
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


def _results(
    step: str, flow: str, from_run: str | None
) -> Iterator[tuple[str, KeyedResult | MfxError]]:
    """Tasks of the step and what they made, or why that cannot be read, newest run first."""
    from itertools import islice

    from metaflow import Flow, Run, current

    from mfx.registry.client import UnreadableError, absent, asking, read

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
                if isinstance(made, KeyedResult | UnreadableError):
                    yield task.pathspec, made


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
