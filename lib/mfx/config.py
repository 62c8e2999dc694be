"""What a pipeline's `config.toml` may say: typed, checked in one pass, errors in one line."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from mfx import address
from mfx.environment import code_package, kept_home, place_of, project
from mfx.errors import MfxError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


GIVEN = "the config given as text"
"""What errors call a config that was read from no file."""


class Table(BaseModel):
    """A table of the config: no unknown keys, no silent conversions, read-only once checked."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Pipeline(Table):
    """Which pipeline this is."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    """The model's name at the push destination."""
    module: str = "model.py"
    """The file with `preprocessing_fn` and `build_model`."""


class Split(Table):
    """Shares of the rows, as hash buckets: `{train = 2, eval = 1}` is two thirds and one third."""

    train: int = Field(2, ge=1)
    eval: int = Field(1, ge=1)
    key: list[str] = []
    """Columns whose rows stay together (an entity never straddles splits); empty: the whole row."""


class NullValues(Table):
    """Texts that mean "missing". `null_values = ["", "NA"]` is short for `{ default = … }`."""

    default: list[str] = [""]
    columns: dict[str, list[str]] = {}
    """Those of a column, instead of `default`."""

    def of(self, column: str) -> list[str]:
        """The texts that mean "missing" in this column."""
        return self.columns.get(column, self.default)


class Data(Table):
    """Where examples come from and how they are read."""

    path: str
    """A CSV file, a folder of them (`*.csv`, `*.tsv`, and these with .gz, .bz2, .xz or .zst behind
    it), or a pattern; on disk or `s3://bucket/…`."""
    split: Split = Split()
    null_values: NullValues = NullValues()
    """A list of texts, or a table: `{ default = [""], columns = { depth = ["", "9999"] } }`."""
    compression: Literal["none", "gzip", "bz2", "xz", "zstd"] | None = None
    """How files are compressed; by default as their first bytes say."""
    delimiter: str | None = None
    """What parts cells, one ASCII character; by default comma, semicolon, tab or pipe, as the
    header says."""
    trim: bool = False
    """Take spaces and tabs away from around column names and cells, quoted ones too."""
    ragged_rows: Literal["stop", "reject"] = "stop"
    """A row with too many or too few cells stops the run, or is left out and counted."""
    shard_mb: float = Field(32, gt=0)
    """MB of files from which on they are a shard, which one task reads; less is one shard."""

    @field_validator("null_values", mode="before")
    @classmethod
    def _list_is_default(cls, value: Any) -> Any:
        if not isinstance(value, list | dict | NullValues):
            raise ValueError(f"expected a list of texts or a table, found {value!r}")
        return {"default": value} if isinstance(value, list) else value

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or not value.isascii() or value in '"\r\n\0'):
            raise ValueError(f"expected one ASCII character such as ';' or '\\t', found {value!r}")
        return value


class Schema(Table):
    """The schema that examples must meet."""

    path: str = "schema.pbtxt"
    skew_threshold: float = Field(0.05, gt=0, le=1)
    """L-infinity distance between train and eval that an inferred schema allows each category, or
    what chance explains if that is more."""


class Label(Table):
    """What the model predicts."""

    name: str
    """The feature that `preprocessing_fn` returns as the label."""
    columns: list[str] = Field(min_length=1)
    """Raw columns that the label is made from: unknown, and not asked for, at serving."""
    missing: Literal["stop", "drop", "fill"] = "stop"
    """Rows without a value in one of `columns` stop the run; or are left out everywhere, and
    counted; or have the label that `preprocessing_fn` gives them."""
    classes: list[str] = []
    """Names of the classes, in the order of the label's values, which the `classify` signature
    gives. Empty: "0", "1", … where the network's loss is a cross-entropy, otherwise none."""


class Train(Table):
    """How the model is fitted. `cpu`, `gpu` and `memory` (MB) go to Metaflow's `@resources`."""

    steps: int = Field(1000, ge=1)
    batch_size: int = Field(32, ge=1)
    epochs: int = Field(10, ge=1)
    """How many times in a run the model is evaluated and checkpointed: `steps` divided by it."""
    validation_rows: int = Field(10_000, ge=1)
    """Eval rows looked at after each epoch; the evaluator looks at all of them."""
    seed: int = Field(42, ge=0)
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    jit_compile: bool = False
    """Compile the training step with XLA; TensorFlow then gives up equal weights run after run."""
    steps_per_execution: int = Field(50, ge=1)
    """Training steps in one call of TensorFlow; 1 on several GPUs."""
    cpu: int = Field(2, ge=1)
    gpu: int = Field(0, ge=0)
    memory: int = Field(4096, ge=512)
    hyperparameters: dict[str, Any] = {}
    """Handed to `build_model`."""
    candidates: list[dict[str, Any]] = [{}]
    """One model is trained for each; each updates `hyperparameters`."""

    @field_validator("candidates")
    @classmethod
    def _at_least_one(cls, value: list) -> list:
        return value or [{}]


