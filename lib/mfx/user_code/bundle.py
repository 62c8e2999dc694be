"""Find the project's files that a pipeline's module needs, by reading them without running them.

Imports anywhere in a file are followed, and calls of `import_module` with a literal name. A name is
looked up in the module's folder first, then as Python does. Only files of the project are taken:
nothing of this library, of Python or of installed packages. If a name is not literal, all Python
files below the module's folder are taken. If a text in the code is the name of a file beside it,
such as "words.txt", that file is taken too.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from mfx import environment
from mfx.artifacts.lineage import hash_bytes
from mfx.errors import MfxError

LIBRARY = Path(__file__).resolve().parents[1]
_INSTALLED = {"site-packages", "dist-packages"}
_IMPORTERS = {"import_module", "__import__"}


@dataclass(frozen=True)
class Source:
    """One module.

    Args:
        path: The module's file; for a package without `__init__.py`, its folder.
        code: The file's content.
        package: Whether it is a package.
    """

    path: str
    code: bytes
    package: bool


@dataclass(frozen=True)
class Bundle:
    """A pipeline's module, and all files of the project that it needs.

    Args:
        name: The pipeline's name.
        main: The name of the pipeline's module in `modules`.
        modules: The modules, by the name under which they are imported.
        data: Paths of other files that the code names.
    """

    name: str
    main: str
    modules: dict[str, Source]
    data: tuple[str, ...] = ()

    @cached_property
    def package(self) -> str:
        """The name of the package into which the modules are loaded. It depends on their code."""
        parts = (p for n in sorted(self.modules) for p in (n.encode(), self.modules[n].code))
        return f"mfx_pipeline_{self.name.replace('-', '_')}_{hash_bytes(*parts)[:8]}"

    @property
    def folder(self) -> Path:
        """The folder of the pipeline's module."""
        return Path(self.modules[self.main].path).parent

    def files(self) -> dict[str, Path]:
        """All files by name: their path below the module's folder, else below the project's."""
        paths = [Path(s.path) for s in self.modules.values() if s.code or Path(s.path).is_file()]
        return {self._name(path): path for path in [*paths, *map(Path, self.data)]}

    def elsewhere(self) -> Iterator[tuple[str, str]]:
        """Yield the modules outside the module's folder.

        Each with its path, and its path relative to the folder in which Python looks for it.
        """
        for name, source in self.modules.items():
            path = Path(source.path)
            if path.is_file() and not path.is_relative_to(self.folder):
                below = name.replace(".", "/")
                yield source.path, f"{below}/__init__.py" if source.package else f"{below}.py"

    def _name(self, path: Path) -> str:
        if path.is_relative_to(self.folder):
            return path.relative_to(self.folder).as_posix()
        below = _below(path, environment.project()) or path.name
        # A Metaflow code package has the files of the flow's folder, without the folder itself.
        return f"flows/{below}" if environment.code_package() else str(below)


def collect(module: Path, name: str) -> Bundle:
    """Find all files that a pipeline needs.

    Args:
        module: The file of the pipeline's module.
        name: The pipeline's name.

    Raises:
        MfxError: A file cannot be read, or is not Python.
    """
    found = _Search(module.resolve())
    found.run()
    return Bundle(name, module.stem, found.modules, tuple(sorted(found.data)))


