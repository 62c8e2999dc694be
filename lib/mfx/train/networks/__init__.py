"""The network that is trained: the user's own `build_model`, or the default network.

The default network is for tables, texts and images of ordinary size. `inputs` says what it takes,
`encoders` turn that into numbers, `heads` are its answers for each kind of label.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import tensorflow_transform as tft

from mfx.artifacts import Examples, TransformGraph
from mfx.train.networks import default
from mfx.train.networks.facts import facts_of
from mfx.train.networks.inputs import inputs_of
from mfx.train.networks.options import checked
from mfx.user_code import loading

if TYPE_CHECKING:
    from mfx.train.spec import Reads


def build(
    settings: Reads,
    module: ModuleType,
    hyperparameters: Mapping[str, Any],
    graph: TransformGraph,
    output: tft.TFTransformOutput,
    transformed: Examples,
) -> Any:
    """Build and compile the network: by the module's `build_model`, or the default one.

    Args:
        settings: The config's tables `[train]`, `[pipeline]`, `[label]` and `[features]`.
        module: The result of `loading.load`.
        hyperparameters: The arguments of `build_model`, or the default network's options.
        graph: The transform graph.
        output: The same graph, on disk.
        transformed: The transformed examples. The default network begins with what the labels of
            the train split are on average.

    Returns:
        A compiled `keras.Model`.

    Raises:
        MfxError: `build_model` fails, or does not return a compiled model; a hyperparameter is
            unknown or does not fit; or the default network cannot take a feature.
    """
    if hasattr(module, "build_model"):
        return loading.build_model(settings, module, hyperparameters, graph.features)
    options = checked(hyperparameters)
    taken = inputs_of(settings, output, options.sizes)
    return default.build(taken, facts_of(settings.label, output, transformed), options)