class Metric(Table):
    """One of TFMA's or Keras' metrics, by class name, with its constructor's arguments."""

    class_name: str
    config: dict[str, Any] = {}


NameOrMetric = Annotated[
    Annotated[str, Tag("str")] | Annotated[Metric, Tag("Metric")],
    Discriminator(lambda given: "Metric" if isinstance(given, dict | Metric) else "str"),
]
"""Errors are those of the type that was meant, not of each."""


class Threshold(Table):
    """A bar that a model must pass to be blessed.

    `lower` and `upper` bound the value; `max_drop` and `max_rise` bound the change against the
    model now in production (for metrics where higher, or lower, is better).
    """

    metric: str
    """The metric's name in the results, such as `auc`."""
    lower: float | None = None
    upper: float | None = None
    max_drop: float | None = Field(None, ge=0)
    max_rise: float | None = Field(None, ge=0)
    slices: list[list[str]] = [[]]
    """Slices it holds for, each a list of features; `[]` is the whole eval split."""
    no_value: Literal["skip", "fail"] | None = None
    """What of a metric without a value, such as AUC of one class: `skip` leaves the check out, on
    the record; `fail` fails it. By default it is skipped on slices, as long as the metric has a
    value on one of them, and fails on the whole eval split."""

    @model_validator(mode="after")
    def _bounds_something(self) -> Threshold:
        if self.lower is self.upper is self.max_drop is self.max_rise is None:
            raise ValueError("a threshold needs one of lower, upper, max_drop, max_rise")
        if self.max_drop is not None and self.max_rise is not None:
            raise ValueError("max_drop is for higher-is-better, max_rise for lower-is-better")
        return self


RESULTS = ("candidate", "baseline", "mfx.label", "mfx.example_weight")
"""Columns of the table that TFMA evaluates, the first two named as the models."""


class Evaluate(Table):
    """Metrics, slices and the bar for a blessing."""

    metrics: list[NameOrMetric] = Field(min_length=1)
    select: str
    """The metric by which the best candidate is chosen."""
    select_lowest: bool = False
    example_weight: str = ""
    """A raw numeric feature: the weight of each example in every metric; empty: all weigh 1."""
    slices: list[list[str]] = []
    """Raw features to slice by, besides the whole eval split."""
    min_slice_size: int = Field(1, ge=1)
    """Slices with fewer examples are neither shown nor held to a threshold."""
    thresholds: list[Threshold] = []

    @field_validator("slices")
    @classmethod
    def _are_not_results(cls, value: list[list[str]]) -> list[list[str]]:
        for name in RESULTS:
            if any(name in keys for keys in value):
                what = "is the name of a model in the results" if "." not in name else "is taken"
                raise ValueError(f"'{name}' {what}: rename the column")
        return value

    @model_validator(mode="after")
    def _thresholds_have_slices(self) -> Evaluate:
        for threshold in self.thresholds:
            for keys in threshold.slices:
                if keys and keys not in self.slices:
                    raise ValueError(f"threshold on slice {keys}, which is not in slices")
        return self


class Push(Table):
    """Where blessed models go."""

    destination: str
    """A folder (or `s3://bucket/prefix`) that holds `<name>/<version>/`; `start` tries it out."""
    promote: Literal["auto", "manual"] = "auto"
    """Whether a run promotes its blessed and valid model, or leaves that to `mfx promote`."""
    keep: int | None = Field(None, ge=2)
    """Versions kept at the destination after a push; older ones are removed there, but can still be
    rolled back to. By default all, as TFX's Pusher does. Not 1: until servers have switched, they
    serve the version before."""
    replay_rows: int = Field(100, ge=1)
    """Raw eval rows that the model, served in a clean process, must answer as the evaluator did."""
    batch_sizes: list[Annotated[int, Field(ge=1)]] = Field([1, 8, 32, 128], min_length=1)
    """Rows in a request when they are asked for; a server's `allowed_batch_sizes`. Ascending."""
    tolerance: float = Field(1e-5, ge=0)
    """How far an answer may be from the evaluator's."""

    @field_validator("batch_sizes")
    @classmethod
    def _ascend(cls, value: list[int]) -> list[int]:
        if value != sorted(set(value)):
            raise ValueError("sizes must ascend")
        return value


