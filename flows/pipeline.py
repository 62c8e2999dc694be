"""The pipeline: `python flows/pipeline.py run`; `--help` lists commands and parameters."""

from pathlib import Path

from mfx.environment import set_defaults

HERE = Path(__file__).resolve().parent
set_defaults(root=HERE.parent)

from metaflow import Config, FlowSpec, Parameter, config_expr, current
from metaflow import card, checkpoint, project, resources, retry, step

from mfx import runtime

TAXI = HERE / "taxi" / "config.toml"


@runtime.mfx_steps
@project(name=config_expr("config.deploy.project"))
class Pipeline(FlowSpec):
    """TFX's pipeline as one flow.

    1. start: resolve the input files and fix what this run is made from.
    2. ingest (one task a file): type the rows and split them by hash.
    3. validate: statistics, schema, anomalies; bad data stops the run here.
    4. transform: analyse the train split, keep one transform graph.
    5. train (one task a candidate): fit a Keras model, export it with the graph.
    6. evaluate: pick a candidate, sliced metrics, bless it or not.
    7. push: replay eval rows in a clean process, then push what is blessed.
    8. end: say what came of it.
    """

    config = Config("config", default=str(TAXI), parser=runtime.parser(TAXI))
    data = Parameter("data", help="CSV file, folder or pattern, not [data] path", default=None)
    steps = Parameter("steps", help="training steps", type=int, default=None)
    batch_size = Parameter("batch-size", help="rows in a training step", type=int, default=None)
    seed = Parameter("seed", help="seed of weights and shuffling", type=int, default=None)
    destination = Parameter("destination", help="folder or s3:// to push to", default=None)

    @step
    def start(self):
        """Resolve the input files and fix what this run is made from."""
        from mfx import start

        self.settings = start.settings(self)
        self.sources = start.resolve(self.settings)
        self.shards = self.sources.shards
        self.next(self.ingest, foreach="shards")

    @step
    def ingest(self):
        """Type one file's rows and split them by hash."""
        from mfx.ingest import ingest

        self.examples = ingest(self.input, self.sources, self.settings)
        self.next(self.validate)

    @card(type="blank")
    @step
    def validate(self, inputs):
        """Statistics, schema, anomalies; bad data stops the run here."""
        from mfx import cards, ingest, validate

        self.merge_artifacts(inputs, exclude=["examples"])
        self.examples = ingest.merge([task.examples for task in inputs], self.sources)
        found = validate.validate(self.examples, self.settings)
        self.statistics, self.schema, self.anomalies = found
        cards.show(cards.validate(self.examples, self.statistics, self.schema, self.anomalies))
        validate.stop_on_errors(self.anomalies, self.schema)
        self.next(self.transform)

    @step
    def transform(self):
        """Analyse the train split, keep one transform graph."""
        from mfx.transform import transform

        made = transform(self.examples, self.schema, self.settings)
        self.transform_graph, self.transformed = made
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
    def train(self):
        """Fit a Keras model, export it with the graph."""
        from mfx import cards, checkpoints, train

        self.model = train.train(
            self.transform_graph,
            self.transformed,
            self.settings,
            candidate=self.input,
            checkpoint=checkpoints.StepCheckpoint(f"candidate-{self.input}"),
            report=print,
        )
        cards.show(cards.train(self.model))
        self.next(self.evaluate)

    @card(type="blank")
    @step
    def evaluate(self, inputs):
        """Pick a candidate, compute sliced metrics, bless it or not."""
        from mfx import cards, evaluate, registry

        self.merge_artifacts(inputs, exclude=["model"])
        self.model, self.evaluation = evaluate.evaluate(
            [task.model for task in inputs],
            self.examples,
            self.transformed,
            self.settings,
            baseline=registry.production(self.settings),
        )
        cards.show(cards.evaluate(self.evaluation))
        self.next(self.push)

    @card(type="blank")
    @step
    def push(self):
        """Replay eval rows in a clean process, then push what is blessed."""
        from mfx import cards, push

        self.pushed = push.push(
            self.model, self.evaluation, self.examples, self.settings, current.run_id
        )
        cards.show(cards.push(self.pushed, self.evaluation))
        self.next(self.end)

    @step
    def end(self):
        """Say what came of it."""
        from mfx import notify, summary

        print(summary.of(self, current.run_id))
        run = f"{current.flow_name}/{current.run_id}"
        notify.pushed(self.pushed, self.evaluation.rows[0], self.settings.deploy, run, print)


if __name__ == "__main__":
    Pipeline()
