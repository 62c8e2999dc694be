"""The pipeline: `python flows/pipeline.py run`; `--help` lists commands and parameters."""

from pathlib import Path
from typing import Any

from mfx.environment import set_defaults

HERE = Path(__file__).resolve().parent
set_defaults(root=HERE.parent)

from metaflow import Config, FlowSpec, Parameter, config_expr, current
from metaflow import card, checkpoint, resources, retry, step
from mfx.evaluate.spec import Evaluate
from mfx.flow import reuse, runtime
from mfx.ingest.spec import Ingest
from mfx.train.spec import Train
from mfx.transform.spec import Transform
from mfx.validate.spec import Validate


@runtime.mfx_steps
@runtime.project_if_deployed
class Pipeline(FlowSpec):
    """TFX's pipeline as one flow.

    1. start: find the input files, choose column types, save the code of this run.
    2. ingest (one task per shard: a large file or many small ones): type rows, split them.
    3. validate: compute statistics, schema and anomalies; bad data stops the run here.
    4. transform: analyse the train split, keep one transform graph.
    5. train (one task per candidate): fit a Keras model, export it with the graph.
    6. evaluate: pick the best candidate, compute sliced metrics, bless it or not.
    7. push: serve the model, compare its answers, push it if it is blessed.
    8. end: print a summary.
    """

    config = Config("config", default=str(HERE / "taxi" / "config.toml"), parser=runtime.parser())
    data = Parameter("data", help="file, folder or pattern to read, or a JSON list", default=None)
    span = Parameter("span", help="span to read, a number or a date", default=None)
    steps = Parameter("steps", help="training steps", type=int, default=None)
    batch_size = Parameter("batch-size", help="rows per training step", type=int, default=None)
    seed = Parameter("seed", help="seed for weights and shuffling", type=int, default=None)
    destination = Parameter("destination", help="folder or bucket to push to", default=None)
    reuse = Parameter("reuse", help="reuse results of earlier runs", type=bool, default=False)
    from_run = Parameter("from-run", help="reuse results of the run with this id", default=None)

    @step
    def start(self) -> None:
        """Find the input files, choose column types, save the code of this run."""
        from mfx.flow import code, start

        self.settings = start.settings(self)
        start.check_destination(self.settings, print)
        self.code = code.save(self.settings)
        self.sources = start.resolve(self.settings, print)
        start.check_label(self.settings, self.sources)
        start.check_features(self.settings, self.sources)
        self.shards = list(range(len(self.sources.shards)))
        self.next(self.ingest, foreach="shards")

    @step
    def ingest(self) -> None:
        """Type the rows of one shard and divide them into splits."""
        shard = self.sources.shards[self.input]
        self.made = reuse.find_or_make(self, Ingest(shard, self.sources), print)
        self.examples = self.made.result
        self.next(self.validate)

    @card(type="blank")
    @step
    def validate(self, inputs: Any) -> None:
        """Compute statistics, schema and anomalies; bad data stops the run here."""
        from mfx.ingest import ingest
        from mfx.report import cards
        from mfx.validate import anomalies

        self.merge_artifacts(inputs, exclude=["examples", "made"])
        self.examples = ingest.merge([task.examples for task in inputs], self.sources)
        self.made = reuse.find_or_make(self, Validate(self.examples), print)
        self.statistics, self.schema, self.anomalies = self.made.result
        cards.show(cards.validate(self.examples, self.statistics, self.schema, self.anomalies))
        anomalies.stop_on_errors(self.anomalies, self.schema)
        self.next(self.transform)

    @step
    def transform(self) -> None:
        """Analyse the train split, keep one transform graph."""
        self.made = reuse.find_or_make(self, Transform(self.examples, self.schema, print), print)
        self.transform_graph, self.transformed = self.made.result
        self.candidates = list(range(len(self.settings.train.candidates)))
        self.next(self.train, foreach="candidates")

    @retry(times=2, minutes_between_retries=0)
    @checkpoint(show_card=False)
    @resources(
        cpu=config_expr("config.train.cpu"),
        gpu=config_expr("config.train.gpu"),
        memory=config_expr("config.train.memory"),
    )
    @card(type="blank")
    @step
    def train(self) -> None:
        """Fit a Keras model, export it with the graph."""
        from mfx.flow import checkpoints
        from mfx.report import cards

        kept = checkpoints.StepCheckpoint(f"candidate-{self.input}")
        fit = Train(self.transform_graph, self.transformed, self.input, kept, print)
        self.made = reuse.find_or_make(self, fit, print)
        self.model = self.made.result
        cards.show(cards.train(self.model))
        self.next(self.evaluate)

    @card(type="blank")
    @step
    def evaluate(self, inputs: Any) -> None:
        """Pick the best candidate, compute sliced metrics, bless it or not."""
        from mfx import registry
        from mfx.report import cards

        self.merge_artifacts(inputs, exclude=["model", "made"])
        models, now = [task.model for task in inputs], registry.production(self.settings)
        compared = Evaluate(self.examples, self.transformed, models, baseline=now)
        self.made = reuse.find_or_make(self, compared, print)
        self.model, self.evaluation = self.made.result
        cards.show(cards.evaluate(self.evaluation))
        self.next(self.push)

    @card(type="blank")
    @step
    def push(self) -> None:
        """Serve the model, compare its answers, push it if it is blessed."""
        from mfx.push import push
        from mfx.report import cards

        self.pushed = push.push(
            self.model, self.evaluation, self.examples, self.settings, current.run_id, print
        )
        cards.show(cards.push(self.pushed, self.evaluation))
        self.next(self.end)

    @step
    def end(self) -> None:
        """Print a summary."""
        from mfx.deploy import notify
        from mfx.report import summary

        print(summary.summarize(self, current.run_id))
        run = f"{current.flow_name}/{current.run_id}"
        notify.pushed(self.pushed, self.evaluation.overall, self.settings.deploy, run, print)


if __name__ == "__main__":
    Pipeline()
