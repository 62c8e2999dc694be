"""A function that is pickled together with its source code, for workers without the file."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from mfx.user_code import bundle_import
from mfx.user_code.bundle import Bundle


class PortableFunction:
    """Calls a function of a pipeline's module, even in a process without the project's files.

    Args:
        module: A pipeline's module, as `loading.load` returns it.
        name: The function's name in the module.
    """

    def __init__(self, module: ModuleType, name: str) -> None:
        self._function = getattr(module, name)
        self._parts = (bundle_import.bundle_of(module), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple:
        return _rebuild, self._parts


_loaded: dict[str, ModuleType] = {}


def _rebuild(bundle: Bundle, name: str) -> PortableFunction:
    if bundle.package not in _loaded:
        _loaded[bundle.package] = bundle_import.load(bundle)
    return PortableFunction(_loaded[bundle.package], name)
