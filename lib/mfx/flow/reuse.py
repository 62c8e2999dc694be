"""Reuse a result of an earlier run if nothing that it is made from has changed.

In TFX this is `enable_cache`. A result's key is made of the step's code, the part of the config
that the step reads, and the contents of its inputs; never of a path or a time. So if a file's
content changes, the key changes, even if the path is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from mfx.artifacts import Shard, Sources
from mfx.artifacts.lineage import Lineage, hash_json
from mfx.artifacts.span_cache import Found, Kept, SpanCache
from mfx.config.step import Reads, Step
from mfx.errors import MfxError
from mfx.flow import code

LATEST = 20
"""How many runs are searched, from the newest on."""


@dataclass(frozen=True)
class ReuseKey:
    """All that a step's result depends on.

    Args:
        step: The step's name.
        code: A hash of the step's code (see `code.code_hash`).
        config: The part of the config that the step reads, by dotted name.
        inputs: The digest of each input, by name.
    """

    step: str
    code: str
    config: dict[str, Any]
    inputs: dict[str, str]

    def differences(self, other: ReuseKey) -> list[str]:
        """What differs from the key of an earlier run, in words."""
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
    """A step's result with its key, by which later runs find it.

    Args:
        key: The key.
        result: What the step's function returned.
        source: Pathspec of the task from which it was reused; empty if it was made in this run.
        kept: What the step kept of each span, for runs whose window has the same spans.
    """

    key: ReuseKey
    result: Any
    source: str = ""
    kept: tuple[Kept, ...] = ()


def find_or_make(flow: Any, step: Step, report: Callable[[str], None]) -> KeyedResult:
    """Find a step's result in an earlier run, or make it.

    The flow's parameters say where to look: in the run `from_run`, or with `reuse` in the newest
    runs; without them nowhere, unless the run reads several spans. Then what earlier runs made of
    single spans is taken over, if `reuse_spans` under `[data]` allows it. If a result is found,
    nothing heavy is imported.

    Args:
        flow: The running flow.
        step: The step, with its inputs.
        report: Called with one line that says what was found, if earlier runs were searched.

    Raises:
        MfxError: The run `from_run` does not exist or cannot be read; or the step failed.
    """
    settings = step.reads.of(flow.settings)
    key = key_of(step, settings)
    in_window = flow.settings.data.reuse_spans and len(flow.sources.spans) > 1
    if flow.from_run or flow.reuse or (step.by_span and in_window):
        found, line = find(key, flow.name, flow.from_run)
        report(line)
        if found:
            return replace(found, result=_made_here(found.result, flow.sources.lineage))
    if in_window and any(one.name == "cache" for one in fields(step)):
        cache = SpanCache(
            *(step.name, hash_json([key.code, key.config])),
            *(_kept(step.name, flow.name, report), report),
        )
        made = replace(step, cache=cache).make(settings)  # type: ignore[call-arg]
        return KeyedResult(key, made, kept=tuple(cache.kept))
    return KeyedResult(key, step.make(settings))


def _kept(step: str, flow: str, report: Callable[[str], None]) -> tuple[Found, ...]:
    """What the newest runs kept of spans."""
    found = []
    for task, made in _results(step, flow, None):
        if isinstance(made, MfxError):
            report(f"{step}: nothing reused of the spans of a run: {made.what}")
        elif made.kept:
            found.append(Found(task.split("/")[1], made.kept))
    return tuple(found)


def key_of(step: Step, settings: Reads) -> ReuseKey:
    """The key of the step's result.

    Args:
        step: The step, with its inputs.
        settings: The part of the config that the step reads.
    """
    config = settings.values()
    if "schema.path" in config:
        # The file's content counts, not its path.
        path = Path(settings.resolve(config["schema.path"]))
        config["schema.path"] = hash_json(
            path.read_text(encoding="utf-8") if path.is_file() else None
        )[:12]
    digests = {name: _digest(value) for name, value in step.inputs.items()}
    return ReuseKey(step.name, code.code_hash(step, settings), config, digests)


def find(key: ReuseKey, flow: str, from_run: str | None) -> tuple[KeyedResult | None, str]:
    """Look for a finished result with this key in earlier runs.

    Args:
        key: The key.
        flow: The flow's name.
        from_run: The id of the only run to search; None for the newest runs.

    Returns:
        The result, or None; and a line that says what was found, or what has changed.

    Raises:
        MfxError: The run `from_run` does not exist or cannot be read.
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
        return None, f"{key.step}: not reused: no finished {key.step} in {where}{unread}"
    changed = f"changed since run {nearest[0]}: {', '.join(nearest[1])}"
    return None, f"{key.step}: not reused: {changed}{unread}"


def _results(
    step: str, flow: str, from_run: str | None
) -> Iterator[tuple[str, KeyedResult | MfxError]]:
    """Yield tasks of the step with their result, or why it cannot be read; newest run first."""
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
            "`mfx ls --all` lists all runs.",
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
    """The result with the lineage that it would have if this run had made it."""
    if isinstance(result, tuple) and type(result) is tuple:
        return tuple(_made_here(part, lineage) for part in result)
    if isinstance(old := getattr(result, "lineage", None), Lineage):
        return replace(result, lineage=replace(lineage, parents=old.parents))
    return result
