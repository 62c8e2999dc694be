"""Find features with values in only one of train and eval. TFDV checks each split alone."""

from __future__ import annotations

from typing import Any

from mfx.artifacts import Anomaly, Examples
from mfx.artifacts.statistics_view import present
from mfx.config import Split
from mfx.validate import chance
from mfx.validate.schema_rules import is_checked


def in_one_split(
    protos: dict[str, Any], schema: Any, examples: Examples, split: Split
) -> list[Anomaly]:
    """An anomaly for each feature with values in one split and none in the other.

    It is a warning if chance explains it (see `chance`), otherwise an error. Features are skipped
    if the committed schema does not check them, or if its `presence { min_fraction: 0 }` says that
    they may be absent.

    Args:
        protos: Each split's DatasetFeatureStatisticsList.
        schema: The committed schema; None when it was inferred.
        examples: All splits; train and eval count.
        split: How the rows were split.
    """
    counts = {
        name: {f.path.step[0]: present(f) for f in proto.datasets[0].features}
        for name, proto in protos.items()
    }
    features = schema.feature if schema else ()
    unchecked = {f.name for f in features if not is_checked(f) or _may_be_absent(f)}
    missing_in = {
        name: "eval" if counts["train"].get(name) else "train"
        for name in examples.columns
        if name not in unchecked
        and bool(counts["train"].get(name)) != bool(counts["eval"].get(name))
    }
    if not missing_in:
        return []
    likely = chance.chance_of_absence(examples, split, missing_in)
    enough = chance.FALSE_ALARMS / 2 / len(examples.columns)
    return [
        _anomaly(name, lacking, counts, likely[name], enough)
        for name, lacking in missing_in.items()
    ]


def _may_be_absent(feature: Any) -> bool:
    presence = feature.presence
    return presence.HasField("min_fraction") and not (presence.min_fraction or presence.min_count)


def _anomaly(
    name: str, lacking: str, counts: dict[str, dict[str, int]], likely: float, enough: float
) -> Anomaly:
    other = "eval" if lacking == "train" else "train"
    found = counts[other][name]
    explained = likely >= enough
    return Anomaly(
        split="train vs eval",
        feature=name,
        rule="FEATURE_IN_ONE_SPLIT",
        severity="WARNING" if explained else "ERROR",
        expected="values in both splits or in neither",
        observed=f"{found:,} values in {other}, none in {lacking}"
        + (f"; by chance this happens with probability {likely:.2g}" if explained else ""),
        count=int(found),
        remedy=("" if explained else "Fix the data or how it is split, or drop the column. ")
        + f"If '{name}' may be absent, give it presence {{ min_fraction: 0 }} in the schema.",
    )
