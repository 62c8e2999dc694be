"""Make of declared features what a `preprocessing_fn` is, and say what a network gets from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from mfx.columns.schema_types import has_several
from mfx.config import AnyFeature, Label
from mfx.transform.declared.forms import Form
from mfx.transform.declared.kinds import CROSSED, KINDS
from mfx.transform.declared.labels import label
from mfx.transform.declared.raw import Columns


class Preprocessing:
    """A `preprocessing_fn`, of declared features. It can be pickled, for Beam's workers.

    Args:
        features: The table `[features]`.
        label: The table `[label]`, with a kind.
        columns: Each raw column's type.
    """

    def __init__(
        self, features: Mapping[str, AnyFeature], label: Label, columns: Mapping[str, str]
    ) -> None:
        self._features, self._label, self._columns = dict(features), label, dict(columns)

    def __call__(self, inputs: dict[str, Any]) -> dict[str, tf.Tensor]:
        """Turn raw features into model inputs and the label, each [batch] or [batch, width]."""
        columns = Columns(inputs, self._columns)
        made: dict[str, tf.Tensor] = {}
        for name, options in self._features.items():
            if options.kind != CROSSED:
                made[name] = KINDS[options.kind].make(options, name, columns)
        crossed = {
            name: KINDS[CROSSED].make(options, name, columns, made)
            for name, options in self._features.items()
            if options.kind == CROSSED
        }
        return {**made, **crossed, self._label.name: label(self._label, columns)}


def forms(features: Mapping[str, AnyFeature], graph: tft.TFTransformOutput) -> dict[str, Form]:
    """What a network gets from each declared feature.

    Args:
        features: The table `[features]`.
        graph: The transform graph that was made from them; it has the sizes of vocabularies, and
            its raw schema tells which columns have lists.
    """
    several = {one.name: has_several(one) for one in graph.raw_metadata.schema.feature}
    return {
        name: KINDS[options.kind].form(
            options,
            name,
            any(several.get(column, False) for column in options.columns_of(name)),
            graph.vocabulary_size_by_name,
        )
        for name, options in features.items()
    }
