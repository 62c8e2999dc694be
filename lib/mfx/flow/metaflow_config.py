"""Where the text of a config came from, which Metaflow does not tell its parser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfx.artifacts import _private

_paths: dict[tuple[str, bool], Path] = {}
"""Files that Metaflow read for the command line that it looks at, by text and whether it is the
default of a `Config`."""
_values: set[str] = set()
"""Texts that were given themselves."""


def note_files() -> None:
    """Have Metaflow's options note which files they read."""
    _private.around_config_files(_noting_paths, _noting_values)


def _noting_paths(converted: Callable[[str | None, bool], str | None]) -> Callable[..., str | None]:
    from metaflow.exception import MetaflowException

    def convert_value(value: str | None, is_default: bool) -> str | None:
        try:
            text = converted(value, is_default)
        except UnicodeDecodeError as error:
            raise MetaflowException(f"{value}: not UTF-8 at byte {error.start}") from None
        if value is not None and text is not None:
            always, default = _private.config_marks()
            marks = always + (default if is_default else "")
            _paths[text.removeprefix(marks), is_default] = Path(value).absolute()
        return text

    return convert_value


def _noting_values(process: Callable[..., Any]) -> Callable[..., Any]:
    def process_configs(
        self: Any, flow_name: str, param_name: str, given: Any, *rest: Any, **more: Any
    ) -> Any:
        if param_name == "config_value":
            always, default = _private.config_marks()
            texts = (text.removeprefix(always) for text in given.values() if text)
            _values.update(text for text in texts if not text.startswith(default))
        try:
            return process(self, flow_name, param_name, given, *rest, **more)
        finally:
            # It is called for both options, and parses when it has both.
            if _private.is_config_complete(self):
                _paths.clear()
                _values.clear()

    return process_configs


def path_of(text: str) -> Path | None:
    """The file that a config's text was read from; None if the text itself was given."""
    if text in _values:
        return None
    return _paths.get((text, False)) or _paths.get((text, True))
