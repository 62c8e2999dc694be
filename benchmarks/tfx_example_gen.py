"""Run one of TFX's ExampleGens and print the seconds of its launch as JSON.

    python3.10 benchmarks/tfx_example_gen.py FORMAT DATA_DIR OUT_DIR

FORMAT is csv, tfrecord, parquet or avro; DATA_DIR holds one file. Python is that of TFX's own
environment, which `bench.py` makes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def component(kind: str, folder: str) -> Any:
    """The ExampleGen for a format, as TFX's guide uses it."""
    from tfx import v1 as tfx
    from tfx.components.example_gen.component import FileBasedExampleGen
    from tfx.components.example_gen.custom_executors import avro_executor, parquet_executor
    from tfx.dsl.components.base import executor_spec

    if kind == "csv":
        return tfx.components.CsvExampleGen(input_base=folder)
    if kind == "tfrecord":
        return tfx.components.ImportExampleGen(input_base=folder)
    executor = {"parquet": parquet_executor, "avro": avro_executor}[kind].Executor
    spec = executor_spec.BeamExecutorSpec(executor)
    return FileBasedExampleGen(input_base=folder, custom_executor_spec=spec)


def main(kind: str, folder: str, out: str) -> None:
    """Run it, in a pipeline of its own."""
    from tfx import v1 as tfx
    from tfx.orchestration import metadata
    from tfx.orchestration.portable import launcher

    seconds = 0.0
    launch = launcher.Launcher.launch

    def timed(self: Any) -> Any:
        nonlocal seconds
        begin = time.time()
        try:
            return launch(self)
        finally:
            seconds = time.time() - begin

    launcher.Launcher.launch = timed
    pipeline = tfx.dsl.Pipeline(
        pipeline_name="ingest",
        pipeline_root=os.path.join(out, "root"),  # noqa: PTH118 (as TFX's own pipelines do)
        components=[component(kind, folder)],
        metadata_connection_config=metadata.sqlite_metadata_connection_config(
            os.path.join(out, "metadata.db")  # noqa: PTH118
        ),
        beam_pipeline_args=["--direct_num_workers=1"],
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)
    print(json.dumps({"seconds": round(seconds, 2)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
