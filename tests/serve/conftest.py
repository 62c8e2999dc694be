"""What tests of serving share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mfx import cli


@pytest.fixture
def refused(capsys) -> Callable[..., str]:
    """Calls `mfx serve`, which must end with an error; its message. TensorFlow is in this process
    already, and takes seconds in one of its own."""

    def call(*arguments: str) -> str:
        try:
            code = cli.main(["serve", *arguments])
        except SystemExit as error:  # from argparse
            code = error.code
        said = capsys.readouterr().err
        assert code in (1, 2) and "Traceback" not in said
        return said

    return call
