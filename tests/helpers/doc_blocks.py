"""Code blocks of a page: found, run in a project as they stand, their output compared.

A `sh` block is run by bash in the project's folder, a `python` block in one interpreter per page,
and a block with a title is written to the file that the title names. A `text` block shows what the
block before it prints. In it `…` stands for any text within a line, and a line that is nothing but
`…` for any number of lines. A comment right above a block says more:

    <!-- test: long -->                  run by `make test-docs` only, as it takes minutes
    <!-- test: server -->                started, kept running until the page ends
    <!-- test: fails -->                 its exit code must not be 0
    <!-- test: not run, as REASON -->    not run
    <!-- test: example -->               a `text` block that shows no output of the block before it
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

FENCE = re.compile(r"( *)```(\w*)(?: title=\"([^\"]+)\")?(.*)")
MARK = re.compile(r"<!-- test: (long|server|fails|example|long, fails|not run, as [^>]+) -->")
SHOWS = "text"
STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ (\[[^]]+\] )?", re.M)
"""What Metaflow puts before each line that a task prints."""


@dataclass(frozen=True)
class Block:
    """One code block.

    Args:
        page: The page's file.
        line: Where it begins.
        language: Its language; empty if the page says none.
        text: What it holds.
        title: The file that it shall be written to; empty for none.
        mark: What the comment above it says.
        shown: The text that it must print; None if the page shows none.
    """

    page: Path
    line: int
    language: str
    text: str
    title: str = ""
    mark: str = ""
    shown: str | None = None

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page.name}, line {self.line}"

    @property
    def long(self) -> bool:
        """Whether it takes minutes."""
        return "long" in self.mark


def blocks(page: Path) -> list[Block]:
    """A page's blocks, each with what it shows."""
    found: list[Block] = []
    for block in _fenced(page):
        if block.language != SHOWS or block.mark == "example":
            found.append(block)
        elif not found or found[-1].shown is not None or found[-1].title:
            raise AssertionError(f"{block.where}: shows output of no block; `example` says so")
        else:
            found[-1] = replace(found[-1], shown=block.text)
    return found


def _fenced(page: Path) -> Iterator[Block]:
    lines = page.read_text().splitlines()
    at = 0
    while at < len(lines):
        if not (opened := FENCE.fullmatch(lines[at])):
            at += 1
            continue
        indent, language, title, rest = opened.groups()
        if rest:
            raise AssertionError(f"{page.name}, line {at + 1}: unknown words after ```: {rest}")
        end = next(n for n in range(at + 1, len(lines)) if lines[n].strip() == "```")
        text = "".join(f"{line.removeprefix(indent)}\n" for line in lines[at + 1 : end])
        before = lines[at - 1].strip() if at else ""
        if not (above := MARK.fullmatch(before)) and before.startswith("<!--"):
            raise AssertionError(f"{page.name}, line {at}: unknown mark {before}")
        yield Block(page, at + 1, language, text, title or "", above[1] if above else "")
        at = end + 1


def matches(shown: str, printed: str) -> bool:
    """Whether a program printed what is shown; `…` stands for what may differ."""
    lines, text = (
        "\n".join(re.sub(r"[ \t]+", " ", line).rstrip() for line in given.strip("\n").splitlines())
        for given in (shown, printed)
    )
    parts = [
        r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*?") + r"\n"
        for line in lines.splitlines()
    ]
    return re.fullmatch("".join(parts), text + "\n" if text else "") is not None


INTERPRETER = """
import contextlib, io, json, sys, traceback
space = {"__name__": "__main__"}
for line in sys.stdin:
    printed, failed = io.StringIO(), ""
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(json.loads(line), "<page>", "exec"), space)
        except BaseException:
            failed = traceback.format_exc()
    print(json.dumps([printed.getvalue(), failed]), flush=True)
"""


@dataclass
class Reader:
    """Somebody who follows a page, in a project's folder."""

    project: Path
    environment: dict[str, str]
    servers: list[subprocess.Popen] = field(default_factory=list)
    interpreter: subprocess.Popen | None = None

    def follow(self, todo: Iterable[Block]) -> None:
        """Do what the blocks say, one after another."""
        try:
            for block in todo:
                self._do(block)
        finally:
            self._stop()

    def _do(self, block: Block) -> None:
        if block.mark.startswith("not run") or block.mark == "example":
            return
        if block.title:
            file = self.project / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
            return
        does = {"sh": self._shell, "python": self._python}
        if block.language not in does:
            raise AssertionError(f"{block.where}: nobody knows how to run {block.language!r}")
        outputs = self._serve(block) if block.mark == "server" else does[block.language](block)
        if block.shown is not None and not any(matches(block.shown, text) for text in outputs):
            printed = "\n--- or ---\n".join(filter(None, outputs))
            raise AssertionError(
                f"{block.where} shows\n{block.shown}\nbut this is printed\n{printed}"
            )

    def _shell(self, block: Block) -> list[str]:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", block.text],
            cwd=self.project,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if (done.returncode != 0) != ("fails" in block.mark):
            said = done.stdout + done.stderr
            raise AssertionError(
                f"{block.where}: exit code {done.returncode}\n{block.text}\n{said}"
            )
        return [STAMP.sub("", text) for text in (done.stdout, done.stderr)]

    def _python(self, block: Block) -> list[str]:
        import json

        if self.interpreter is None:
            self.interpreter = subprocess.Popen(
                [self.project / ".venv/bin/python", "-c", INTERPRETER],
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        assert self.interpreter.stdin and self.interpreter.stdout
        self.interpreter.stdin.write(json.dumps(block.text) + "\n")
        self.interpreter.stdin.flush()
        printed, failed = json.loads(self.interpreter.stdout.readline())
        if bool(failed) != ("fails" in block.mark):
            raise AssertionError(f"{block.where}: {failed or 'does not fail'}\n{block.text}")
        return [printed, *failed.splitlines()[-1:]]

    def _serve(self, block: Block) -> list[str]:
        """Start a server and wait until it has printed all that is shown, at most two minutes."""
        log = self.project / f"server-{len(self.servers)}.log"
        with log.open("w") as file:
            started = subprocess.Popen(
                ["bash", "-c", f"exec {block.text}"],
                cwd=self.project,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.servers.append(started)
        for _ in range(240):
            printed = STAMP.sub("", log.read_text())
            if started.poll() is not None or matches(block.shown or "…", printed):
                break
            time.sleep(0.5)
        return [printed]

    def _stop(self) -> None:
        for server in self.servers:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait(60)
        if self.interpreter:
            self.interpreter.kill()
            self.interpreter.wait()


def world(**more: str) -> dict[str, str]:
    """The environment of a new user: where programs and the network are, and little else."""
    kept = ("PATH", "LANG", "LC_ALL", "TERM", "TMPDIR", "USER", "METAFLOW_USER", "TZ", "no_proxy")
    network = {
        name
        for name in os.environ
        if name.startswith(("PIP_", "UV_", "SSL_")) or name.lower().endswith("_proxy")
    }
    ours = str(Path(sys.prefix) / "bin")
    path = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if p != ours)
    return {n: os.environ[n] for n in {*kept, *network} if n in os.environ} | {"PATH": path} | more
