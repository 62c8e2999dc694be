"""A pipeline proposed for a sample: what is asked, features, split, slices and training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mfx.new import leaks, problem, profile, treatments
from mfx.new.problem import Problem
from mfx.new.profile import Profile
from mfx.new.sample import Sample
from mfx.new.treatments import Context, Treatment

SLICED = (2, 12)
"""How many different values a feature has by which the model is measured."""
SLICES = 2
REPEATS = (1.5, 0.05)
"""A key groups rows if it comes at least so often on average, and has at most this share of rows
in one value."""
DROPPED = "the label is missing in {:,} rows of the sample: they are left out and counted"


@dataclass(frozen=True)
class Proposal:
    """All that the config of a new pipeline says.

    Args:
        sample: What it was proposed for.
        problem: What is asked.
        label: The label's name as a feature.
        treatments: What becomes of each column but the label's.
        key: Columns that keep rows together in a split.
        slices: Columns by whose values the model is measured.
        training: Keys and values under `[train]`.
    """

    sample: Sample
    problem: Problem
    label: str
    treatments: list[Treatment]
    key: list[str]
    slices: list[str]
    training: dict[str, Any]

    @property
    def features(self) -> dict[str, Any]:
        """All features, by name."""
        return {name: one for t in self.treatments for name, one in t.features.items()}


def propose(sample: Sample, label: str | None) -> Proposal:
    """Propose a pipeline.

    Args:
        sample: The rows.
        label: The label's column, if the user names it.

    Raises:
        MfxError: There is no such column, or nothing can be learned from it.
    """
    profiles = [
        profile.look(field.name, sample.table[field.name], sample.kinds[field.name])
        for field in sample.table.schema
    ]
    column, chosen = problem.label_of(profiles, label)
    (of_label,) = [one for one in profiles if one.name == column]
    asked = problem.problem_of(of_label, sample.table[column], chosen)
    others = [one for one in profiles if one.name != column]
    name = treatments.feature_name(column, [])
    context = Context(len(others), sample.about, [name])
    key = _key(others, sample)
    made = [_treated(one, context, sample, asked, key) for one in others]
    return Proposal(
        sample, asked, name, made, key, _slices(others, made), _training(sample.about, len(made))
    )


def _treated(
    one: Profile, context: Context, sample: Sample, asked: Problem, key: Sequence[str]
) -> Treatment:
    if one.name in key:
        return Treatment(one.name, "a key that several rows share: it keeps them in one split")
    made = treatments.treat(one, context)
    if not made.features:
        return made
    label = sample.table[asked.column]
    why = leaks.suspicion(one, sample.table[one.name], asked, label)
    if not why:
        return made
    return replace(made, warning=f"may be the label by another name: {why}")


def _key(profiles: Sequence[Profile], sample: Sample) -> list[str]:
    """A column that looks like the key of what several rows are about."""
    for one in profiles:
        if one.named_key and (one.text or one.whole) and one.distinct > 1 and one.present:
            often = one.present / one.distinct
            if often >= REPEATS[0] and one.top <= REPEATS[1] and not one.missing:
                return [one.name]
    return []


def _slices(profiles: Sequence[Profile], made: Sequence[Treatment]) -> list[str]:
    used = {one.column for one in made if one.features}
    low, high = SLICED
    fit = [
        one
        for one in profiles
        if one.name in used
        and low <= one.distinct <= high
        and (one.text or one.kind == "int64")
        and one.top < 0.95
    ]
    return [one.name for one in fit[:SLICES]]


def _training(rows: int, columns: int) -> dict[str, Any]:
    """Steps, batch size and the network's size, by the number of rows."""
    batch, passes = next(
        (size, times) for most, size, times in _SIZES if most is None or rows < most
    )
    steps = round(passes * 0.8 * rows / batch, -2)
    hyperparameters: dict[str, Any] = {}
    if rows < 2000:
        hyperparameters = {"units": 32, "blocks": 1, "dropout": 0.3, "learning_rate": 0.003}
    elif rows >= 50_000:
        hyperparameters = {"units": 128, "dropout": 0.1}
    return {
        "steps": int(min(max(steps, 400), 6000)),
        "batch_size": batch,
        "hyperparameters": hyperparameters,
    }


_SIZES = ((2000, 32, 12), (20_000, 64, 12), (200_000, 256, 8), (None, 512, 4))
"""Fewer rows than this: the batch size, and passes over the train split."""
