"""What the default network takes: the declared features, or those of `preprocessing_fn`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf
import tensorflow_transform as tft

from mfx.errors import MfxError
from mfx.transform.declared import preprocessing
from mfx.transform.declared.forms import Categories, Form, Numbers

if TYPE_CHECKING:
    from mfx.train.spec import Reads


def inputs_of(
    settings: Reads, output: tft.TFTransformOutput, sizes: Mapping[str, int]
) -> dict[str, Form]:
    """What the default network takes, by the features' names.

    Args:
        settings: The config's tables `[label]` and `[features]`.
        output: The transform graph.
        sizes: How many categories features have of which the graph does not say it.

    Raises:
        MfxError: It cannot be known what a feature of `preprocessing_fn` is.
    """
    if settings.features:
        return preprocessing.forms(settings.features, output)
    specs = output.transformed_feature_spec()
    known = {**_domains(output), **sizes}
    return {
        name: _form(name, spec, known)
        for name, spec in sorted(specs.items())
        if name != settings.label.name
    }


def _domains(output: tft.TFTransformOutput) -> dict[str, int]:
    """How many categories features have, where TFT knows it: of vocabularies and buckets."""
    return {
        feature.name: feature.int_domain.max + 1
        for feature in output.transformed_metadata.schema.feature
        if feature.HasField("int_domain") and feature.int_domain.min >= 0
    }


def _form(name: str, spec: Any, sizes: Mapping[str, int]) -> Form:
    width = spec.shape[0] if spec.shape else None
    if spec.dtype == tf.float32:
        return Numbers(width)
    if spec.dtype == tf.int64 and name in sizes and width is None:
        return Categories(sizes[name])
    what = "text" if spec.dtype == tf.string else "int64, and how many categories it has is unknown"
    raise MfxError(
        f"the default network cannot take the feature '{name}': it is {what}",
        f"Say how many: sizes = {{ {name} = … }} under [train.hyperparameters]; or let "
        "preprocessing_fn return float32, or the numbers of a vocabulary.",
    )
