"""Statistics of several spans: each span's are kept by themselves, and put together for a window.

Whether a span's part was kept by an earlier run or is made in this one, it is written to a file and
read from there. So the result is the same with and without earlier runs.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfx.artifacts import Examples
from mfx.artifacts.span_cache import SpanCache
from mfx.validate.tfdv_local import Partial

PROTOCOL = 5


def describe(examples: Examples, schema: Any, cache: SpanCache) -> dict[str, tuple[Any, list[str]]]:
    """TFDV's statistics of each split, as `tfdv_local.describe` gives them.

    Args:
        examples: Rows of several spans.
        schema: See `tfdv_local.describe`.
        cache: Gets each span's part, and has those of earlier runs.
    """
    parts = {f"{n:03d}": part for n, part in enumerate(examples.by_span())}
    splits = [*examples.rows]

    def make(missing: Mapping[str, Examples], root: Path) -> None:
        for name, part in missing.items():
            (root / name).mkdir(parents=True)
            for split in splits:
                found = Partial(schema)
                for batch in part.batches(split):
                    found.add(batch)
                _file(root / name, split).write_bytes(pickle.dumps(found.state(), PROTOCOL))

    def check(folder: Path) -> None:
        for split in splits:
            pickle.loads(_file(folder, split).read_bytes())

    text = schema.SerializeToString(deterministic=True).hex() if schema else ""
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        cache.fill(parts, ["statistics", splits, text], make, check, Path(directory))
        made = {}
        for split in splits:
            states = [pickle.loads(_file(Path(directory, n), split).read_bytes()) for n in parts]
            whole = Partial(schema)
            whole.take(states)
            made[split] = whole.result()
    return made


def _file(folder: Path, split: str) -> Path:
    return folder / f"{split}.pickle"
