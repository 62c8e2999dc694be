"""A flow whose runs look like the pipeline's to the registry, without TensorFlow: results are made
up, but stored and found as real ones."""

from __future__ import annotations

import os
from pathlib import Path

from metaflow import FlowSpec, Parameter, project, step


class Pipeline(FlowSpec):
    config = Parameter("config", default="")
    weight = Parameter("weight", default="1")
    blessed = Parameter("blessed", default=True, type=bool)
    valid = Parameter("valid", default=True, type=bool)
    rows = Parameter("rows", default=20, type=int)
    auto = Parameter("auto", default=False, type=bool)
    stop = Parameter("stop", default=False, type=bool)

    @step
    def start(self):
        from mfx import config
        from mfx.artifacts import Shard, SourceFile, Sources
        from mfx.artifacts.lineage import Lineage
        from mfx.flow import code

        self.settings = config.load(self.config)
        self.code = code.save(self.settings)
        lineage = Lineage("data", "code", "config")
        days = [SourceFile(f"/data/day-{n}.csv", f"{n - 1}" * 64, 1) for n in (1, 2)]
        self.sources = Sources((Shard(tuple(days)),), {"x": "float32", "y": "int64"}, lineage)
        self.next(self.validate)

    @step
    def validate(self):
        import tempfile

        import pyarrow as pa
        import pyarrow.parquet as pq

        from mfx.artifacts import Examples, store

        if self.stop:
            raise ValueError("stopped here")
        with tempfile.TemporaryDirectory() as folder:
            for split in ("train", "eval"):
                table = pa.table(
                    {
                        "x": pa.array([i / 10 for i in range(self.rows)], pa.float32()),
                        "y": pa.array([i % 2 for i in range(self.rows)], pa.int64()),
                    }
                )
                pq.write_table(table, Path(folder, f"{split}.parquet"))
            payload = store.save(folder)
        self.examples = Examples(
            (payload,),
            {"train": self.rows, "eval": self.rows},
            2 * self.rows,
            {},
            self.sources.columns,
            self.sources.lineage,
        )
        self.next(self.evaluate)

    @step
    def evaluate(self):
        import tempfile

        import pyarrow as pa
        import pyarrow.parquet as pq

        from mfx import registry
        from mfx.artifacts import (
            OVERALL,
            Blessing,
            Check,
            ComparedWith,
            Evaluation,
            Model,
            SliceMetrics,
            store,
        )

        served = registry.production(self.settings)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "variables").mkdir()
            Path(folder, "saved_model.pb").write_text("the graph, the same in all runs")
            Path(folder, "variables", "data").write_text(self.weight)
            payload = store.save(folder)
        lineage = self.sources.lineage
        self.model = Model(payload, payload, 0, {}, {}, self.weight, 1, "CPU", 0, lineage)
        with tempfile.TemporaryDirectory() as folder:
            score = [(i % 2) * 0.2 + i / 40 * float(self.weight) for i in range(self.rows)]
            table = {"label": [i % 2 for i in range(self.rows)], "prediction": score}
            table["answer"] = score
            pq.write_table(
                pa.table({k: pa.array(v, pa.float32()) for k, v in table.items()}),
                Path(folder, "predictions.parquet"),
            )
            predictions = store.save(folder)
        check = Check("auc", OVERALL, "at least 0.5", 0.75, self.blessed)
        self.evaluation = Evaluation(
            rows=[SliceMetrics(OVERALL, {"example_count": float(self.rows), "auc": 0.75})],
            baseline_rows=[],
            curves={},
            candidates=[0.75],
            blessing=Blessing(self.blessed, (check,), ComparedWith(served.run if served else None)),
            predictions=predictions,
            results=predictions,
            engine="by hand",
            lineage=lineage,
            no_value={},
        )
        self.next(self.push)

    @step
    def push(self):
        import tempfile

        from metaflow import current

        from mfx import registry
        from mfx.artifacts import PushedModel, Replay, store
        from mfx.export.warmup import WARMUP

        replay = Replay(1, 0.0, 0.0, "" if self.valid else "it does not answer")
        lineage = self.sources.lineage
        warmup = None
        if self.valid:
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, WARMUP).parent.mkdir()
                Path(folder, WARMUP).write_text(f"requests for {self.weight}")
                warmup = store.save(folder)
        self.pushed = PushedModel("", None, "not promoted", replay, lineage, warmup)
        if self.auto:
            place = registry.place.for_settings(self.settings, registry.place.current_branch())
            view = registry.promotion.begin(place.open())
            entry, remark = registry.actions.promote_model(
                place, view, self.model, self.evaluation, current.run_id, warmup
            )
            path = place.open().path(entry.version)
            self.pushed = PushedModel(path, entry.version, remark, replay, lineage, warmup)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    if os.environ.get("PROJECT"):
        Pipeline = project(name=os.environ["PROJECT"])(Pipeline)
    Pipeline()
