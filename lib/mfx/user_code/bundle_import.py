"""Import a bundle's modules under a package of its own, from the bytes that were read.

So what runs is what was hashed, two pipelines with helpers of one name do not get each other's, and
a process that lacks the files, such as a Beam worker's, runs the same code.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

from mfx.user_code.bundle import Bundle, Source


def load(bundle: Bundle) -> ModuleType:
    """The pipeline's module, executed anew."""
    for finder in [f for f in sys.meta_path if isinstance(f, _Finder)]:
        if finder.bundle.package == bundle.package:
            sys.meta_path.remove(finder)
    inside = f"{bundle.package}."
    for name in [n for n in sys.modules if n == bundle.package or n.startswith(inside)]:
        del sys.modules[name]
    # Before the others, which know nothing of such names.
    sys.meta_path.insert(0, _Finder(bundle))
    return importlib.import_module(inside + bundle.main)


def bundle_of(module: ModuleType) -> Bundle:
    """The bundle that a loaded module came from."""
    loader: Any = module.__loader__
    return loader.bundle


class _Finder(MetaPathFinder):
    """Finds the modules of one bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, dot, name = fullname.partition(".")
        if package != self.bundle.package:
            return None
        if not dot:
            return ModuleSpec(package, None, is_package=True)
        source = self.bundle.modules.get(name)
        if source is None:
            raise ModuleNotFoundError(
                f"No module named '{name}' among the pipeline's files", name=fullname
            )
        loader = _Loader(self.bundle, source)
        return spec_from_loader(fullname, loader, origin=source.path, is_package=source.package)


class _Loader(SourceLoader):
    """Executes a module's bytes; keeps no compiled file, whose age might be mistaken.

    Also gives AutoGraph, which reads a function's source again, what is not in a file.
    """

    def __init__(self, bundle: Bundle, source: Source) -> None:
        self.bundle = bundle
        self._source = source

    def get_filename(self, fullname: str) -> str:
        return self._source.path

    def get_data(self, path: str) -> bytes:
        return self._source.code

    def is_package(self, fullname: str) -> bool:
        return self._source.package

    def exec_module(self, module: ModuleType) -> None:
        # The import statement calls what the module's own builtins say.
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": self._import}
        super().exec_module(module)

    def _import(
        self,
        name: str,
        globals: Any = None,
        locals: Any = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        ours = top in self.bundle.modules and top not in sys.stdlib_module_names
        if level or not ours:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        inside = f"{self.bundle.package}."
        if fromlist:
            return builtins.__import__(inside + name, globals, locals, fromlist, 0)
        importlib.import_module(inside + name)
        return sys.modules[inside + top]
