"""docs/reference/cli.md, made from the parsers of `mfx` and the parameters of the flow.

`make reference` writes the page; tests/docs/test_cli_page.py fails when it is out of date.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator

from helpers.flows import FLOW, ROOT
from mfx.cli import make_parser

PAGE = ROOT / "docs" / "reference" / "cli.md"
HEAD = """\
# The command line

This page is made by `make reference` from the program itself.

## The flow

`.venv/bin/python flows/pipeline.py COMMAND` is Metaflow's own command line. It works from any
folder. Its commands are `run`, `resume`, `show`, `card view STEP`, `logs`, `dump`, `spin STEP`,
`argo-workflows create`, `step-functions create` and so on; `--help` lists all. `--config config
FILE` and `--config-value config TEXT` come before the command. `run` takes Metaflow's options
(`--with kubernetes`, `--tag`, `--max-workers` …) and these:

| option | default | meaning |
|---|---|---|
"""


def _cell(text: object) -> str:
    """Text as it may stand in a table's cell."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "\\<")


def _flow_rows() -> Iterator[str]:
    """The parameters that flows/pipeline.py declares."""
    for call in ast.walk(ast.parse(FLOW.read_text())):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Parameter":
            given = {k.arg: getattr(k.value, "value", None) for k in call.keywords}
            default = "" if given["default"] is None else f"`{str(given['default']).lower()}`"
            yield f"| `--{call.args[0].value}` | {default} | {_cell(given['help'])} |"


def _written(action: argparse.Action) -> str:
    """An argument as one writes it."""
    value = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if action.choices:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    if not action.option_strings:
        return f"`{value}`" + (", optional" if action.nargs == "?" else "")
    takes = "" if action.nargs == 0 else f" {value}"
    return ", ".join(f"`{name}{takes}`" for name in action.option_strings)


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """The section of one command, and of those below it."""
    yield f"## {name}"
    if parser.description:
        yield parser.description.strip()
    actions = [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]
    below = [a for a in actions if isinstance(a, argparse._SubParsersAction)]
    own = [a for a in actions if a not in below]
    if own:
        filled = parser._get_formatter()._expand_help
        rows = [f"| {_written(a)} | {_cell(filled(a) if a.help else '')} |" for a in own]
        yield "\n".join(["| argument | meaning |", "|---|---|", *rows])
    if parser.epilog:
        example = parser.epilog.removeprefix("example: ")
        yield f"Example: `{example}`"
    for commands in below:
        for more, its in commands.choices.items():
            yield from _command(f"{name} {more}", its)


def make() -> str:
    """The whole page."""
    sections = _command("mfx", make_parser())
    return HEAD + "\n".join(_flow_rows()) + "\n\n" + "\n\n".join(sections) + "\n"


if __name__ == "__main__":
    PAGE.write_text(make())
