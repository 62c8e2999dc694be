"""What all tables of a config have in common."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from mfx.environment import folder_of


class Table(BaseModel):
    """A table of the config: no unknown keys, no silent conversions, read-only once checked.

    The text below a field is its description. It and the field's `examples` are what the reference
    and `mfx config` show.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Placed(Table):
    """Tables of one config; relative paths in them start at `home`, the folder it lies in."""

    home: str = "."
    """From the project's folder, if it lies in it; else absolute."""

    def resolve(self, path: str) -> str:
        """`path` as this config means it: URLs as they are, the rest from `home`, absolute."""
        return path if "://" in path else os.path.normpath(Path(folder_of(self.home), path))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, by the names that the config gives them."""
        return self.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class Spelled:
    """Text of one form, as `Annotated[str, AfterValidator(Spelled(…))]`.

    Args:
        pattern: The form, as a regular expression for the whole text.
        words: The same in words, which follow "text of".
    """

    pattern: str
    words: str

    def __call__(self, value: str) -> str:
        """The text as it is.

        Raises:
            ValueError: It has another form.
        """
        if not re.fullmatch(self.pattern, value):
            raise ValueError(f"expected text of {self.words}")
        return value
