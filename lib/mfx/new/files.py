"""The files of a new pipeline: its flow, its config and a test."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfx.config.keys import quoted, toml
from mfx.errors import MfxError
from mfx.new.proposal import DROPPED, Proposal
from mfx.storage import address

NAME = re.compile(r"[a-z][a-z0-9_]*")

FLOW = '''"""The {name} pipeline: `python flows/{name}.py run`."""

from pipeline import HERE, Config, Pipeline, runtime


class {class_name}(Pipeline):
    config = Config("config", default=str(HERE / "{name}/config.toml"), parser=runtime.parser())


if __name__ == "__main__":
    {class_name}()
'''
TEST = '''"""The {name} pipeline fits its data."""

from pathlib import Path

from mfx import config
from mfx.flow import start

CONFIG = Path(__file__).parents[1] / "flows" / "{name}" / "config.toml"


def test_features_and_label_fit_the_columns():
    settings = config.load(CONFIG)
    sources = start.resolve(settings)
    start.check_label(settings, sources)
    start.check_features(settings, sources)
'''


def check(name: str, project: Path) -> None:
    """Check that a pipeline of this name can be made, before any data is read.

    Raises:
        MfxError: The name does not do, one of its files exists, or there is no `flows/pipeline.py`.
    """
    if not NAME.fullmatch(name):
        raise MfxError(
            f"mfx new: {name!r} is no name for a pipeline",
            "Expected a small letter, then small letters, digits and '_': it names a Python file.",
        )
    if not (project / "flows" / "pipeline.py").is_file():
        raise MfxError(
            f"{project / 'flows' / 'pipeline.py'}: no such file",
            "Call mfx new in a project that has it: the new pipeline takes its steps from there.",
        )
    for path in _paths(name, project):
        if path.exists() or (path.parent.name == name and path.parent.exists()):
            raise MfxError(
                f"{path}: exists already", "Choose another name, or remove what is there."
            )


def write(name: str, where: str, proposal: Proposal, project: Path) -> list[Path]:
    """Write all files of a pipeline, or none.

    Args:
        name: The pipeline's.
        where: Its data, as the user gave it.
        proposal: What the config says.
        project: The project's folder.

    Raises:
        MfxError: See `check`.
    """
    check(name, project)
    given = {"name": name, "class_name": _class_name(name)}
    flow, config, test = _paths(name, project)
    texts = {
        config: render(name, data_path(where, config.parent, project), proposal),
        flow: FLOW.format(**given),
        test: TEST.format(**given),
    }
    try:
        config.parent.mkdir()
        test.parent.mkdir(exist_ok=True)
        for path, text in texts.items():
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError:
        shutil.rmtree(config.parent, ignore_errors=True)
        for path in (flow, test):
            path.unlink(missing_ok=True)
        raise
    return [flow, config, test]


def _paths(name: str, project: Path) -> tuple[Path, Path, Path]:
    flows = project / "flows"
    return flows / f"{name}.py", flows / name / "config.toml", project / "tests" / f"test_{name}.py"


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def data_path(where: str, home: Path, project: Path) -> str:
    """A path of the command line as the config says it: within the project relative to `home`."""
    if address.is_url(where):
        return where
    absolute = Path(os.path.normpath(Path.cwd() / where))
    if absolute.is_relative_to(project):
        return Path(os.path.relpath(absolute, home)).as_posix()
    return str(absolute)


def render(name: str, path: str, proposal: Proposal) -> str:
    """The config's text."""
    tables = [
        _heading(proposal),
        _table("pipeline", {"name": name}),
        _data(path, proposal),
        _label(proposal),
        _features(proposal),
        _train(proposal.training),
        _evaluate(proposal),
        _table("push", {"destination": "../../pushed"}),
    ]
    return "\n".join(tables)


def _table(title: str, values: Mapping[str, Any]) -> str:
    return f"[{title}]\n" + "".join(f"{key} = {toml(one)}\n" for key, one in values.items())


def _heading(proposal: Proposal) -> str:
    sample = proposal.sample
    rows = f"{sample.table.num_rows:,} rows"
    seen = rows if sample.whole else f"a sample of {rows} of about {sample.about:,}"
    return (
        f"# Proposed by `mfx new` from {seen}. Change what you know better.\n"
        "# All keys: docs/reference/config.md. Relative paths start at this folder.\n"
    )


def _data(path: str, proposal: Proposal) -> str:
    split: dict[str, Any] = {"train": 4, "eval": 1}
    lines = ""
    if proposal.key:
        split["key"] = proposal.key
        lines = f"# Rows with the same {proposal.key[0]!r} stay together, in train or in eval.\n"
    text = f"[data]\npath = {toml(path)}\n{lines}split = {toml(split)}\n"
    if nulls := proposal.sample.null_values:
        columns = {name: ["", *words] for name, words in nulls.items()}
        text += '# Texts that mean "missing".\n'
        text += f"null_values = {toml({'columns': columns})}\n"
    return text


def _label(proposal: Proposal) -> str:
    asked = proposal.problem
    values: dict[str, Any] = {"name": proposal.label, "columns": [asked.column], "kind": asked.kind}
    # A sample may lack a class, so then the graph finds them in the train split.
    if asked.classes and (proposal.sample.whole or asked.kind == "binary"):
        values["classes"] = asked.classes
    if asked.above is not None:
        values["above"] = {"value": asked.above}
    why = f"# {asked.chosen.capitalize()}; {asked.why}."
    text = _table("label", values).replace("]\n", f"]\n{why}\n", 1)
    if asked.drop:
        text += f'# {DROPPED.format(asked.drop).capitalize()}.\nmissing = "drop"\n'
    return text


def _features(proposal: Proposal) -> str:
    lines = ["[features]"]
    for one in proposal.treatments:
        if not one.features:
            lines.append(f"# {one.column!r} is left out: {one.why}")
            continue
        if one.warning:
            lines.append(f"# LOOK AT THIS, {one.warning}. If it is not known before, remove it.")
        first, *others = [f"{quoted(name)} = {toml(value)}" for name, value in one.features.items()]
        lines += [f"{first}  # {one.why}", *others]
    return "\n".join(lines) + "\n"


def _train(training: Mapping[str, Any]) -> str:
    given = {key: value for key, value in training.items() if value or value == 0}
    return _table("train", given)


def _evaluate(proposal: Proposal) -> str:
    text = _table("evaluate", {"slices": [[name] for name in proposal.slices]})
    for metric, (bound, value) in proposal.problem.bars.items():
        text += (
            "\n# What a trivial answer reaches. Raise the bar once you know your model.\n"
            f"[[evaluate.thresholds]]\nmetric = {toml(metric)}\n{bound} = {value:.4g}\n"
        )
    return text
