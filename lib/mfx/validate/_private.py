"""The private parts of TFDV that `validate` uses: its combiners, which run here without Beam."""

from __future__ import annotations

from tensorflow_data_validation.constants import LARGE_BYTES_PLACEHOLDER
from tensorflow_data_validation.statistics.stats_impl import (
    extract_statistics_output,
    get_generators,
)
from tensorflow_data_validation.utils.top_k_uniques_stats_util import (
    FeatureValueCount,
    make_feature_stats_proto_topk_uniques,
)

CHECKED = {"tensorflow-data-validation": ("1.16.1", "1.21.0")}

__all__ = [
    "CHECKED",
    "LARGE_BYTES_PLACEHOLDER",
    "FeatureValueCount",
    "extract_statistics_output",
    "get_generators",
    "make_feature_stats_proto_topk_uniques",
]