class _Search:
    """Follows imports, breadth first."""

    def __init__(self, module: Path) -> None:
        self._module, self._folder = module, module.parent
        self.modules: dict[str, Source] = {}
        self.data: set[str] = set()
        self._left: list[tuple[str, Path, bool]] = [(module.stem, module, False)]

    def run(self) -> None:
        importlib.invalidate_caches()
        while self._left:
            name, path, package = self._left.pop(0)
            if name in self.modules:
                continue
            code = _read(path) if path.is_file() else b""
            self.modules[name] = Source(str(path), code, package)
            if code:
                self._follow(name, path, package, _parse(path, code))

    def _follow(self, name: str, path: Path, package: bool, tree: ast.Module) -> None:
        above = name if package else name.rpartition(".")[0]
        for wanted in imports(tree, above):
            if wanted is None:
                self._take_all()
            elif wanted.endswith(".*"):
                self._take_all_of(wanted.removesuffix(".*"))
            else:
                self._take(wanted)
        texts = {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        for file in _named(texts, {path.parent, self._folder}):
            if file.suffix == ".py" and (dotted := _dotted(file, self._folder)):
                self._take(dotted)
            self.data.add(str(file))

    def _take(self, wanted: str) -> bool:
        """Take a module by its name, with the packages above it.

        Returns:
            Whether the module belongs to the project.
        """
        name = ""
        locations: list[str] | None = None
        for part in wanted.split("."):
            name = f"{name}.{part}" if name else part
            spec = self._spec(name, locations)
            if spec is None or not self._is_ours(spec):
                return False
            locations = list(spec.submodule_search_locations or ()) or None
            self._left.append((name, _place(spec), locations is not None))
            if locations is None:
                return name == wanted
        return True

    def _spec(self, name: str, locations: list[str] | None) -> ModuleSpec | None:
        if "." in name:
            return PathFinder.find_spec(name, locations) if locations else None
        if name in sys.stdlib_module_names:
            return None
        beside = PathFinder.find_spec(name, [str(self._folder)])
        if beside and beside.has_location:
            return beside
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):  # For example, `__main__` has no spec.
            found = None
        # As in Python, a folder without `__init__.py` is used only if nothing else is found.
        return found or beside

    def _is_ours(self, spec: ModuleSpec) -> bool:
        if not (spec.has_location or spec.submodule_search_locations):
            return False  # It is built into Python.
        place = _place(spec)
        if place.resolve().is_relative_to(LIBRARY) or (spec.has_location and place.suffix != ".py"):
            return False
        return any(_below(place, top) for top in (self._folder, environment.project()))

    def _take_all(self) -> None:
        for path in _python_files(self._folder):
            if name := _dotted(path, self._folder):
                self._take(name)

    def _take_all_of(self, name: str) -> None:
        """Take all modules of a package: `from package import *` may import any of them."""
        if self._take(name) and (places := [p for n, p, is_p in self._left if n == name and is_p]):
            folder = places[0] if places[0].is_dir() else places[0].parent
            for path in folder.glob("*.py"):
                self._take(f"{name}.{path.stem}")


def _place(spec: ModuleSpec) -> Path:
    """A module's file; for a package without `__init__.py`, its folder."""
    if spec.has_location:
        return Path(spec.origin or "")
    return Path(next(iter(spec.submodule_search_locations or ())))


def _below(path: Path, top: Path) -> Path | None:
    """The path relative to `top`; None if it is not below it, is hidden, or is installed there."""
    for place in (path.absolute(), path.resolve()):
        if place.is_relative_to(top):
            below = place.relative_to(top)
            hidden = any(part.startswith(".") or part in _INSTALLED for part in below.parts)
            return None if hidden else below
    return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MfxError(f"{path}: cannot be read: {error.strerror}") from None


def _parse(path: Path, code: bytes) -> ast.Module:
    try:
        tree = ast.parse(code, str(path))
        compile(tree, str(path), "exec", dont_inherit=True)  # Finds errors that parsing does not.
        return tree
    except SyntaxError as error:
        where = f"{path}, line {error.lineno}" if error.lineno else str(path)
        text = f"\n    {error.text.strip()}" if error.text else ""
        raise MfxError(
            f"{where}: SyntaxError: {error.msg}{text}", "The pipeline needs this file: fix it."
        ) from None
    except ValueError as error:
        raise MfxError(f"{path}: not valid Python: {error}") from None


def imports(tree: ast.Module, above: str) -> Iterator[str | None]:
    """Yield the absolute names that a file imports; None for a name that is not literal.

    Args:
        tree: The parsed file.
        above: The package that the file is in; empty if it is in none.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node.level, node.module or "", above)
            if base:
                yield base
            for alias in node.names:
                yield f"{base}.{alias.name}".lstrip(".")
        elif isinstance(node, ast.Call) and _called(node.func) in _IMPORTERS and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                dots = len(first.value) - len(first.value.lstrip("."))
                yield _absolute(dots, first.value[dots:], above)
            else:
                yield None


def _absolute(level: int, name: str, above: str) -> str:
    if not level:
        return name
    parts = above.split(".") if above else []
    return ".".join([*parts[: len(parts) - level + 1], *([name] if name else [])])


def _called(function: ast.expr) -> str:
    return str(getattr(function, "attr", "") or getattr(function, "id", ""))


def _named(texts: set[str], folders: set[Path]) -> Iterator[Path]:
    """Yield files in these folders that the texts name.

    One text may name a folder and another one a file in it.
    """
    likely = {
        t for t in texts if t.strip(" ./") and len(t) < 256 and "\n" not in t and "\0" not in t
    }
    places = folders | {f / t for f in folders for t in likely if (f / t).is_dir()}
    for place in places:
        for text in likely:
            path = Path(place, text)
            if path.is_file() and any(path.resolve().is_relative_to(f) for f in folders):
                yield path.resolve()


def _python_files(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("*.py")) if _below(path, folder))


def _dotted(path: Path, folder: Path) -> str | None:
    """The name under which a file below `folder` is imported; None if there is none."""
    if not path.is_relative_to(folder):
        return None
    parts = path.relative_to(folder).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts) if parts and all(p.isidentifier() for p in parts) else None
