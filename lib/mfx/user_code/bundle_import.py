"""Import a bundle's modules from the bytes that were read, in a separate package per bundle.

So exactly the code that was hashed is run; two pipelines can have helper modules with the same
name; and a process without the files, such as a Beam worker, can run the same code.
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
    """Load the pipeline's module; its code is run again even if it was loaded before."""
    for finder in [f for f in sys.meta_path if isinstance(f, _Finder)]:
        if finder.bundle.package == bundle.package:
            sys.meta_path.remove(finder)
    inside = f"{bundle.package}."
    for name in [n for n in sys.modules if n == bundle.package or n.startswith(inside)]:
        del sys.modules[name]
    # It comes first, since the other finders do not know these names.
    sys.meta_path.insert(0, _Finder(bundle))
    return importlib.import_module(inside + bundle.main)


def bundle_of(module: ModuleType) -> Bundle:
    """The bundle from which a module was loaded."""
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
    """Runs a module's bytes. It keeps no compiled file, which might be out of date.

    It also gives AutoGraph the source code of functions, since there may be no file.
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
        # The import statement calls `__import__` from the module's own builtins.
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
