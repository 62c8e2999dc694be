"""The private part of tfx-bsl that `transform` uses: how Arrow columns become tensors."""

from __future__ import annotations

from tfx_bsl.tfxio.tensor_representation_util import InferTensorRepresentationsFromMixedSchema

CHECKED = {"tfx-bsl": ("1.16.1", "1.21.0")}

__all__ = ["CHECKED", "InferTensorRepresentationsFromMixedSchema"]
