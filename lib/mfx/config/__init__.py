"""A pipeline's `config.toml`: its tables, read and checked; each mistake is one line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator

from mfx.config import messages
from mfx.config.data import (
    OUTSIDE,
    SPANS,
    Above,
    Data,
    Label,
    LabelRows,
    NullValues,
    Reading,
    Schema,
)
from mfx.config.features import AnyFeature
from mfx.config.running import Beam, Deploy, Push
from mfx.config.spans import has_places
from mfx.config.split import Split
from mfx.config.table import Placed, Spelled, Table
from mfx.config.training import METRICS, RESULTS, Evaluate, Metric, Threshold, Train
from mfx.environment import code_package, folder_of, kept_home, project
from mfx.errors import MfxError
from mfx.storage import address

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "Above",
    "AnyFeature",
    "Beam",
    "Data",
    "Deploy",
    "Evaluate",
    "Label",
    "LabelRows",
    "Metric",
    "NullValues",
    "Pipeline",
    "Push",
    "RESULTS",
    "Reading",
    "Schema",
    "Settings",
    "Split",
    "Threshold",
    "Train",
    "from_dict",
    "load",
    "parse",
]

KEPT = "settings"
"""How errors name a config that a run kept."""
GIVEN = "the config given as text"
"""How errors name a config that was not read from a file."""

PipelineName = Annotated[
    str, AfterValidator(Spelled("[A-Za-z0-9_-]+", "letters, digits, '-' and '_'"))
]


class Pipeline(Table):
    """Which pipeline this is."""

    name: PipelineName = Field(examples=["taxi"])
    """The pipeline's name. Its models are pushed to a folder of this name, and `mfx --pipeline`
    takes it."""
    module: str | None = Field("model.py", examples=["network.py"])
    """The Python file with `preprocessing_fn` and `build_model`. A relative path starts at the
    config's folder. With `[features]` it has no `preprocessing_fn`."""


class Settings(Placed):
    """A whole `config.toml`. `from_dict` makes it again from what `to_dict` returns."""

    pipeline: Pipeline
    data: Data
    schema_: Schema = Field(Schema(), alias="schema")
    label: Label
    features: dict[str, AnyFeature] = Field({}, examples=[{"fare": "zscore"}])
    """Features that the config declares, instead of a `preprocessing_fn`
    ([how-to](../how-to/declared-features.md)): a line each, with the feature's name and its kind,
    or a table where there is more to say, such as
    `company = { kind = "vocabulary", top_k = 200 }`."""
    train: Train = Train()
    evaluate: Evaluate
    push: Push
    beam: Beam = Beam()
    deploy: Deploy = Deploy()

    @model_validator(mode="before")
    @classmethod
    def _project_is_the_pipelines_name(cls, tables: Any) -> Any:
        """The default of `deploy.project`: with one name for all pipelines, deploying one would
        overwrite another."""
        try:
            name = Pipeline.model_validate(tables["pipeline"]).name.lower().replace("-", "_")
            return {**tables, "deploy": {"project": name, **tables.get("deploy", {})}}
        except (KeyError, TypeError, ValidationError):
            return tables  # something is wrong with it, and the checks of the fields say what

    @model_validator(mode="before")
    @classmethod
    def _metrics_fit_the_labels_kind(cls, tables: Any) -> Any:
        """The defaults of `evaluate.metrics` and of what selects by them."""
        try:
            chosen = METRICS[tables["label"]["kind"]]
            given = tables.get("evaluate", {})
            return tables if "metrics" in given else {**tables, "evaluate": {**chosen, **given}}
        except (KeyError, TypeError):
            return tables  # as above

    def kept(self, path: str) -> str:
        """How a path given on the command line is kept.

        A relative path starts at the current folder. If it lies in the project, it is kept relative
        to `home`, so that the project can be moved; otherwise it becomes absolute. URLs and
        absolute paths stay as they are.
        """
        if address.is_absolute(path):
            return path
        absolute = os.path.normpath(Path.cwd() / path)
        if code_package() or not Path(absolute).is_relative_to(project()):
            return absolute
        return self.from_home(absolute)

    def from_home(self, path: str) -> str:
        """An absolute path as a path relative to `home`."""
        return Path(os.path.relpath(path, folder_of(self.home))).as_posix()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle equal settings to equal bytes in every process.

        Pydantic's own pickle holds a set of names, whose order differs from process to process. The
        tasks of a foreach would leave different bytes, which Metaflow cannot merge.
        """
        return from_dict, (self.to_dict(), KEPT)

    def override(self, **changes: Any) -> Settings:
        """A checked copy with other values.

        Args:
            changes: The new values, as `table__key=value`; None keeps the old one.

        Raises:
            MfxError: A value does not fit.
        """
        tables = self.to_dict()
        for name, value in changes.items():
            if value is not None:
                table, key = name.split("__")
                tables[table][key] = value
        if changes.get("data__path") is not None:  # Files instead of what the config reads.
            tables["data"] |= dict.fromkeys((*OUTSIDE, "connection", "shard_by"))
            if not any(map(has_places, _listed(changes["data__path"]))):
                for key in SPANS:  # They are about the spans of the files that the config reads.
                    if changes.get(f"data__{key}") is None:
                        del tables["data"][key]
            if self.data.folder:  # Another folder of the same kind.
                key, folder = self.data.folder
                given = folder.model_dump(mode="json") | {"path": changes["data__path"]}
                tables["data"] |= {"path": None, key: given}
        return _with_addresses(from_dict(tables, where="command line"), where="command line")


def load(path: str | Path) -> Settings:
    """Read and check a `config.toml`.

    Raises:
        MfxError: The file is missing or not TOML; a key is unknown or missing; a value does not
            fit; or there is no such `pipeline.module`.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MfxError(f"{path}: cannot read the config: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise MfxError(
            f"{path}: not UTF-8 at byte {error.start}", "Save the file as UTF-8."
        ) from None
    return parse(text, path)


