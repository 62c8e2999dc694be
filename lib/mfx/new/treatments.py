"""What each column becomes: features as `[features]` declares them, or nothing; with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mfx.columns.types import is_list, value_kind
from mfx.new.profile import Profile

UNIQUE = 0.95
"""A column with this share of different values tells rows apart, and nothing else."""
SPELLED = 3.0
"""A text of more words than this is free text."""
FEW = 12
"""Up to so many different whole numbers are categories."""
LONG_TAIL = 20.0
"""A number whose largest value is this many times its median is taken on a log scale."""
FLAGGED = 0.02
"""From this share of missing values on, the model is told which were missing."""
RANGES = 60
"""With more columns than this, numbers are not divided into ranges as well."""
ROWS_OF_RANGES = 1000
"""Fewer rows than this do not fill ranges."""


@dataclass(frozen=True)
class Treatment:
    """What becomes of a column.

    Args:
        column: Its title.
        why: What was seen, in a few words.
        features: Name and declaration of each feature; none if the column is left out.
        warning: What the user must look at.
    """

    column: str
    why: str
    features: dict[str, Any] = field(default_factory=dict)
    warning: str = ""


@dataclass(frozen=True)
class Context:
    """What treatments also depend on.

    Args:
        columns: How many columns there are.
        about: About how many rows the data set has.
        taken: Names that features cannot have.
    """

    columns: int
    about: int
    taken: Sequence[str]


Rule = Callable[[Profile, Context], "Treatment | None"]


def treat(profile: Profile, context: Context) -> Treatment:
    """The treatment by the first rule that fits."""
    for rule in _RULES:
        if found := rule(profile, context):
            return found
    return Treatment(profile.name, f"{profile.kind}: no kind of feature takes it")


def feature_name(column: str, taken: Sequence[str]) -> str:
    """A name for the feature of a column: of letters, digits and `_`, none that is taken."""
    name = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_") or "column"
    while name in taken:
        name += "_"
    return name


def _feature(
    profile: Profile, context: Context, kind: str, ending: str = "", **options: Any
) -> dict[str, Any]:
    name = feature_name(profile.name, context.taken) + ending
    if name != profile.name:
        options = {"column": profile.name, **options}
    return {name: {"kind": kind, **options} if options else kind}


def _nothing(profile: Profile, _: Context) -> Treatment | None:
    if profile.kind is None:
        return Treatment(profile.name, "no values")
    if profile.distinct == 1 and not is_list(profile.kind):
        return Treatment(profile.name, "the same value in all rows")
    return None


def _image(profile: Profile, context: Context) -> Treatment | None:
    if not profile.images:
        return None
    return Treatment(profile.name, "images", _feature(profile, context, "image"))


def _list(profile: Profile, context: Context) -> Treatment | None:
    if not is_list(profile.kind or ""):
        return None
    if value_kind(profile.kind or "") == "float32":
        return Treatment(profile.name, "lists of fractions: no kind of feature takes them")
    options = _feature(profile, context, "vocabulary", top_k=_top(profile))
    return Treatment(profile.name, "lists of categories", options)


def _date(profile: Profile, context: Context) -> Treatment | None:
    if not profile.dates:
        return None
    parts = [*(["hour"] if profile.clock else []), "weekday", "yearday", "trend"]
    unit = {"unit": profile.unit} if profile.unit not in ("", "us") else {}
    made = _feature(profile, context, "date", parts=parts, **unit)
    return Treatment(profile.name, "dates or times", made)


def _key(profile: Profile, _: Context) -> Treatment | None:
    unique = profile.distinct / max(profile.present, 1)
    counted = profile.numeric and profile.whole and unique >= UNIQUE
    if counted and (profile.named_key or profile.ascending):
        return Treatment(profile.name, "a number of each row, such as a key")
    if profile.text and unique >= UNIQUE and profile.words <= SPELLED and profile.present > FEW:
        return Treatment(profile.name, "nearly every row has another text, such as a key")
    return None


def _tokens(profile: Profile, context: Context) -> Treatment | None:
    varied = profile.distinct > (1000 if profile.words <= 2 * SPELLED else FEW)
    if not (profile.text and profile.words > SPELLED and varied):
        return None
    options = _feature(profile, context, "tokens", ngrams=2, min_count=2)
    return Treatment(profile.name, f"free text, {profile.words:.0f} words on average", options)


def _category(profile: Profile, context: Context) -> Treatment | None:
    if not profile.text:
        return None
    why = f"{profile.distinct:,} different texts"
    if profile.distinct > 20_000:
        return Treatment(profile.name, why, _feature(profile, context, "hash", buckets=5000))
    rare: dict[str, Any] = {"min_count": 5} if profile.distinct > profile.present / 50 else {}
    options = _feature(profile, context, "vocabulary", top_k=_top(profile), **rare)
    return Treatment(profile.name, why, options)


def _code(profile: Profile, context: Context) -> Treatment | None:
    """Few whole numbers: categories, but 0 and 1 are as good as numbers."""
    few = profile.kind == "int64" and 2 < profile.distinct <= FEW
    if not few or profile.distinct > profile.present / 10:
        return None
    why = f"{profile.distinct} different whole numbers"
    options = _feature(profile, context, "vocabulary", top_k=_top(profile))
    numbers = _feature(profile, context, "zscore", ending="_number", column=profile.name)
    return Treatment(profile.name, why, options | numbers)


def _number(profile: Profile, context: Context) -> Treatment | None:
    if not profile.numeric:
        return None
    tailed = profile.low >= 0 and profile.high > LONG_TAIL * max(profile.middle, 1e-9)
    kind = "log" if tailed and profile.distinct > 2 else "zscore"
    flag = {"missing": "flag"} if profile.missing_share >= FLAGGED else {}
    made = _feature(profile, context, kind, **flag)
    wide = profile.distinct > 20 and context.about >= ROWS_OF_RANGES and context.columns <= RANGES
    if wide:
        made |= _feature(profile, context, "buckets", "_range", column=profile.name, count=20)
    span = f"numbers from {profile.low:g} to {profile.high:g}"
    return Treatment(profile.name, f"{span}, a long tail" if kind == "log" else span, made)


_RULES: tuple[Rule, ...] = (
    *(_nothing, _image, _list, _date, _key, _tokens, _category, _code, _number),
)
"""In this order: the first that gives a treatment counts."""


def _top(profile: Profile) -> int:
    """How many categories of their own: all, with some to spare, but no more than are useful."""
    return min(2000, max(10, round(1.5 * profile.distinct)))
