"""Find the project's pipelines, and the one that a command is about. Each pipeline is a flow.

Flows have separate runs, data, `latest` and deployments.
"""

from __future__ import annotations

import ast
import itertools
from pathlib import Path
from typing import Any

from mfx import environment
from mfx.errors import MfxError, nearest
from mfx.registry.client import UnreadableError, absent, asking, read

_LOOKED_AT = 20
"""How many of a flow's newest runs are searched for the pipeline's name: some runs stop before they
have one."""


def declared() -> dict[str, Path]:
    """The project's flows and their files: subclasses of `FlowSpec` in `flows/*.py`.

    The files are read, but not run.

    Raises:
        MfxError: One of the files is not Python.
    """
    package = environment.code_package()  # It has the files of the folder `flows`, but not `flows`.
    classes: dict[str, tuple[Path, list[str]]] = {}
    for path in sorted((package or environment.project() / "flows").glob("*.py")):
        for node in _parse(path).body:
            if isinstance(node, ast.ClassDef):
                classes[node.name] = path, [_last_name(base) for base in node.bases]
    found: dict[str, Path] = {}
    while more := {
        name: path
        for name, (path, bases) in classes.items()
        if name not in found and {"FlowSpec", *found} & set(bases)
    }:
        found |= more
    return found


def known() -> list[str]:
    """The project's flows. Without a project: all flows whose runs Metaflow knows."""
    if found := declared():
        return list(found)
    from metaflow import Metaflow

    with asking():
        return sorted(flow.id for flow in Metaflow())


def default() -> str:
    """The flow to use if the user names none.

    It is the only flow, or the only one with runs.

    Raises:
        MfxError: There are several such flows, or none.
    """
    flows = known()
    if len(flows) == 1:
        return flows[0]
    ran = [flow for flow in flows if _newest(flow)]
    if len(ran) == 1:
        return ran[0]
    if not ran:
        raise MfxError(
            f"no run of {' or '.join(flows) or 'any flow'} yet",
            "Run a pipeline first, or go to the folder of the project that has runs.",
        )
    shown = ", ".join(sorted(f"{pipeline_of(flow) or '?'} (flow {flow})" for flow in ran))
    raise MfxError(
        f"several pipelines have runs here: {shown}",
        'Name one: --pipeline NAME or --flow FLOW; in Python flow="FLOW".',
    )


def flow_of_pipeline(pipeline: str) -> str:
    """The flow of a pipeline.

    Args:
        pipeline: The name under `[pipeline]` in the flow's latest run. Or the flow's name, or the
            name of its file without `.py`, for a flow without runs.

    Raises:
        MfxError: There is no such pipeline.
    """
    files = declared()
    names = {flow: pipeline_of(flow) for flow in known()}
    for flow, name in names.items():
        if name == pipeline:
            return flow
    for flow in names:
        if pipeline in (flow, files[flow].stem if flow in files else ""):
            return flow
    shown = [name or flow for flow, name in names.items()]
    raise MfxError(
        f"there is no pipeline '{pipeline}' here{nearest(pipeline, shown)}",
        f"There are {', '.join(sorted(shown)) or 'none'}.",
    )


def flow_of_run(run: str) -> str:
    """The flow to which a run belongs.

    Args:
        run: The run's whole id. If there is only one flow, it is not checked.

    Raises:
        MfxError: There are several flows and none has this run; or there is no flow.
    """
    from metaflow import Run

    flows = known()
    for flow in flows if len(flows) > 1 else ():
        try:
            with asking():
                Run(f"{flow}/{run}", _namespace_check=False)
            return flow
        except absent(ValueError):
            continue
    if len(flows) == 1:
        return flows[0]
    raise MfxError(
        f"no run {run} of {' or '.join(flows) or 'any flow'}",
        "`mfx ls --all` lists all runs.",
    )


def pipeline_of(flow: str) -> str:
    """The pipeline's name in a flow's newest runs; empty if none of them has it."""
    for run in _newest(flow, _LOOKED_AT):
        try:
            with asking():
                artifact = run["start"].task["settings"]
            return read(artifact, run.pathspec, "start").pipeline.name
        except absent(KeyError, TypeError, UnreadableError):  # It stopped before, or is old.
            continue
    return ""


def _newest(flow: str, count: int = 1) -> list[Any]:
    from metaflow import Flow

    try:
        with asking():
            return list(itertools.islice(Flow(flow, _namespace_check=False).runs(), count))
    except absent():
        return []


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise MfxError(
            f"{path}, line {error.lineno}: SyntaxError: {error.msg}",
            "Fix it, or name the flow: --flow FLOW.",
        ) from None


def _last_name(base: ast.expr) -> str:
    return str(getattr(base, "attr", "") or getattr(base, "id", ""))
