"""Promotions of files that are no model."""

from __future__ import annotations

import sys
from pathlib import Path

from mfx.destinations import open_destination
from mfx.registry import actions
from mfx.registry.promotion import ConflictError, Request, apply, begin


def files(run: str, size: int = 1000):
    """Writes the model of a run: bytes that tell it from others'."""

    def write(folder: Path) -> None:
        (folder / "variables").mkdir()
        (folder / "saved_model.pb").write_text(f"graph of {run}")
        (folder / "variables" / "variables.index").write_text(run)
        (folder / "variables" / "variables.data").write_bytes(run.encode() * size)

    return write


def promote(taxi, run: str, view=None, **more):
    request = Request("promote", "Pipeline", run, {"run": run, "flow": "Pipeline"}, **more)
    return apply(taxi, view or begin(taxi), request, files(run))


def promote_with(place: str, run: str, together) -> None:
    """Promote in a process of its own, at the same moment as others with the same view.

    Exits with 3 if another came first, as `mfx promote` does.
    """
    taxi = open_destination(place, "taxi")
    view = begin(taxi)
    together.wait(timeout=100)
    try:
        promote(taxi, run, view=view)
    except ConflictError:
        sys.exit(3)


def rollback(taxi, view=None):
    view = view or begin(taxi)
    target = actions.candidates(view)[0]
    request = Request(
        "rollback", "Pipeline", target.run, {}, restores=target.number, digest=target.digest
    )

    def write(folder: Path) -> None:
        actions._bring_back(taxi, view, target, folder)

    return apply(taxi, view, request, write)
