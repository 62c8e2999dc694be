"""Find the file from which a config's text was read: Metaflow does not tell its parser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfx.artifacts import _private

_paths: dict[tuple[str, bool], Path] = {}
"""Files that Metaflow read for the present command line, by their text and whether the file is the
default of a `Config`."""
_values: set[str] = set()
"""Config texts that were given directly, not as a file."""


def note_files() -> None:
    """Make Metaflow's options note which files they read."""
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
            # This is called once for each of the two options; the second call parses.
            if _private.is_config_complete(self):
                _paths.clear()
                _values.clear()

    return process_configs


def path_of(text: str) -> Path | None:
    """The file from which a config's text was read; None if the text was given directly."""
    if text in _values:
        return None
    return _paths.get((text, False)) or _paths.get((text, True))
