"""The results that travel between steps: one small object each, payload files behind it.

Every object can be read in a notebook, `Run("Pipeline/<id>").data.<name>`: methods bring back the
payload and import what they need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfx.errors import MfxError
from mfx.lineage import Lineage, hash_bytes, hash_json
from mfx.store import Payload

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SPLITS = ("train", "eval")


@dataclass(frozen=True)
class Shard:
    """One input file: where it is, its SHA-256 and size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Sources:
    """What `start` resolved: the input files and each column's type (`columns.TYPES`)."""

    shards: tuple[Shard, ...]
    columns: dict[str, str]
    lineage: Lineage


@dataclass(frozen=True)
class Code:
    """What a run was made with.

    Args:
        commit: Git's commit of the pipeline's folder; empty outside a repository.
        changed: Whether there were changes that are in no commit.
        payload: `code.zip`: the library's and the pipeline's Python files.
    """

    commit: str
    changed: bool
    payload: Payload

    def files(self) -> dict[str, str]:
        """Each file's text, by its path."""
        import io
        import zipfile

        with zipfile.ZipFile(io.BytesIO(self.payload.read("code.zip"))) as archive:
            return {name: archive.read(name).decode() for name in archive.namelist()}


@dataclass(frozen=True)
class Examples:
    """Typed rows by split, as Parquet files `<split>.parquet`, one payload for each input shard.

    Args:
        shards: Payloads in input order.
        rows: Rows of each split.
        rows_in: Rows read.
        rejected: Rows left out, by reason; `rows_in == sum(rows) + sum(rejected)` always holds.
        columns: Each column's type.
    """

    shards: tuple[Payload, ...]
    rows: dict[str, int]
    rows_in: int
    rejected: dict[str, int]
    columns: dict[str, str]
    lineage: Lineage

    @property
    def digest(self) -> str:
        """SHA-256 over the rows of all splits, in order."""
        return hash_json([payload.digest for payload in self.shards])

    @contextmanager
    def files(self, split: str) -> Iterator[list[Path]]:
        """The split's Parquet files, in order, in a temporary folder."""
        import tempfile

        if split not in SPLITS:
            raise MfxError(f"no split {split!r}: expected one of {', '.join(SPLITS)}")
        with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
            yield [
                payload.only(f"{split}.parquet").save_to(Path(directory, f"{number:05d}"))
                / f"{split}.parquet"
                for number, payload in enumerate(self.shards)
            ]

    def batches(
        self, split: str, rows: int = 65536, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The split's rows in order, at most `rows` in memory at a time."""
        import pyarrow.parquet as pq

        with self.files(split) as paths:
            for path in paths:
                yield from pq.ParquetFile(path).iter_batches(rows, columns=columns)

    def split_digest(self, split: str) -> str:
        """SHA-256 over the rows of one split, in order."""
        return hash_json([p.only(f"{split}.parquet").digest for p in self.shards])

    def to_arrow(self, split: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of a split."""
        import pyarrow as pa

        from mfx.columns import TYPES

        names = self.columns if columns is None else columns
        schema = pa.schema([(n, TYPES[self.columns[n]]) for n in names])
        return pa.Table.from_batches(list(self.batches(split, columns=columns)), schema)

    def to_pandas(self, split: str) -> pd.DataFrame:
        """All rows of a split; integers with missing values as `Int64`, bytes decoded to str."""
        import pandas as pd
        import pyarrow as pa

        table = self.to_arrow(split)
        texts = [i for i, kind in enumerate(table.schema.types) if pa.types.is_binary(kind)]
        for i in texts:
            name = table.schema.names[i]
            table = table.set_column(i, name, table.column(i).cast(pa.string()))
        return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)

    def to_tfrecord(self, split: str, path: str | Path) -> int:
        """Write a split as a TFRecord file of tf.Examples and return the number of rows."""
        import tensorflow as tf

        from mfx.tf_examples import serialize

        count = 0
        with tf.io.TFRecordWriter(str(path)) as writer:
            for batch in self.batches(split):
                for record in serialize(batch):
                    writer.write(record)
                    count += 1
        return count


@dataclass(frozen=True)
class Statistics:
    """TFDV's statistics, `<split>.pb` each a serialized DatasetFeatureStatisticsList.

    Args:
        engine: What computed them.
    """

    payload: Payload
    lineage: Lineage
    engine: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 over the statistics of all splits."""
        return self.payload.digest

    def proto(self, split: str = "train") -> Any:
        """`DatasetFeatureStatisticsList`, as `tfdv.visualize_statistics` takes it."""
        from tensorflow_metadata.proto.v0 import statistics_pb2

        return statistics_pb2.DatasetFeatureStatisticsList.FromString(
            self.payload.read(f"{split}.pb")
        )

    def to_pandas(self, split: str = "train") -> pd.DataFrame:
        """One row a feature: type, missing share, unique values or mean, quartiles and range."""
        import pandas as pd

        from mfx.statistics_view import feature_rows

        return pd.DataFrame(feature_rows(self.proto(split))).set_index("feature")


@dataclass(frozen=True)
class Schema:
    """The schema that the run's examples were held to.

    Args:
        text: The schema in protobuf text format, as in `schema.pbtxt`.
        path: The committed file, or where one is expected.
        inferred: Whether it was inferred in this run because no file was committed.
        proposal: The schema that this run's train split would give, in text format.
    """

    text: str
    path: str
    inferred: bool
    proposal: str
    lineage: Lineage

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hash_bytes(self.text.encode())

    def proto(self) -> Any:
        """`tensorflow_metadata.proto.v0.schema_pb2.Schema`."""
        from google.protobuf import text_format
        from tensorflow_metadata.proto.v0 import schema_pb2

        return text_format.Parse(self.text, schema_pb2.Schema())


@dataclass(frozen=True)
class Anomaly:
    """One rule of the schema that one split's values of one feature break.

    Args:
        split: The split; `train vs eval` for skew.
        feature: The feature, or `<dataset>`.
        rule: TFDV's name of the rule, such as ENUM_TYPE_UNEXPECTED_STRING_VALUES.
        severity: ERROR stops the run, WARNING does not.
        expected: What the schema says.
        observed: What the data shows.
        count: Examples concerned; None where the rule is not about single examples.
        remedy: What to do.
    """

    split: str
    feature: str
    rule: str
    severity: str
    expected: str
    observed: str
    count: int | None
    remedy: str

    def __str__(self) -> str:
        count = "" if self.count is None else f" ({self.count} examples)"
        return (
            f"{self.feature} [{self.split}] {self.rule}: expected {self.expected}; "
            f"observed {self.observed}{count}. {self.remedy}"
        )


@dataclass(frozen=True)
class Anomalies:
    """All anomalies of a run's examples against its schema; empty when there are none."""

    found: tuple[Anomaly, ...]
    lineage: Lineage

    @property
    def errors(self) -> tuple[Anomaly, ...]:
        """Those that stop the run."""
        return tuple(a for a in self.found if a.severity == "ERROR")

    def to_pandas(self) -> pd.DataFrame:
        """One row an anomaly, a column for each of `Anomaly`'s fields."""
        import pandas as pd

        columns = list(Anomaly.__dataclass_fields__)
        return pd.DataFrame([vars(a) for a in self.found], columns=columns)


@dataclass(frozen=True)
class TransformGraph:
    """TFT's transform output: the graph, its vocabularies, the transformed features' types.

    Args:
        engine: What analysed the train split.
    """

    payload: Payload
    features: dict[str, str]
    lineage: Lineage
    engine: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 over the graph's files."""
        return self.payload.digest

    def save_to(self, directory: str | Path) -> Path:
        """Write TFT's folder; `tft.TFTransformOutput(directory)` reads it."""
        return self.payload.save_to(directory)


@dataclass(frozen=True)
class Model:
    """A SavedModel that holds transform graph and network, and how it was made.

    Args:
        payload: The SavedModel's files.
        logs: TensorBoard's event files.
        candidate: Its place in `train.candidates`.
        hyperparameters: What `build_model` got.
        history: Loss and metrics, one entry an epoch, validation ones as `val_…`.
        weights: SHA-256 of the trained variables' bytes.
        steps: Training steps taken.
        device: What it was trained on, such as `1 CPU` or `2 GPU`.
        resumed_from: Epochs that were taken over from a checkpoint, 0 if none.
    """

    payload: Payload
    logs: Payload
    candidate: int
    hyperparameters: dict[str, Any]
    history: dict[str, list[float]]
    weights: str
    steps: int
    device: str
    resumed_from: int
    lineage: Lineage

    @property
    def digest(self) -> str:
        """SHA-256 over the trained variables and the transform graph they were trained behind."""
        return hash_json([self.weights, *self.lineage.parents])

    def save_to(self, directory: str | Path) -> Path:
        """Write the SavedModel; `tf.saved_model.load(directory)` reads it."""
        return self.payload.save_to(directory)


@dataclass(frozen=True)
class Check:
    """One threshold on one metric of one slice, and whether the model passed it."""

    metric: str
    slice: str
    rule: str
    value: float | None
    passed: bool

    def __str__(self) -> str:
        value = "no value" if self.value is None else f"{self.value:.4f}"
        verdict = "passed" if self.passed else "FAILED"
        return f"{verdict}: {self.metric} on {self.slice} is {value}, needs {self.rule}"


@dataclass(frozen=True)
class Blessing:
    """Whether a model may be pushed, and why: one check for each metric, slice and rule.

    Args:
        baseline: Run id of the production model it was compared with, or `first run`.
    """

    blessed: bool
    checks: tuple[Check, ...]
    baseline: str

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that were not passed."""
        return tuple(check for check in self.checks if not check.passed)


@dataclass(frozen=True)
class Evaluation:
    """Sliced metrics, curves, predictions and the blessing of the chosen candidate.

    Args:
        rows: One entry a slice: `slice`, then the metrics; `Overall` first.
        baseline_rows: The same for the model now in production, on the same examples; or empty.
        curves: `roc` and `calibration` points for plots, by model.
        candidates: Each candidate's value of the selecting metric.
        predictions: `predictions.parquet`: label and prediction of each eval row, in order.
        results: TFMA's own result files, for `tfma.load_eval_result`.
        engine: What computed the metrics.
    """

    rows: list[dict[str, Any]]
    baseline_rows: list[dict[str, Any]]
    curves: dict[str, Any]
    candidates: list[float]
    blessing: Blessing
    predictions: Payload
    results: Payload
    engine: str
    lineage: Lineage

    def metrics(self) -> pd.DataFrame:
        """One row a slice, `Overall` first; one column a metric."""
        import pandas as pd

        return pd.DataFrame(self.rows).set_index("slice")

    def baseline_metrics(self) -> pd.DataFrame:
        """As `metrics`, of the model now in production; empty on a first run."""
        import pandas as pd

        return pd.DataFrame(self.baseline_rows, columns=list(self.rows[0])).set_index("slice")


@dataclass(frozen=True)
class Latency:
    """How long a served model took to answer one client.

    Args:
        api: REST or gRPC, and the signature.
        batch_size: Rows in each request.
        requests: How many there were.
        p50: Milliseconds that half of them stayed below.
        p99: Milliseconds that 99 of 100 stayed below.
    """

    api: str
    batch_size: int
    requests: int
    p50: float
    p99: float


@dataclass(frozen=True)
class Replay:
    """How a model server in a clean process answered raw eval rows.

    Args:
        rows: Rows replayed.
        max_difference: Largest difference from the evaluator's predictions; None if none came back.
        load_seconds: From the server's start until the model was available.
        error: Why it is not valid; empty if it is.
        server: Which server it was; see `model_server`.
        memory_mb: Resident memory of the server after all requests, MiB; None where not known.
        latencies: Of each API, signature and batch size.
    """

    rows: int
    max_difference: float | None
    load_seconds: float | None
    error: str = ""
    server: str = ""
    memory_mb: float | None = None
    latencies: list[Latency] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether the model may be served."""
        return not self.error


@dataclass(frozen=True)
class PushedModel:
    """Where the model went, or why it did not.

    Args:
        path: `<destination>/<name>/<version>`; empty if nothing was written.
        version: The version served; None if nothing was written.
        reason: One line for people.
        warmup: Requests made of the rows replayed, which go with the model wherever it is pushed
            (`warmup.read`); None if it did not answer them as evaluated.
    """

    path: str
    version: int | None
    reason: str
    replay: Replay
    lineage: Lineage = field(repr=False)
    warmup: Payload | None = field(default=None, repr=False)

    @property
    def pushed(self) -> bool:
        """Whether the model is at the destination."""
        return self.version is not None
