"""Turn errors in the user's `model.py` into one message that names the line."""

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
"""If this environment variable is set, errors of the user's code keep their whole traceback."""
MOST_NAMES = 60
_OURS = Path(__file__).parents[1]
_CERTAIN = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError),
    *(NotImplementedError, SyntaxError, TypeError, ValueError),
)
_CERTAIN_OF_TENSORFLOW = {"InvalidArgumentError", "FailedPreconditionError", "UnimplementedError"}
"""TensorFlow's errors that come again however often a step is tried."""
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
"""How TensorFlow's errors say in which line an operation was created."""
_END = re.compile(r"(Call arguments|Arguments) received by|Batch instances:|Stack trace")


@contextmanager
def running(
    path: str | Path, what: str, names: Iterable[str] = (), about: str = ""
) -> Iterator[None]:
    """A context that turns an error of the user's code into one message.

    Errors that may not come again in another attempt, such as too little memory, are left as they
    are. So are all errors if `MFX_TRACEBACK` is set in the environment.

    Args:
        path: The user's file. Files in the same folder are the user's too.
        what: What runs, such as `preprocessing_fn`.
        names: Names that exist, to suggest one for a `KeyError`.
        about: What the code was given; shown below the message.

    Raises:
        MfxError: The user's code failed. The message has the file, line, function, the line's text
            and the error.
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
            f"Set {WHOLE}=1 in the environment to see the whole traceback.",
        ) from error


def listed(title: str, types: Mapping[str, Any]) -> str:
    """A list such as `Columns: fare float32, company bytes`, with at most MOST_NAMES entries."""
    shown = [
        f"{name!r} {kind}" if re.search(r"^\s|\s$|,", name) else f"{name} {kind}"
        for name, kind in islice(types.items(), MOST_NAMES)
    ]
    more = len(types) - len(shown)
    return f"{title}: {', '.join(shown) or 'none'}" + (f" and {more} more" if more > 0 else "")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, and the errors that caused it."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _frames(error: Exception, path: Path) -> list[traceback.FrameSummary]:
    """The frames in the user's own files. The last one is where it failed."""
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
    """The error's text, without what TensorFlow, Keras and Beam add to it."""
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