class Beam(Table):
    """Where statistics, TFT's analysis and metrics are computed when not in the step's process."""

    options: list[str] = []
    """Beam's pipeline options, each `--name=value` or `--name`, the runner among them; with any,
    TFDV and TFMA run on Beam too. Empty: in the step's process, on Beam only where need be."""
    temp: str | None = None
    """A folder that this machine and all workers see; by default a temporary one on this machine,
    which is right for workers on this machine."""

    @model_validator(mode="after")
    def _names_a_runner(self) -> Beam:
        for option in self.options:
            if not option.startswith("--"):
                raise ValueError(f"options: expected '--name=value' or '--name', found {option!r}")
        if self.options and not any(o.startswith("--runner=") for o in self.options):
            raise ValueError("options: no runner among them, such as '--runner=PortableRunner'")
        if self.temp is not None and not (self.temp.startswith("/") or "://" in self.temp):
            raise ValueError(f"temp: expected an absolute path or URL, found {self.temp!r}")
        return self


class Deploy(Table):
    """How deployed runs execute, on Argo Workflows or Step Functions; `run` leaves it aside.

    Secrets are named here, never stated: this file goes into the code package.
    """

    image: str | None = None
    """Container image of every step; None is Metaflow's own default."""
    cpu: int = Field(1, ge=1)
    memory: int = Field(4096, ge=512)
    """MB of every step; `train` takes the larger of this and its own under `[train]`."""
    disk: int = Field(10240, ge=1024)
    """MB of scratch space of every step, on Kubernetes."""
    retries: int = Field(2, ge=0)
    """Further attempts of a step that failed; `train` has its own."""
    minutes_between_retries: int = Field(2, ge=0)
    timeout: int = Field(120, ge=1)
    """Minutes after which an attempt of a step is stopped."""
    timeouts: dict[str, int] = {}
    """The same by step, where it differs."""
    workflow_timeout: int | None = Field(None, ge=1)
    """Minutes after which the whole run is stopped."""
    max_workers: int = Field(20, ge=1)
    """Tasks of one run at the same time."""
    project: str = Field("mfx", pattern=r"^[a-z0-9_]+$")
    """Metaflow's `@project`: deployments of one name, branches and production apart. In a config
    the default is the pipeline's name."""
    schedule: str | None = None
    """Five fields of cron: minute, hour, day of month, month, day of week; UTC."""
    timezone: str | None = None
    """Of the schedule, such as `Europe/Paris`; Argo Workflows only."""
    trigger: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]+$")
    """The Argo event that starts a run."""
    secrets: list[str] = []
    """Secrets whose keys become environment variables of every step: names of Kubernetes secrets on
    Argo Workflows, of AWS Secrets Manager's on Step Functions."""
    environment: dict[str, str] = {}
    """Environment variables of every step; nothing secret."""
    webhook_variable: str | None = Field(None, pattern=r"^[A-Z][A-Z0-9_]*$")
    """Environment variable that holds the URL of a webhook which takes Slack's `{"text": …}`."""
    notify: list[Literal["failure", "pushed"]] = ["failure", "pushed"]
    """What is said there: a failed run (Argo Workflows only), a newly pushed model."""

    @field_validator("schedule")
    @classmethod
    def _five_fields(cls, value: str | None) -> str | None:
        fields = (value or "* * * * *").split()
        weekdays = re.findall(r"\d+", fields[-1].partition("/")[0])
        if len(fields) != 5 or any(int(day) > 7 for day in weekdays):
            raise ValueError(
                f"expected five fields of cron, such as '30 5 * * MON-FRI', found {value!r}"
            )
        return value


