"""The code of a run: its files and its Git commit, which are saved with the run."""

from __future__ import annotations

import ast
import subprocess
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from mfx import __version__, plugins
from mfx.artifacts import Code, store
from mfx.artifacts.lineage import hash_code, hash_file
from mfx.config import Settings
from mfx.config.step import Reads, Step
from mfx.user_code import loading, source
from mfx.user_code.bundle import LIBRARY, imports

ARCHIVE = "code.zip"
PLUGINS = "mfx.plugins"
LARGE = 2**20
"""Of files with more bytes than this, only the size and the hash are saved."""


def files(settings: Settings) -> dict[str, Path]:
    """All files of code on which a run depends, by name.

    These are this library's Python files (below `mfx/`), the pipeline's module and own source, and
    the files of the project that they need.

    Raises:
        MfxError: A file cannot be read, or is not Python.
    """
    library = {_name(path): path for path in LIBRARY.rglob("*.py")}
    return library | source_files(settings) | loading.find(settings).files()


def source_files(settings: Settings) -> dict[str, Path]:
    """The files of the user's own source (`source` under `[data]`); none without one.

    Raises:
        MfxError: A file cannot be read, or is not Python.
    """
    given = settings.data.source
    return source.find(settings.resolve(given)).files() if given else {}


def code_hash(step: Step, settings: Reads) -> str:
    """A hash of the code on which a step's result depends, with the names of files.

    The code has three parts:

    - this library's modules that the step's module imports, directly or not;
    - other packages that add members to a registry which these modules use, such as sources;
    - the pipeline's files, and the modules of this library that they import. This part counts only
      if the step reads `[pipeline]`: otherwise it cannot use the pipeline's files.

    Args:
        step: The step.
        settings: The part of the config that the step reads.

    Raises:
        MfxError: One of the pipeline's files cannot be read, or is not Python.
    """
    start = type(step).__module__
    if "pipeline" not in type(settings).model_fields:
        return hash_code(_with_added(modules(start)))
    pipeline = loading.find(settings)  # type: ignore[arg-type]
    sources = (source.code for source in pipeline.modules.values())
    used = {name for code in sources for name in imports(ast.parse(code), "") if name}
    return hash_code(_with_added(modules(start, *used)) | pipeline.files())


def modules(*start: str) -> dict[str, Path]:
    """All modules of this library that some modules and their functions may import.

    They are found by reading the files, without running them. The packages that contain a module
    count too. A package with a registry (`mfx.plugins`) may import any module in it by name.

    Args:
        start: Dotted names of modules. Names outside of this library are ignored.

    Returns:
        The modules' files, by name.
    """
    found: dict[str, Path] = {}
    # `mfx/__init__.py` has the version, but a release alone must not change any key.
    left, seen = list(start), {LIBRARY.name}
    while left:
        name = left.pop()
        if name in seen or not (path := _file(name)):
            continue
        seen.add(name)
        found[_name(path)] = path
        above = name.rpartition(".")[0]
        tree = _Executed().visit(ast.parse(path.read_bytes()))
        package = name if path.name == "__init__.py" else above
        wanted = [one for one in imports(tree, package) if one]
        left += [above, *wanted]
        if package == name and PLUGINS in wanted:
            left += [f"{name}.{beside.stem}" for beside in path.parent.glob("*.py")]
    return found


def _with_added(found: dict[str, Path]) -> dict[str, Path]:
    """Add the Python files of other packages that add members to a registry used by these modules.

    Nothing is imported.
    """
    added: dict[str, Path] = {}
    for group, own in plugins.OWN.items():
        if not any(_file(value.partition(":")[0]) in found.values() for value in own.values()):
            continue
        for entry in plugins.others(group):
            added |= _package_files(entry.module.partition(".")[0])
    return added | found


def _package_files(name: str) -> dict[str, Path]:
    """All Python files of a top-level package or module.

    It is empty if there is no such package: the code that needs it will say so.
    """
    spec = find_spec(name)
    if spec is None:
        return {}
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if not folders:
        return {f"{name}.py": Path(spec.origin)} if spec.origin else {}
    return {
        f"{name}/{path.relative_to(folder).as_posix()}": path
        for folder in folders
        for path in folder.rglob("*.py")
    }


class _Executed(ast.NodeTransformer):
    """Removes imports that are only for type checkers."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse or ast.Pass()
        return self.generic_visit(node)


def _file(module: str) -> Path | None:
    """The file of a module of this library; None for any other name."""
    top, *inner = module.split(".")
    place = LIBRARY.joinpath(*inner)
    likely = (place / "__init__.py", place.with_suffix(".py")) if top == LIBRARY.name else ()
    return next((path for path in likely if path.is_file()), None)


def _name(path: Path) -> str:
    return f"mfx/{path.relative_to(LIBRARY).as_posix()}"


def save(settings: Settings) -> Code:
    """Save the library's and the pipeline's files in the running flow's datastore."""
    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
        _archive(files(settings), Path(directory, ARCHIVE))
        module = settings.pipeline.module
        folder = settings.resolve(str(Path(module).parent) if module else ".")
        return Code(*_commit(Path(folder)), store.save(directory), __version__)


def _archive(files: dict[str, Path], target: Path) -> None:
    """Write a zip file that is equal for equal code: without times, sorted by name."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)
            archive.writestr(entry, _content(files[name]), zipfile.ZIP_DEFLATED)


def _content(path: Path) -> bytes:
    """A file's bytes; for a large file its size and hash, as text."""
    if path.stat().st_size <= LARGE:
        return path.read_bytes()
    return f"{path.stat().st_size} bytes with the SHA-256 {hash_file(path)}\n".encode()


def _commit(folder: Path) -> tuple[str, bool]:
    """The Git commit, and whether there are uncommitted changes.

    A task on a remote machine has no repository. There, Metaflow's code package has the commit.
    """
    from metaflow.meta_files import read_info_file

    info = read_info_file() or {}
    if info.get("commit_sha"):
        return info["commit_sha"], bool(info.get("has_uncommitted_changes"))
    commit = _git(folder, "rev-parse", "HEAD")
    return commit, bool(commit and _git(folder, "status", "--porcelain", "--", ":/"))


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except OSError:  # Git is not installed.
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
