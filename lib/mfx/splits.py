"""The splits of the rows: their names, their order, and which of them judges a model."""

from __future__ import annotations

from collections.abc import Iterable

TRAIN, EVAL, TEST = "train", "eval", "test"
"""What models are trained on; what chooses between them; and what judges the chosen one."""


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names of splits in the order in which all results have them: train, eval, the others by name.

    The order in which a config writes them does not count, as tables of TOML have none.
    """
    return tuple(sorted(names, key=lambda name: (name != TRAIN, name != EVAL, name)))


def judging(names: Iterable[str]) -> str:
    """The split on which a model is measured and blessed: `test` if there is one, else `eval`."""
    return TEST if TEST in names else EVAL
