"""Which rules a committed schema may have. Rules with no effect are found when it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from mfx.columns.schema_types import has_several
from mfx.errors import nearest

TRAINING, SERVING = "TRAINING", "SERVING"
"""The schema's environments. Label columns are not in SERVING."""

COMPARATORS = ("skew_comparator", "drift_comparator")
_COUNTING = ("infinity_norm", "normalized_abs_difference")
"""Distances that compare how often each value occurs. TFDV counts values of categories only; for
all other features these distances are always 0."""
_NOT_OURS = {
    "sparse_feature": (
        "index and value columns are not joined",
        "list its columns as features, and join them in preprocessing_fn",
    ),
    "weighted_feature": ("nothing uses the weight", "use example_weight under [evaluate]"),
}
_TENSORS = ("dense_tensor", "varlen_sparse_tensor", "ragged_tensor")
"""How a `tensor_representation_group` may say that `preprocessing_fn` gets a column."""
_NOT_CARRIED_OUT = {
    "drift_comparator": "a run compares its splits, not spans of data",
    "group_presence": "TFDV does not check it",
    "image_domain": "TFDV measures only how large images are, not whether they can be read",
    "mid_domain": "TFDV does not check the texts' form",
    "natural_language_domain": "there is no way to give the vocabulary that it needs",
    "time_domain": "TFDV does not check the values' form",
    "time_of_day_domain": "TFDV does not check the values' form",
    "url_domain": "TFDV does not check the texts' form",
}
_UNCHECKED_STAGES = ("PLANNED", "ALPHA", "DEPRECATED", "DEBUG_ONLY", "DISABLED")
_NO_SPANS = ("num_examples_drift_comparator", "num_examples_version_comparator")


def problems(schema: Any) -> list[str]:
    """Rules of the schema that can have no effect.

    Args:
        schema: A `schema_pb2.Schema`.

    Returns:
        One line per rule, with what would work instead.
    """
    found = [line for check in _OF_SCHEMA for line in check(schema)]
    for feature in filter(is_checked, schema.feature):
        found += [
            f"feature '{feature.name}': {line}" for check in _OF_FEATURE for line in check(feature)
        ]
    return found


def not_carried_out(schema: Any) -> dict[str, str]:
    """Rules that a run does not check, with the reason, by feature.

    Rules for the whole data set come under '<dataset>'.
    """
    found = {
        feature.name: "; ".join(
            f"{field} is not checked: {why}"
            for field, why in _NOT_CARRIED_OUT.items()
            if feature.HasField(field)
        )
        for feature in filter(is_checked, schema.feature)
    }
    fields = [name for name in _NO_SPANS if schema.dataset_constraints.HasField(name)]
    found["<dataset>"] = "; ".join(
        f"{name} is not checked: {_NOT_CARRIED_OUT['drift_comparator']}" for name in fields
    )
    return {name: text for name, text in found.items() if text}


def is_checked(feature: Any) -> bool:
    """Whether TFDV checks the feature: not if it is deprecated or its `lifecycle_stage` says no."""
    stages = feature.DESCRIPTOR.fields_by_name["lifecycle_stage"].enum_type.values_by_number
    return not feature.deprecated and stages[feature.lifecycle_stage].name not in _UNCHECKED_STAGES


def is_category(feature: Any) -> bool:
    """Whether TFDV counts the feature's values: texts, and integers marked as categories."""
    domain = feature.WhichOneof("domain_info")
    return {
        "BYTES": domain != "image_domain",
        "INT": domain in ("bool_domain", "natural_language_domain")
        or (domain == "int_domain" and feature.int_domain.is_categorical),
    }.get(_type(feature), False)


def for_tfdv(schema: Any) -> Any:
    """A copy of the schema for TFDV, for statistics and validation, so that all rules are checked.

    TFDV's statistics take integers with a `bool_domain` for categories, and its validation then
    checks none of their values. So the copy says that they are integers from 0 to 1. They are
    categories only where a comparator needs the values counted.
    """
    copy = type(schema)()
    copy.CopyFrom(schema)
    for feature in copy.feature:
        if _type(feature) == "INT" and feature.HasField("bool_domain"):
            counted = any(norm in _COUNTING for _, norm in _norms(feature))
            feature.int_domain.min, feature.int_domain.max = 0, 1
            feature.int_domain.is_categorical = counted
    return copy


def environment(schema: Any) -> str | None:
    """The environment that examples are checked in; None if the schema has no environments."""
    return TRAINING if schema.default_environment else None


def _type(feature: Any) -> str:
    """`INT`, `FLOAT`, `BYTES`, …"""
    return feature.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[feature.type].name


def _norms(feature: Any) -> Iterator[tuple[str, str]]:
    """Each comparator that the feature has, with each of its distances."""
    for name in COMPARATORS:
        if feature.HasField(name):
            for norm, _ in getattr(feature, name).ListFields():
                yield name, norm.name


