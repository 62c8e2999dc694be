"""Where the text of a config came from, which Metaflow does not tell its parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_paths: dict[tuple[str, bool], Path] = {}
"""Files that Metaflow read for the command line that it looks at, by text and whether it is the
default of a `Config`."""
_values: set[str] = set()
"""Texts that were given themselves."""


def watch() -> None:
    """Have Metaflow's options note which files they read (looked at: 2.19)."""
    from metaflow.exception import MetaflowException
    from metaflow.user_configs import config_options
    from metaflow.user_configs.config_options import ConfigInput, ConvertPath

    if hasattr(ConvertPath, "_mfx_read"):
        return
    prefix, converted = config_options._CONVERT_PREFIX, ConvertPath.convert_value
    process = ConfigInput.process_configs

    def convert_value(value: str | None, is_default: bool) -> str | None:
        try:
            text = converted(value, is_default)
        except UnicodeDecodeError as error:
            raise MetaflowException(f"{value}: not UTF-8 at byte {error.start}") from None
        if value is not None and text is not None:
            marks = prefix + (config_options._DEFAULT_PREFIX if is_default else "")
            _paths[text.removeprefix(marks), is_default] = Path(value).absolute()
        return text

    def process_configs(
        self: Any, flow_name: str, param_name: str, given: Any, *rest: Any, **more: Any
    ) -> Any:
        if param_name == "config_value":
            texts = (text.removeprefix(prefix) for text in given.values() if text)
            _values.update(t for t in texts if not t.startswith(config_options._DEFAULT_PREFIX))
        try:
            return process(self, flow_name, param_name, given, *rest, **more)
        finally:
            # It is called for both options, and parses when it has both.
            if self._path_values is not None and self._value_values is not None:
                _paths.clear()
                _values.clear()

    ConvertPath._mfx_read = True
    ConvertPath.convert_value = staticmethod(convert_value)
    ConfigInput.process_configs = process_configs


def path_of(text: str) -> Path | None:
    """The file that a config's text was read from; None if the text itself was given."""
    if text in _values:
        return None
    return _paths.get((text, False)) or _paths.get((text, True))
