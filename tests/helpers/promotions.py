"""Promotions of files that are no model."""

from __future__ import annotations

from pathlib import Path

from mfx.registry import actions
from mfx.registry.promotion import Request, apply, begin


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


def rollback(taxi, view=None):
    view = view or begin(taxi)
    target = actions.candidates(view)[0]
    request = Request(
        "rollback", "Pipeline", target.run, {}, restores=target.number, digest=target.digest
    )

    def write(folder: Path) -> None:
        actions._bring_back(taxi, view, target, folder)

    return apply(taxi, view, request, write)