def _comparators_act(feature: Any) -> Iterator[str]:
    for name in COMPARATORS:
        if feature.HasField(name) and not getattr(feature, name).ListFields():
            yield f"{name} has no distance; {_what_works(feature)}"
    for name, norm in _norms(feature):
        acts = is_category(feature) if norm in _COUNTING else not feature.HasField("image_domain")
        if not acts:
            yield (
                f"{name} {norm} has no effect on {_type(feature)}, whose values are not counted; "
                f"{_what_works(feature)}"
            )


def _what_works(feature: Any) -> str:
    if is_category(feature):
        return "infinity_norm or jensen_shannon_divergence would work"
    if feature.HasField("image_domain"):
        return "no distance works for images: remove it"
    kind, shown = _type(feature), "jensen_shannon_divergence would work"
    mark = ", or infinity_norm with int_domain { is_categorical: true }"
    return shown + mark if kind == "INT" else shown


def _domain_fits(feature: Any) -> Iterator[str]:
    domain, kind = feature.WhichOneof("domain_info"), _type(feature)
    wrong = {
        "INT": ("domain", "string_domain", "float_domain", "image_domain", "url_domain"),
        "FLOAT": ("domain", "string_domain", "int_domain", "image_domain", "url_domain"),
    }
    if domain in wrong.get(kind, ()):
        right = {"INT": "int_domain", "FLOAT": "float_domain"}[kind]
        yield f"{domain} does not go with {kind}; {right} would work"
    if domain == "float_domain" and feature.float_domain.is_categorical:
        yield "floats cannot be categories; type INT or BYTES would work"
    if domain == "bool_domain" and kind == "INT" and feature.bool_domain.ListFields():
        yield "true_value and false_value are for texts; bool_domain {} is 0 and 1"
    if feature.HasField("distribution_constraints") and domain not in ("domain", "string_domain"):
        yield "min_domain_mass works only with string_domain or domain; remove it"
    if feature.HasField("unique_constraints") and not is_category(feature):
        mark = "int_domain { is_categorical: true } has them counted"
        how = mark if kind == "INT" else "remove it"
        yield f"unique_constraints has no effect on {kind}, whose values are not counted; {how}"


def _derived(feature: Any) -> Iterator[str]:
    if feature.HasField("validation_derived_source"):
        yield "validation_derived_source is not computed; add the column to the data"


def _named_once(schema: Any) -> Iterator[str]:
    for name, times in Counter(feature.name for feature in schema.feature).items():
        if times > 1:
            yield f"feature '{name}': listed {times} times; keep one of them"


def _domains_exist(schema: Any) -> Iterator[str]:
    known = [domain.name for domain in schema.string_domain]
    for feature in schema.feature:
        if _type(feature) == "BYTES" and feature.HasField("domain") and feature.domain not in known:
            also = nearest(feature.domain, known)
            yield f"feature '{feature.name}': no string_domain '{feature.domain}'{also}"


def _environments_exist(schema: Any) -> Iterator[str]:
    given = list(schema.default_environment)
    if given and TRAINING not in given:
        yield f"default_environment: no '{TRAINING}', in which examples are checked; add it"
    known = {*given, TRAINING, SERVING}
    for feature in schema.feature:
        for name in (*feature.in_environment, *feature.not_in_environment):
            if name not in known:
                yield f"feature '{feature.name}': no environment '{name}'{nearest(name, known)}"


def _is_ours(schema: Any) -> Iterator[str]:
    for field, _ in schema.ListFields():
        if field.name in _NOT_OURS:
            why, cure = _NOT_OURS[field.name]
            yield f"{field.name} has no effect: {why}; {cure}"


def _representations_are_ours(schema: Any) -> Iterator[str]:
    for group, found in sorted(schema.tensor_representation_group.items()):
        if group:
            yield f"tensor_representation_group '{group}' has no effect; only the group '' has"
            continue
        for name, representation in sorted(found.tensor_representation.items()):
            kind = representation.WhichOneof("kind")
            made = getattr(representation, kind) if kind else None
            path = getattr(made, "feature_path", None)
            column = path.step[0] if path and path.step else getattr(made, "column_name", "")
            if kind not in _TENSORS or column != name or getattr(made, "partition", ()):
                yield (
                    f"tensor_representation '{name}' has no effect: expected {', '.join(_TENSORS)} "
                    "of the column of the same name; make others of columns in preprocessing_fn"
                )


def _shape_is_always_there(feature: Any) -> Iterator[str]:
    if feature.HasField("shape") and has_several(feature) and feature.presence.min_fraction != 1:
        yield (
            "lists with a shape are dense tensors, so each row needs one: add "
            "presence { min_fraction: 1 }, or give value_count in place of shape"
        )


_OF_SCHEMA: tuple[Callable[[Any], Iterator[str]], ...] = (
    _is_ours,
    _representations_are_ours,
    _named_once,
    _domains_exist,
    _environments_exist,
)
_OF_FEATURE: tuple[Callable[[Any], Iterator[str]], ...] = (
    _comparators_act,
    _domain_fits,
    _derived,
    _shape_is_always_there,
)
