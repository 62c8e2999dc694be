"""Write the state and the metadata of models as TF Serving's JSON."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import orjson
from google.protobuf import json_format

from mfx.serve.errors import RequestError
from mfx.serve.model import ServedModel
from mfx.serve.versions import AVAILABLE, ModelVersions

STATES = {10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
"""The names of ModelVersionStatus.State."""
# protobuf 5 renamed this parameter.
_DEFAULTS = next(
    name
    for name in inspect.signature(json_format.MessageToDict).parameters
    if name in ("always_print_fields_with_no_presence", "including_default_value_fields")
)


def status(versions: ModelVersions, version: int | None, label: str) -> bytes:
    """A GetModelStatusResponse for all versions or for one.

    Raises:
        RequestError: NOT_FOUND or INVALID_ARGUMENT, as in `ModelVersions.status`.
    """
    found = versions.status(version, label)
    if not found:
        raise RequestError("NOT_FOUND", f"Could not find any versions of model {versions.name}")
    return _written(
        {
            "model_version_status": [
                {
                    "version": str(one.version),
                    "state": STATES[one.state],
                    "status": {"error_code": one.code, "error_message": one.message},
                }
                for one in found
            ]
        }
    )


def metadata(name: str, model: ServedModel) -> bytes:
    """A GetModelMetadataResponse with the model's signatures."""
    signatures = {
        signature.name: json_format.MessageToDict(
            signature.definition, preserving_proto_field_name=True, **{_DEFAULTS: True}
        )
        for signature in model.signatures.values()
    }
    return _written(
        {
            "model_spec": {"name": name, "signature_name": "", "version": str(model.version)},
            "metadata": {"signature_def": {"signature_def": signatures}},
        }
    )


def ready(models: Mapping[str, ModelVersions]) -> bool:
    """Whether each model has a version that can answer."""
    return all(
        any(one.state == AVAILABLE for one in versions.status()) for versions in models.values()
    )


def _written(answer: dict[str, Any]) -> bytes:
    return orjson.dumps(answer, option=orjson.OPT_INDENT_2)
