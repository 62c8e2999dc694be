"""The committed `schema.pbtxt`: read it, write it, get the column types from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mfx.columns.schema_types import Declared, declared
from mfx.errors import MfxError
from mfx.validate import schema_rules


def read(path: Path) -> Any:
    """The committed schema, or None when there is no file.

    Raises:
        MfxError: The file cannot be read, is not a schema in protobuf text format, or has a rule
            that cannot be checked (see `schema_rules`).
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    if not path.exists():
        return None
    try:
        schema = text_format.Parse(path.read_text(encoding="utf-8"), schema_pb2.Schema())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise MfxError(
            f"{path}: not a schema in protobuf text format: {error}",
            "Fix the line, or delete the file: the next run then infers a new schema.",
        ) from None
    except OSError as error:
        raise MfxError(f"{path}: cannot read the schema: {error.strerror}") from None
    if found := schema_rules.problems(schema):
        raise MfxError("\n".join(f"{path}: {line}" for line in found))
    return schema


def write(path: Path, text: str) -> None:
    """Replace the committed schema in one step: a write that fails leaves the old file."""
    staged = path.with_name(path.name + ".new")
    staged.write_text(text, encoding="utf-8")
    staged.replace(path)


def column_types(path: Path) -> dict[str, Declared]:
    """What the committed schema says of each feature; empty when there is no such file.

    Raises:
        MfxError: As in `read`; or a feature's type is missing, or is none that a column can have.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    names = {schema_pb2.INT: "int64", schema_pb2.FLOAT: "float32", schema_pb2.BYTES: "bytes"}
    schema = read(path)
    features = [] if schema is None else schema.feature
    for feature in features:
        if feature.type not in names:
            raise MfxError(
                f"{path}: feature '{feature.name}': expected type INT, FLOAT or BYTES, found "
                f"{schema_pb2.FeatureType.Name(feature.type)}",
                "Give the feature one of these types.",
            )
    return {feature.name: declared(feature, names[feature.type]) for feature in features}
