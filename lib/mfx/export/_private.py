"""The private parts of TFT and Keras that `export` and `transform` use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

CHECKED = {"tensorflow-transform": ("1.16.0", "1.21.0"), "keras": ("3.12.4", "3.15.1")}
STEP = 2**20
"""More numbers than a process takes for all that it does before it puts an analysis together."""


def transform_loader(directory: str) -> tuple[Any, Any]:
    """Load TFT's SavedModel from a folder.

    TFT's own layer is not used: it is a Keras 2 model, which is traced again, with AutoGraph, when
    it is saved.

    Returns:
        A function from raw to transformed features (both dicts by name); and the object that
        TensorFlow must track, which owns the vocabulary tables.
    """
    from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader

    loader = SavedModelLoader(directory)
    return loader.apply_transform_model, loader._imported


def write_metadata(metadata: Any, directory: str) -> None:
    """Write a `tft.DatasetMetadata` in the form that TFT's transform output has."""
    from tensorflow_transform.tf_metadata import metadata_io

    metadata_io.write_metadata(metadata, directory)


def last_operation(model: Any) -> Any:
    """The layer or operation that computes a network's first output."""
    return model.outputs[0]._keras_history.operation


def datasets_needed(
    preprocessing_fn: Any, specs: Mapping[str, Any], keys: Iterable[Any], cache: Mapping[Any, Any]
) -> set[Any]:
    """The data sets that TFT must read, as the cache does not have all of them.

    Args:
        preprocessing_fn: The user's function.
        specs: The type of each raw tensor.
        keys: All data sets.
        cache: What there is of them.
    """
    from tensorflow_transform.beam import analysis_graph_builder

    return set(
        analysis_graph_builder.get_analysis_dataset_keys(
            preprocessing_fn, specs, set(keys), cache, force_tf_compat_v1=False
        )
    )


def count_on() -> int:
    """Let TensorFlow go on with names of functions at the next multiple of `STEP`, and return it.

    It numbers them by one counter of the process. So the names in a graph would tell how many
    functions were made before, such as for spans that an earlier run did not keep. It takes 0.1 s.
    """
    from tensorflow.python.framework import ops

    count = ops.uid()
    while count % STEP:
        count = ops.uid()
    return count


def counted_from(content: bytes, begin: int) -> bytes:
    """A SavedModel whose functions have the numbers from `STEP` on, in their order.

    Workers may take numbers meanwhile, so there are gaps that differ between runs.

    Args:
        content: The serialized message. Numbers have as many digits afterwards as before, so it
            stays valid.
        begin: What `count_on` returned.
    """
    width = len(str(begin))
    pattern = re.compile(
        rb"(?<=[_\x%02x])%s[0-9]{%d}" % (width, str(begin)[:1].encode(), width - 1)
    )
    found = sorted({int(n) for n in pattern.findall(content) if begin <= int(n) < begin + STEP})
    ranks = {number: b"%0*d" % (width, STEP + rank) for rank, number in enumerate(found)}
    return pattern.sub(lambda n: ranks.get(int(n[0]), n[0]), content)
