"""Calls into the user's `model.py`: what fails there is one message that names the line."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from mfx.errors import MfxError, nearest

WHOLE = "MFX_TRACEBACK"
"""With this environment variable set, errors of the user's code keep their whole traceback."""
MOST_NAMES = 60
_OURS = Path(__file__).parents[1]
_CERTAIN = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError),
    *(NotImplementedError, SyntaxError, TypeError, ValueError),
)
_CERTAIN_OF_TENSORFLOW = {"InvalidArgumentError", "FailedPreconditionError", "UnimplementedError"}
"""Errors that come back however often a step is tried."""
_PASSING = (MemoryError, ConnectionError, TimeoutError)
_PASSING_OF_TENSORFLOW = {
    *("AbortedError", "CancelledError", "DeadlineExceededError", "InternalError"),
    *("ResourceExhaustedError", "UnavailableError", "UnknownError"),
}
_NOISE = re.compile(
    r"Exception encountered when calling|Graph execution error|Detected at node|"
    r"<stack traces unavailable>|^File \"|\[\[\{\{|An error occurred while trying to apply"
)
_FRAME = re.compile(r'File "(.+?)", line (\d+), in (\S+)')
"""TensorFlow says in its errors where an operation was made."""
_END = re.compile(r"(Call arguments|Arguments) received by|Batch instances:|Stack trace")


@contextmanager
def running(
    path: str | Path, what: str, names: Iterable[str] = (), about: str = ""
) -> Iterator[None]:
    """Turn an error of the user's code into one message.

    Errors that another attempt may not meet, such as memory that ran out, are left as they are; so
    is everything with `MFX_TRACEBACK` in the environment.

    Args:
        path: The user's file; files beside it are the user's too.
        what: What runs, such as `preprocessing_fn`.
        names: Names that a `KeyError` may have meant.
        about: What the code was given, shown below the message.

    Raises:
        MfxError: Where it failed (file, line, function, the line's text) and how.
    """
    try:
        yield
    except MfxError:
        raise
    except Exception as error:
        if os.environ.get(WHOLE):
            raise
        frames = _frames(error, Path(path))
        if not _is_theirs(error, bool(frames)):
            raise
        lines = [f"{_place(error, frames, path, what)}: {_said(error, list(names))}"]
        lines += [f"    {frame.line}" for frame in frames[-1:]]
        lines += [
            f"called from {_place_of(frame)}: {frame.line}" for frame in reversed(frames[-4:-1])
        ]
        raise MfxError(
            "\n".join([*lines, *([about] if about else [])]),
            f"{WHOLE}=1 in the environment shows the whole traceback.",
        ) from error


def listed(title: str, types: Mapping[str, Any]) -> str:
    """`Columns: fare float32, company bytes, …`, at most MOST_NAMES of them."""
    shown = [
        f"{name!r} {kind}" if re.search(r"^\s|\s$|,", name) else f"{name} {kind}"
        for name, kind in islice(types.items(), MOST_NAMES)
    ]
    more = len(types) - len(shown)
    return f"{title}: {', '.join(shown) or 'none'}" + (f" and {more} more" if more > 0 else "")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it came from."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _frames(error: Exception, path: Path) -> list[traceback.FrameSummary]:
    """The user's own frames, the one that failed last."""
    for cause in _chain(error):
        found = [
            frame
            for frame in traceback.extract_tb(cause.__traceback__)
            if _is_users(frame.filename, path)
        ]
        found = found or [
            traceback.FrameSummary(file, int(line), name)
            for file, line, name in _FRAME.findall(str(cause))
            if _is_users(file, path)
        ]
        if found:
            return found
    return []


def _is_users(file: str, path: Path) -> bool:
    parents = Path(file).parents
    return path.parent in parents and _OURS not in parents and "site-packages" not in file


def _is_theirs(error: Exception, has_frame: bool) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, _PASSING) or names & _PASSING_OF_TENSORFLOW:
        return False
    return has_frame or isinstance(error, _CERTAIN) or bool(names & _CERTAIN_OF_TENSORFLOW)


def _place(
    error: Exception, frames: list[traceback.FrameSummary], path: str | Path, what: str
) -> str:
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{error.filename}, line {error.lineno}"
    return _place_of(frames[-1]) if frames else f"{path}: {what}"


def _place_of(frame: traceback.FrameSummary) -> str:
    inside = "" if frame.name == "<module>" else f", in {frame.name}"
    return f"{frame.filename}, line {frame.lineno}{inside}"


def _said(error: Exception, names: list[str]) -> str:
    """The error without what TensorFlow, Keras and Beam put around it."""
    kind = type(error).__name__
    if isinstance(error, KeyError) and error.args:
        return f"{kind}: {error.args[0]!r}{nearest(str(error.args[0]), names)}"
    if isinstance(error, SyntaxError):
        return f"{kind}: {error.msg}\n    {(error.text or '').strip()}".rstrip()
    text = re.sub(r"\x1b\[[0-9;]*m| \[while running .*\]|\s*\[Op:.*\]", "", str(error))
    text = _END.split(text)[0]
    kept = [line.strip()[:400] for line in text.splitlines() if line.strip()]
    kept = [line for line in kept if not _NOISE.search(line)] or kept[:1]
    node = re.search(r"Detected at node (\S+)", text)
    return f"{kind}: " + "\n    ".join(kept[:6]) + (f" (in {node[1]})" if node else "")
