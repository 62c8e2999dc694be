"""Ask the newest pushed model for predictions, with nothing but TensorFlow.

    python serving/predict.py pushed/taxi '{"payment_type": "Credit Card", "fare": 12.5}'
    python serving/predict.py pushed/taxi rows.json

A row is a dict of raw features. Features left out, or null, are missing. One JSON line per row is
printed: the model's answer and the model's version.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def newest(folder: Path) -> Path:
    """The highest version below a model's folder. TF Serving picks the same one."""
    numbered = [path for path in folder.glob("[0-9]*") if path.name.isdecimal()]
    versions = [path for path in numbered if int(path.name) < 2**63]
    if not versions:
        sys.exit(f"{folder}: no pushed version here; run the pipeline first: make run")
    return max(versions, key=lambda path: int(path.name))


def predict(model: Path, rows: list[dict[str, Any]]) -> list[list[float]]:
    """The SavedModel's outputs for raw rows, by its signature `predict`."""
    import tensorflow as tf
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    signature = tf.saved_model.load(str(model)).signatures["predict"]
    saved = SavedModel.FromString((model / "saved_model.pb").read_bytes())
    # A feature's title may be no valid Python name: see lib/mfx/columns/input_names.py.
    arguments = {
        title: info.name.removeprefix("predict_").removesuffix(":0")
        for title, info in saved.meta_graphs[0].signature_def["predict"].inputs.items()
    }
    taken = signature.structured_input_signature[1]
    specs = {title: taken[argument] for title, argument in arguments.items()}
    # The values that mean "missing": see lib/mfx/columns/missing.py.
    missing = {tf.float32: float("nan"), tf.int64: tf.int64.min, tf.string: ""}
    for row in rows:
        if unknown := sorted(set(row) - set(specs)):
            sys.exit(f"unknown features {unknown}; the model takes {sorted(specs)}")
    tensors = {}
    for name, spec in specs.items():
        given = [row.get(name) for row in rows]
        if spec.shape.rank > 1:
            # Lists are filled up to the longest: see lib/mfx/columns/raw_features.py.
            lists = tf.ragged.constant([value or [] for value in given], spec.dtype, 1)
            given = lists.to_tensor(missing[spec.dtype], [None, *spec.shape[1:]])
            tensors[arguments[name]] = given
            continue
        filled = [missing[spec.dtype] if value is None else value for value in given]
        tensors[arguments[name]] = tf.constant(filled, spec.dtype)
    return signature(**tensors)["outputs"].numpy().tolist()


def main() -> None:
    """Read the command line, ask the model, print the answers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="the model's folder, <destination>/<name>")
    parser.add_argument("rows", help="a row or a list of rows as JSON, or a file of it")
    given = parser.parse_args()
    model = newest(given.model)
    text = given.rows
    if not text.lstrip().startswith(("{", "[")):
        text = Path(text).read_text(encoding="utf-8")
    rows = json.loads(text)
    rows = rows if isinstance(rows, list) else [rows]
    for outputs in predict(model, rows):
        print(json.dumps({"outputs": outputs, "version": int(model.name)}))


if __name__ == "__main__":
    main()
