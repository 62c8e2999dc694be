"""Read tf.Examples from TF Serving's JSON, for `:classify` and `:regress`; see `json_text`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mfx.serve.errors import RequestError
from mfx.serve.http.json_text import MOST_FLOAT, decoded, invalid, is_object, shown, type_name


def read_examples(document: Mapping[str, Any], method: str) -> list[bytes]:
    """The serialized tf.Examples of a `:classify` or `:regress` request.

    Raises:
        RequestError: INVALID_ARGUMENT, there are no examples, or one is not valid.
    """
    context = b""
    if "context" in document:
        context = _example(document["context"])
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {shown(document)} When method is {method}, key 'examples' is expected "
            "and was not found"
        )
    examples = document["examples"]
    if type(examples) is not list:
        raise invalid(
            f"JSON Value: {shown(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise invalid(f"JSON Value: {shown(document)} 'examples' value is an empty array")
    # Two serialized messages, one after the other, are parsed as one merged message. A feature in
    # the second one replaces that in the first one.
    found = []
    for at, example in enumerate(examples):
        try:
            found.append(context + _example(example))
        except RequestError as error:
            raise invalid(f"{error.message} (in example {at})") from None
    return found


def _example(given: Any) -> bytes:
    if type(given) is not dict:
        raise invalid(f"Example must be JSON object but got JSON {type_name(given)}")
    example = tf.train.Example()
    for name, content in given.items():
        values = content if type(content) is list else [content]
        try:
            _add_feature(example.features.feature[name], name, values)
        except UnicodeEncodeError as error:
            raise invalid(f"Feature: {name}: {error}") from None
    return example.SerializeToString()


def _add_feature(feature: Any, name: str, values: list[Any]) -> None:
    kinds = {_feature_kind(name, value) for value in values}
    if len(kinds) > 1:
        first = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
        raise invalid(
            f"Unexpected element type in feature: {name} "
            f"expecting type: {first[_feature_kind(name, values[0])]}"
        )
    for kind in kinds:
        if kind == "bytes_list":
            try:
                values = [decoded(v) if type(v) is dict else v.encode() for v in values]
            except UnicodeEncodeError:
                raise
            except ValueError as error:
                raise invalid(str(error)) from None
        getattr(feature, kind).value.extend(values)


def _feature_kind(name: str, value: Any) -> str:
    kind = type(value)
    if kind is bool:
        return "int64_list"
    if kind is int:
        if not -(2**63) <= value < 2**63:
            raise invalid(
                f"Feature: {name} has uint64_t element. Only int64_t is supported: {value} is not "
                f"from {-(2**63)} to {2**63 - 1}"
            )
        return "int64_list"
    if kind is float:
        if MOST_FLOAT < abs(value) < math.inf:
            low, high = tf.float32.min, tf.float32.max
            raise invalid(
                f"Feature: {name} has {value}; a float holds numbers from {low:.8g} to {high:.8g}"
            )
        return "float_list"
    if kind is str or (kind is dict and not is_object(value)):
        return "bytes_list"
    raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
