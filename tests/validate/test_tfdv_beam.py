"""TFDV's pipeline reads payloads like files; `test_tfdv_local` compares its numbers."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from mfx.artifacts import store
from mfx.config import Beam
from mfx.validate import tfdv_beam


def test_shards_of_a_payload_are_one_data_set(tmp_path, datastore):
    shards = []
    for number, words in enumerate([[b"a", b"b", None], [b"b"]]):
        folder = tmp_path / str(number)
        folder.mkdir()
        pq.write_table(pa.table({"word": pa.array(words, pa.binary())}), folder / "train.parquet")
        shards.append(store.save(folder))
    (dataset,) = tfdv_beam.describe(shards, Beam()).datasets
    assert dataset.num_examples == 4
    strings = dataset.features[0].string_stats
    assert strings.common_stats.num_missing == 1
    assert [(v.value, v.frequency) for v in strings.top_values] == [("b", 2), ("a", 1)]