class Settings(Table):
    """A whole `config.toml`; relative paths in it start at `home`, the folder it lies in."""

    home: str = "."
    """From the project's folder, if it lies in it; else absolute."""
    pipeline: Pipeline
    data: Data
    schema_: Schema = Field(Schema(), alias="schema")
    label: Label
    train: Train = Train()
    evaluate: Evaluate
    push: Push
    beam: Beam = Beam()
    deploy: Deploy = Deploy()

    @model_validator(mode="before")
    @classmethod
    def _project_is_the_pipelines_name(cls, tables: Any) -> Any:
        """Or pipelines of one flow would be deployed over one another."""
        try:
            name = Pipeline.model_validate(tables["pipeline"]).name.lower().replace("-", "_")
            return {**tables, "deploy": {"project": name, **tables.get("deploy", {})}}
        except (KeyError, TypeError, ValidationError):
            return tables  # not what was asked for, which is found next

    def resolve(self, path: str) -> str:
        """`path` as this config means it: URLs as they are, the rest from `home`, absolute."""
        return path if "://" in path else os.path.normpath(Path(place_of(self.home), path))

    def kept(self, path: str) -> str:
        """A path from the current folder as it is kept: from `home` if it lies in the project, so
        that both may move; otherwise absolute. URLs and absolute paths stay."""
        if address.is_url(path) or Path(path).is_absolute():
            return path
        absolute = os.path.normpath(Path.cwd() / path)
        if code_package() or not Path(absolute).is_relative_to(project()):
            return absolute
        return self.from_home(absolute)

    def from_home(self, path: str) -> str:
        """An absolute path, from `home`."""
        return Path(os.path.relpath(path, place_of(self.home))).as_posix()

    def __reduce__(self) -> tuple[Any, ...]:
        """Equal settings are equal bytes, in every process.

        Pydantic's own pickle has a set of names, whose order is each process's own: tasks of a
        foreach would then leave settings that Metaflow cannot merge.
        """
        return from_dict, (self.to_dict(), "settings")

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `from_dict` takes back."""
        return self.model_dump(mode="json", by_alias=True)

    def override(self, **changes: Any) -> Settings:
        """A copy with `table__key=value` set where value is not None, checked again."""
        tables = self.to_dict()
        for name, value in changes.items():
            if value is not None:
                table, key = name.split("__")
                tables[table][key] = value
        return _with_addresses(from_dict(tables, where="command line"), where="command line")


def load(path: str | Path) -> Settings:
    """Read and check a `config.toml`.

    Raises:
        MfxError: The file is missing, is not TOML, or says something that no pipeline can use.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MfxError(f"{path}: cannot read the config: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise MfxError(f"{path}: not UTF-8 at byte {error.start}") from None
    return parse(text, path)


def parse(text: str, path: Path | None) -> Settings:
    """Check the text of a config, TOML or JSON; errors as `load`.

    Args:
        text: The config.
        path: The file that it was read from; None if the text itself was given: then relative paths
            start at the current folder.
    """
    where = str(path) if path else GIVEN
    home = path.resolve().parent if path else Path.cwd()
    tables = _toml_or_json(text, where)
    if "home" in tables:
        raise MfxError(f"{where}: unknown key 'home'")
    settings = from_dict({**tables, "home": kept_home(home)}, where=where)
    _with_addresses(settings, where)
    module = settings.resolve(settings.pipeline.module)
    if not Path(module).is_file():
        raise MfxError(
            f"{where}: pipeline.module: expected a file, found none at {module}",
            "" if path else f"Relative paths in it start at the current folder, {home}.",
        )
    return settings


def _toml_or_json(text: str, where: str) -> dict[str, Any]:
    # No TOML begins so; Metaflow hands a dict over as JSON.
    kind, read = ("JSON", json.loads) if text.lstrip()[:1] == "{" else ("TOML", tomllib.loads)
    try:
        return read(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise MfxError(f"{where}: not valid {kind}: {error}") from None


def from_dict(tables: dict[str, Any], where: str) -> Settings:
    """Check plain values; `where` names their origin in errors."""
    try:
        return Settings.model_validate(tables)
    except ValidationError as error:
        raise MfxError("\n".join(_line(where, e) for e in error.errors())) from None


def _with_addresses(settings: Settings, where: str) -> Settings:
    """The settings, if their addresses have a form that is known here.

    Not part of `from_dict`, by which the settings of earlier runs are read: those stay readable.
    """
    temp = settings.beam.temp
    faults = {
        "data.path": address.fault(settings.data.path, address.FILES),
        "push.destination": address.fault(settings.push.destination),
        "beam.temp": "" if temp is None else address.worker_folder_fault(temp),
    }
    if wrong := [f"{where}: {key}: {fault}" for key, fault in faults.items() if fault]:
        raise MfxError("\n".join(wrong))
    return settings


def _line(where: str, error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"] if part not in ("str", "Metric")) or "config"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key '{key}'{nearest(str(error['loc'][-1]), _keys(error['loc']))}"
    if error["type"] == "missing":
        return f"{where}: missing key '{key}'"
    if error["type"] == "value_error":
        return f"{where}: {key}: {error['msg'].removeprefix('Value error, ')}"
    expected = error["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{where}: {key}: expected {expected}, found {error['input']!r}"


def _keys(loc: tuple[Any, ...]) -> list[str]:
    """The keys that the table holding the key at `loc` knows."""
    table: type[BaseModel] = Settings
    for part in loc[:-1]:
        for name, field in table.model_fields.items():
            if part == (field.alias or name):
                table = next(_tables(field.annotation), table)
                break
    return [field.alias or name for name, field in table.model_fields.items() if name != "home"]


def _tables(kind: Any) -> Iterator[type[Table]]:
    """The tables in a field's type, however deep."""
    if isinstance(kind, type) and issubclass(kind, Table):
        yield kind
    for inner in get_args(kind):
        yield from _tables(inner)
