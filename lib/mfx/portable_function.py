"""A function of a user's file that pickles with its source, for workers that lack the file."""

from __future__ import annotations

import importlib.util
import sys
from functools import lru_cache
from importlib.abc import SourceLoader
from pathlib import Path
from types import ModuleType
from typing import Any


class PortableFunction:
    """Calls `module.name`, also in a process that has not got the module's file.

    Args:
        module: A module loaded from one file that imports only what workers have installed.
        name: The function's name in it.
        source: The file's content; read from the file by default.
    """

    def __init__(self, module: ModuleType, name: str, source: bytes | None = None) -> None:
        path = str(module.__file__)
        source = Path(path).read_bytes() if source is None else source
        self._function = getattr(module, name)
        self._parts = (module.__name__, path, source, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple:
        return _rebuild, self._parts


class _Loader(SourceLoader):
    """Gives AutoGraph, which reads a function's source again, what is not in a file."""

    def __init__(self, path: str, source: bytes) -> None:
        self._path = path
        self._source = source

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_data(self, path: str) -> bytes:
        return self._source


def _rebuild(module: str, path: str, source: bytes, name: str) -> PortableFunction:
    return PortableFunction(_module(module, path, source), name, source)


@lru_cache(maxsize=8)
def _module(name: str, path: str, source: bytes) -> ModuleType:
    loader = _Loader(path, source)
    spec = importlib.util.spec_from_loader(name, loader, origin=path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = path
    sys.modules[name] = module
    loader.exec_module(module)
    return module
