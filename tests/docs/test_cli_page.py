"""The page on the command line says what the program says."""

from __future__ import annotations

import re

from helpers import cli_page
from helpers.flows import call_flow


def test_the_page_is_current():
    assert cli_page.PAGE.read_text() == cli_page.make(), "out of date; `make reference` writes it"


def test_every_parameter_of_the_flow_is_there(tmp_path):
    """As Metaflow lists them, so that none is declared in a way that the page overlooks."""
    shown = call_flow(tmp_path, "run", "--help").output
    ours = {row.split("`")[1] for row in cli_page._flow_rows()}
    assert {"--data", "--from-run"} <= ours <= set(re.findall(r"--[\w-]+", shown))