def parse(text: str, path: Path | None) -> Settings:
    """Check the text of a config.

    Args:
        text: The config, TOML or JSON.
        path: The file that it was read from, where relative paths start. None if the text itself
            was given; relative paths then start at the current folder.

    Raises:
        MfxError: As `load`.
    """
    where = str(path) if path else GIVEN
    home = path.resolve().parent if path else Path.cwd()
    tables = _toml_or_json(text, where)
    if "home" in tables:
        raise MfxError(f"{where}: unknown key 'home'", messages.see([]))
    settings = from_dict({**tables, "home": kept_home(home)}, where=where)
    _with_addresses(settings, where)
    if settings.features and settings.label.kind is None:
        raise MfxError(
            f"{where}: missing key 'label.kind': expected how the label is made, as [features] "
            "declares the features",
            messages.see(["label.kind"]),
        )
    if settings.label.above and not settings.features:
        raise MfxError(
            f"{where}: label.above: only with [features]; otherwise preprocessing_fn makes the "
            "label",
            messages.see(["label.above"]),
        )
    return _with_module(settings, where, "" if path else str(home))


def _with_module(settings: Settings, where: str, start: str) -> Settings:
    """The settings, with no module if the file is not there and nothing needs it.

    Args:
        settings: The settings.
        where: Where they are from, for errors.
        start: The folder that relative paths start at, if errors should say it.

    Raises:
        MfxError: There is no such file, and it is needed or named.
    """
    pipeline = settings.pipeline
    module = settings.resolve(pipeline.module) if pipeline.module else ""
    if not module or Path(module).is_file():
        return settings
    if settings.features and "module" not in pipeline.model_fields_set:
        bare = pipeline.model_copy(update={"module": None})
        return settings.model_copy(update={"pipeline": bare})
    said = f"Relative paths in it start at the current folder, {start}.\n" if start else ""
    raise MfxError(
        f"{where}: pipeline.module: expected a file, found none at {module}",
        said + messages.see(["pipeline.module"]),
    )


def _toml_or_json(text: str, where: str) -> dict[str, Any]:
    # Metaflow passes a dict on as JSON, and no TOML begins with a brace.
    kind, read = ("JSON", json.loads) if text.lstrip()[:1] == "{" else ("TOML", tomllib.loads)
    try:
        return read(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise MfxError(f"{where}: not valid {kind}: {error}") from None


def from_dict(tables: dict[str, Any], where: str) -> Settings:
    """Check plain values.

    Args:
        tables: The config, by tables and keys.
        where: Where it is from, for errors.

    Raises:
        MfxError: A key is unknown or missing, or a value does not fit.
    """
    try:
        return Settings.model_validate(_as_now(tables) if where == KEPT else tables)
    except ValidationError as error:
        raise messages.of(error, where, Settings) from None


def _as_now(tables: dict[str, Any]) -> dict[str, Any]:
    """The settings of an earlier run, by today's keys."""
    data = dict(tables["data"])
    if data.pop("ragged_rows", "stop") == "reject":
        data["tolerate"] = 0.999999  # Of rows with too many or too few cells, any number.
    return {**tables, "data": data}


def _with_addresses(settings: Settings, where: str) -> Settings:
    """The settings as they are, if their addresses have a known form; otherwise an error.

    `from_dict` does not check this: it also reads the settings of earlier runs, which must stay
    readable.
    """
    temp = settings.beam.temp
    faults = {
        **{
            key: next(filter(None, map(_file_fault, paths)), "")
            for key, paths in settings.data.addresses.items()
        },
        "push.destination": address.fault(settings.push.destination),
        "beam.temp": "" if temp is None else address.worker_folder_fault(temp),
    }
    wrong = {key: f"{where}: {key}: {fault}" for key, fault in faults.items() if fault}
    if wrong:
        raise MfxError("\n".join(wrong.values()), messages.see(wrong))
    return settings


def _listed(paths: str | list[str]) -> list[str]:
    return [paths] if isinstance(paths, str) else paths


def _file_fault(path: str) -> str:
    return address.fault(path, address.FILES)
