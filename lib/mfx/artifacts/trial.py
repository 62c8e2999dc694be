"""Trials: Metaflow's `spin` runs one step of an earlier run again, to try out code.

A trial is not recorded as a run. So it changes nothing outside the datastore of trials: no model is
pushed or promoted, and nobody is notified.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mfx.artifacts import _private

TYPE = "spin"
"""Metaflow's name for the metadata and the datastore of trials."""


def is_trial() -> bool:
    """Whether this process runs a step by `spin`. False outside of Metaflow."""
    from metaflow.system_context import system_context

    return getattr(system_context.metadata, "TYPE", "") == TYPE


def storage() -> Any:
    """Metaflow's storage class for the datastore of trials."""
    from metaflow.plugins import DATASTORES

    (found,) = [storage for storage in DATASTORES if storage.TYPE == TYPE]
    return found


def merge_by_value(flow: Any) -> None:
    """Make `merge_artifacts` give this process's flow the values themselves.

    Metaflow passes them on by their hash, and then looks for them in the datastore of trials, which
    does not have them. Without this, a join step could not be tried out.
    """

    def by_value(by_hash: Callable[..., None]) -> Callable[..., None]:
        def merge(
            self: Any,
            inputs: Any,
            exclude: list[str] | None = None,
            include: list[str] | None = None,
        ) -> None:
            by_hash(self, inputs, exclude=exclude, include=include)
            for given in inputs:
                known = (_private.stored_names(given) & _private.stored_names(self)) - {*vars(self)}
                for name in known:
                    if not name.startswith("_") and not hasattr(type(self), name):
                        setattr(self, name, getattr(given, name))

        return merge

    _private.around_merge(flow, by_value)
