"""What a step keeps of each span, for later runs whose window has the same span.

An entry is a payload, found by a key: a hash of the span's rows, the step's code, versions of
libraries, and what else the step says. So an entry is used only if it would be made the same again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import NamedTuple

from mfx.artifacts.examples import Examples
from mfx.artifacts.lineage import hash_json
from mfx.artifacts.spans import Span, in_words
from mfx.artifacts.store import Payload, save
from mfx.errors import MfxError

LIBRARIES = (
    *("apache-beam", "numpy", "protobuf", "pyarrow", "tensorflow", "tensorflow-data-validation"),
    *("tensorflow-transform", "tfx-bsl"),
)
"""Libraries whose versions may change what is kept."""


@dataclass(frozen=True)
class Kept:
    """One entry.

    Args:
        span: The span.
        rows: The digest of its rows.
        key: A hash of all that it was made from.
        payload: Its files.
    """

    span: Span
    rows: str
    key: str
    payload: Payload


class Found(NamedTuple):
    """What an earlier run kept.

    Attributes:
        run: The run's id.
        kept: Its entries.
    """

    run: str
    kept: tuple[Kept, ...]


@dataclass
class SpanCache:
    """The entries of earlier runs, and those of this one.

    Args:
        step: The step's name, for reports.
        code: A hash of the step's code, and of the config that it reads.
        earlier: What earlier runs kept, the newest first.
        report: Called with one line for each finding.
        kept: The entries of this run so far; those it took over, and those it made.
    """

    step: str
    code: str
    earlier: tuple[Found, ...]
    report: Callable[[str], object]
    kept: list[Kept] = field(default_factory=list)

    def fill(
        self,
        parts: Mapping[str, Examples],
        more: object,
        make: Callable[[Mapping[str, Examples], Path], None],
        check: Callable[[Path], object],
        root: Path,
    ) -> None:
        """Put each span's entry into a folder of its own; those that there are not yet are made.

        Args:
            parts: The examples of each span, by the name of its folder.
            more: What else the entries are made from; as JSON it counts for the key.
            make: Makes the entries of some spans, in their folders below the given one, which it
                creates.
            check: Called with the folder of an entry of an earlier run; raises an exception if it
                cannot be read. The entry is made again then, and a line says so.
            root: Gets the folders.
        """
        keys = {name: self._key(part, more) for name, part in parts.items()}
        taken = {name: t for name in parts if (t := self._take(keys[name], root / name, check))}
        missing = {name: part for name, part in parts.items() if name not in taken}
        self._say(parts, taken, missing)
        if missing:
            make(missing, root)
        for name, part in parts.items():
            found = taken.get(name)
            payload = found[1].payload if found else save(root / name)
            self.kept.append(Kept(part.spans[0].span, part.digest, keys[name], payload))

    def _key(self, part: Examples, more: object) -> str:
        versions = {name: version(name) for name in LIBRARIES}
        return hash_json([self.code, part.digest, more, python_version(), versions])

    def _take(
        self, key: str, folder: Path, check: Callable[[Path], object]
    ) -> tuple[str, Kept] | None:
        """The newest entry with this key that can be read, with its run; its files are in the
        folder then."""
        for found in self.earlier:
            for kept in found.kept:
                if kept.key != key:
                    continue
                try:
                    with tempfile.TemporaryDirectory(prefix="mfx-") as directory:
                        check(kept.payload.save_to(directory))
                    kept.payload.save_to(folder)
                    return found.run, kept
                except Exception as error:
                    why = error.what if isinstance(error, MfxError) else repr(error)
                    self.report(
                        f"{self.step}: what run {found.run} kept of span {kept.span} cannot be "
                        f"read: {why}"
                    )
        return None

    def _say(
        self,
        parts: Mapping[str, Examples],
        taken: Mapping[str, tuple[str, Kept]],
        missing: Mapping[str, Examples],
    ) -> None:
        by_run: dict[str, list[Span]] = {}
        for name, (run, _) in taken.items():
            by_run.setdefault(run, []).append(parts[name].spans[0].span)
        for run, spans in by_run.items():
            self.report(f"{self.step}: reused from run {run}: spans {in_words(spans)}")
        before = {k.span.number: (run, k) for run, all_kept in self.earlier[::-1] for k in all_kept}
        for part in missing.values():
            span = part.spans[0].span
            run, kept = before.get(span.number, ("", None))
            if kept is None:
                line = "is new"
            elif kept.rows != part.digest:
                line = f"has changed since run {run}"
            else:
                line = f"is made again: the code, the config or a library changed since run {run}"
            self.report(f"{self.step}: span {span} {line}")
