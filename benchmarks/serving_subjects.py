"""The subjects that `bench_serving` compares with `mfx serve`, each in a separate process.

    python benchmarks/serving_subjects.py ceiling VERSION_DIR SECONDS ROW_JSON IN_FLIGHT...
    python benchmarks/serving_subjects.py fastapi|keras|grpc VERSION_DIR PORT

`fastapi`, `keras` and `grpc` are simple servers, as many people would write them: they call the
model once for each request.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / ".bench" / "fastapi"
SIGNATURE, OUTPUT = "predict", "outputs"
CALLERS = 32
GRPC_THREADS = 10
"""The same as in gRPC's own examples."""


def main() -> None:
    """Serve, or measure the ceiling and print it as JSON."""
    kind, folder, *rest = sys.argv[1:]
    if kind == "ceiling":
        row = {name: [_encoded(value)] for name, value in json.loads(rest[1]).items()}
        print(json.dumps(ceiling(Path(folder), float(rest[0]), row, list(map(int, rest[2:])))))
    else:
        if kind != "grpc":
            # This comes first, so that FastAPI finds the packages that were installed with it.
            sys.path.insert(0, str(SITE))
        {"fastapi": fastapi, "keras": keras, "grpc": grpc}[kind](folder, int(rest[0]))


def _encoded(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


class Again:
    """A sink that sends each task's row again when it is answered.

    Args:
        submit: Takes a row.
    """

    def __init__(self, submit: Callable[[Again], None]) -> None:
        self._submit = submit
        self.goes_on = True
        self.under_way = 0
        self.error: Exception | None = None

    def start(self, rows: int) -> None:
        """Send this many rows."""
        for _ in range(rows):
            self.under_way += 1
            self._submit(self)

    def done(self, tasks: Sequence[Any]) -> None:
        """Called from the batching thread, once for each batch."""
        self.under_way -= len(tasks)
        self.error = self.error or next((t.error for t in tasks if t.error), None)
        if self.goes_on:
            self.start(len(tasks))


class Waking:
    """A sink that wakes all coroutines of a batch at once, as the server's sink does.

    Args:
        loop: The coroutines' event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.futures: dict[Any, asyncio.Future[None]] = {}

    def done(self, tasks: Sequence[Any]) -> None:
        """Called from the batching thread, once for each batch."""
        self._loop.call_soon_threadsafe(self._wake, tasks)

    def _wake(self, tasks: Sequence[Any]) -> None:
        for task in tasks:
            self.futures.pop(task).set_result(None)


def ceiling(folder: Path, seconds: float, row: dict, in_flight: list[int]) -> list[dict]:
    """Measure the rows per second of the server's core alone, without HTTP, gRPC or JSON.

    Args:
        folder: The SavedModel's folder.
        seconds: How long to measure for each of `in_flight`.
        row: The inputs of one row.
        in_flight: Numbers of rows that are submitted together, each row as a task; they make one
            batch.

    Returns:
        Results for each of `in_flight`; then for 32 threads, and for 32 coroutines, that send a row
        and wait for its answer again and again.
    """
    from mfx.serve.batching import Task
    from mfx.serve.model import ServedModel
    from mfx.serve.parameters import BatchingParameters

    sizes: list[int] = []
    model = ServedModel(folder, 1, BatchingParameters(observed=sizes.append))

    def measured() -> dict[str, float]:
        time.sleep(1)
        first, begin, cpu = len(sizes), time.perf_counter(), time.process_time()
        time.sleep(seconds)
        last, taken, spent = len(sizes), time.perf_counter() - begin, time.process_time() - cpu
        rows = sum(sizes[first:last])
        return {
            "rate": rows / taken,
            "batch": rows / (last - first),
            "cpu": 1e6 * spent / rows,
            "cpu_batch": 1e6 * spent / (last - first),
            "seconds_batch": taken / (last - first),
        }

    found = []
    for rows in in_flight:
        sink = Again(lambda sink: model.submit(SIGNATURE, Task(row, 1, sink)))
        sink.start(rows)
        found.append(measured())
        sink.goes_on = False
        while sink.under_way:
            time.sleep(0.01)
        if sink.error is not None:
            raise sink.error
    for callers in (threads, coroutines):
        with callers(model, row):
            found.append(measured())
    model.close()
    return found


@contextmanager
def threads(model: Any, row: dict) -> Iterator[None]:
    """Measure 32 threads, each with one row at a time. An error ends the program."""
    from mfx.serve.batching import Task, Waiting

    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            waiting = Waiting()
            task = Task(row, 1, waiting)
            model.submit(SIGNATURE, task)
            waiting.outputs(task, 60)

    with ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(call) for _ in range(CALLERS)]
        try:
            yield
        finally:
            stop.set()
        for each in calls:
            each.result()


@contextmanager
def coroutines(model: Any, row: dict) -> Iterator[None]:
    """Measure 32 coroutines on uvloop in a separate thread, each with one row at a time."""
    import uvloop

    from mfx.serve.batching import Task

    stop = threading.Event()

    async def call(sink: Waking) -> None:
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            task = Task(row, 1, sink)
            sink.futures[task] = answered = loop.create_future()
            model.submit(SIGNATURE, task)
            await answered
            if task.error is not None:
                raise task.error

    async def calls() -> None:
        sink = Waking(asyncio.get_running_loop())
        await asyncio.gather(*(call(sink) for _ in range(CALLERS)))

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(lambda: uvloop.run(calls()))
        try:
            yield
        finally:
            stop.set()
        ended.result()


def fastapi(folder: str, port: int) -> None:
    """Serve by FastAPI on uvicorn, with the eager signature."""
    import tensorflow as tf

    signature = tf.saved_model.load(folder).signatures[SIGNATURE]
    dtypes = {name: spec.dtype for name, spec in signature.structured_input_signature[1].items()}

    def predict(row: dict[str, Any]) -> float:
        tensors = {name: tf.constant([row[name]], dtype) for name, dtype in dtypes.items()}
        return float(signature(**tensors)[OUTPUT][0, 0])

    _serve(predict, dtypes, port)


def keras(folder: str, port: int) -> None:
    """Serve by FastAPI on uvicorn, with Keras' `model.predict`."""
    import keras as k
    import numpy as np
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures[SIGNATURE]
    dtypes = {name: spec.dtype for name, spec in signature.structured_input_signature[1].items()}

    class Model(k.Model):
        def call(self, inputs: dict) -> Any:
            return signature(**inputs)[OUTPUT]

    model = Model()

    def predict(row: dict[str, Any]) -> float:
        # Strings are TensorFlow's, not NumPy's: Keras does not accept arrays of objects.
        arrays = {
            name: tf.constant([row[name]])
            if dtype == tf.string
            else np.array([row[name]], dtype.as_numpy_dtype)
            for name, dtype in dtypes.items()
        }
        return float(model.predict(arrays, verbose=0)[0, 0])

    _serve(predict, dtypes, port)


def _serve(predict: Callable[[dict[str, Any]], float], dtypes: dict, port: int) -> None:
    import uvicorn
    from fastapi import FastAPI
    from pydantic import create_model

    kinds = {
        name: str if t.name == "string" else int if t.is_integer else float
        for name, t in dtypes.items()
    }
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in kinds.items()}
    row_model = create_model("Row", **fields)
    app = FastAPI()

    def answer(row: Any) -> dict[str, list[float]]:
        return {"predictions": [predict(row.model_dump())]}

    # The annotation is set here, since it cannot name a class that is made inside the function.
    answer.__annotations__["row"] = row_model
    app.post("/predict")(answer)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def grpc(folder: str, port: int) -> None:
    """Serve by gRPC's thread pool and TF Serving's own servicer, with the eager signature."""
    import grpc as g
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    signature = tf.saved_model.load(folder).signatures[SIGNATURE]

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
            tensors = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
            response = predict_pb2.PredictResponse()
            for name, tensor in signature(**tensors).items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(tensor.numpy()))
            return response

    server = g.server(ThreadPoolExecutor(GRPC_THREADS))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
