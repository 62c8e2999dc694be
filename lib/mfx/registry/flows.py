"""The project's pipelines, each a flow of its own: which there are, and which one is meant.

A flow keeps its runs, their data, `latest` and its deployments apart from other flows'.
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
"""Runs of a flow that are asked for the pipeline's name, newest first: some stop before they have
one."""


def declared() -> dict[str, Path]:
    """The project's flows and their files: classes in `flows/*.py` that come of `FlowSpec`.

    Found by reading, nothing is run.

    Raises:
        MfxError: One of the files is not Python.
    """
    package = environment.code_package()  # holds what is in the flow's folder, without the folder
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
    """The project's flows; where there is no project, those whose runs Metaflow knows."""
    if found := declared():
        return list(found)
    from metaflow import Metaflow

    with asking():
        return sorted(flow.id for flow in Metaflow())


def default() -> str:
    """The flow that is meant where nobody names one.

    Raises:
        MfxError: There are several, or none.
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
            "Run a pipeline first, or go to the project whose runs are meant.",
        )
    shown = ", ".join(sorted(f"{pipeline_of(flow) or '?'} (flow {flow})" for flow in ran))
    raise MfxError(
        f"several pipelines have runs here: {shown}",
        'Say which: --pipeline NAME, or --flow FLOW; in Python flow="FLOW".',
    )


def flow_of_pipeline(pipeline: str) -> str:
    """The flow that makes a pipeline.

    Args:
        pipeline: The name under `[pipeline]` that its latest run had; or its file's, without
            `.py`, as of a flow that has no runs yet.

    Raises:
        MfxError: There is none.
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
    """The flow that a run is of, by the run's whole id; the only flow, whether it has it or not.

    Raises:
        MfxError: None of several flows has it.
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
        "`mfx ls --all` lists the runs there are.",
    )


def pipeline_of(flow: str) -> str:
    """The name of the pipeline that a flow last ran; empty if no run tells it."""
    for run in _newest(flow, _LOOKED_AT):
        try:
            with asking():
                artifact = run["start"].task["settings"]
            return read(artifact, run.pathspec, "start").pipeline.name
        except absent(KeyError, TypeError, UnreadableError):  # stopped before, or of old
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
            "Fix it, or name the flow that is meant: --flow FLOW.",
        ) from None


def _last_name(base: ast.expr) -> str:
    return str(getattr(base, "attr", "") or getattr(base, "id", ""))
