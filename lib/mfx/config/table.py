"""What all tables of a config share."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from mfx.environment import folder_of


class Table(BaseModel):
    """A table of the config: no unknown keys, no conversions of types, read-only once checked.

    The reference and `mfx config` show the text below each field and the field's `examples`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Placed(Table):
    """Tables of one config. Relative paths in them start at `home`, the config's folder."""

    home: str = "."
    """Relative to the project's folder if it lies in the project, otherwise absolute."""

    def resolve(self, path: str) -> str:
        """A path of this config as an absolute path; a URL stays as it is."""
        return path if "://" in path else os.path.normpath(Path(folder_of(self.home), path))

    def to_dict(self) -> dict[str, Any]:
        """The config as plain values, by the names that `config.toml` uses."""
        return self.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class Spelled:
    """A check that a text has a certain form: `Annotated[str, AfterValidator(Spelled(…))]`.

    Args:
        pattern: A regular expression that the whole text must match.
        words: The same in words, to follow "text of".
    """

    pattern: str
    words: str

    def __call__(self, value: str) -> str:
        """Return the text unchanged.

        Raises:
            ValueError: It does not have the form.
        """
        if not re.fullmatch(self.pattern, value):
            raise ValueError(f"expected text of {self.words}")
        return value


VariableName = Annotated[
    str,
    AfterValidator(Spelled("[A-Z][A-Z0-9_]*", "capital letters, digits and '_', a letter first")),
]
