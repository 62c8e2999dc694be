"""The private parts of TFT and TensorFlow that `transform` uses.

They say which data an analysis still needs, and count the names of functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

CHECKED = {
    "tensorflow-transform": ("1.16.0", "1.21.0"),
    "tensorflow": ("2.16.2", "2.21.0"),
}
STEP = 2**20
"""More numbers than a process takes for all that it does before it puts an analysis together."""


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
