"""Ask a SavedModel for predictions in a process that has only TensorFlow.

Run as a script: `replay.py MODEL ROWS OUT`. ROWS is JSON, a list of rows, each a dict of feature
to value (null is missing, bytes as {"b64": …}); OUT gets {"outputs": […], "load_seconds": …}.
"""

import atexit
import base64
import gc
import json
import sys
import time


def to_example(row):
    """One row as a serialized tf.Example; missing features are left out."""
    import tensorflow as tf

    example = tf.train.Example()
    for name, value in row.items():
        if value is None:
            continue
        feature = example.features.feature[name]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        elif isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.float_list.value.append(value)
    return example.SerializeToString(deterministic=True)


def main(model, rows, out):
    """Load the model, predict the rows by `serving_default`, write the answer."""
    import tensorflow as tf

    with open(rows) as file:
        given = json.load(file)
    decoded = [
        {n: base64.b64decode(v["b64"]) if isinstance(v, dict) else v for n, v in row.items()}
        for row in given
    ]
    begin = time.perf_counter()
    signature = tf.saved_model.load(model).signatures["serving_default"]
    seconds = time.perf_counter() - begin
    examples = tf.constant([to_example(row) for row in decoded])
    outputs = signature(examples)["outputs"].numpy().tolist()
    with open(out, "w") as file:
        json.dump({"outputs": outputs, "load_seconds": seconds}, file)


if __name__ == "__main__":
    gc.disable()
    atexit.register(gc.freeze)
    main(*sys.argv[1:])
