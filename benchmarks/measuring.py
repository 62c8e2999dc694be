"""Run a command and measure it: seconds, memory and CPU time, by step of a flow."""

from __future__ import annotations

import datetime
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

STAMP = re.compile(
    r"^(\S+ \S+) \[\d+/(\w+)/(\d+) \(pid \d+\)\] Task (is starting|finished successfully)\.",
    re.MULTILINE,
)
"""Metaflow's lines on a task: time, step, task, what of it."""
_TICKS = os.sysconf("SC_CLK_TCK")


class Measured(NamedTuple):
    """What a command took.

    Args:
        output: Its standard output.
        seconds: The wall time.
        memory: The peak resident MB of the largest process, by step ("" for the whole command).
        cpu: CPU seconds of all processes, by step ("" for the whole command).
    """

    output: str
    seconds: float
    memory: dict[str, float]
    cpu: dict[str, float]


class Process(NamedTuple):
    """What a process took so far: step, process id, peak resident MB, CPU seconds."""

    step: str
    pid: int
    memory: float
    cpu: float


def measure(command: list, until: str = "", **environment: str) -> Measured:
    """Run a command; look every tenth of a second at what its processes take.

    Args:
        command: Its words.
        until: The step of a flow after which the command is killed; by default it ends by itself.
        environment: Variables for it.
    """
    begin = time.perf_counter()
    text: dict[str, Any] = {"mode": "w+", "encoding": "utf-8", "errors": "replace"}
    with tempfile.TemporaryFile(**text) as output, tempfile.TemporaryFile(**text) as errors:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=output,
            stderr=errors,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        peaks: dict[str, float] = {}
        cpu: dict[tuple[str, int], float] = {}
        enough = False
        try:
            while process.poll() is None and not enough:
                for seen in processes(process.pid):
                    for name in {"", seen.step}:
                        peaks[name] = max(peaks.get(name, 0.0), seen.memory)
                        cpu[name, seen.pid] = seen.cpu
                time.sleep(0.1)
                enough = bool(until) and until in _finished(output)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        seconds = time.perf_counter() - begin
        said = _read(output)
        if process.returncode and not enough:
            sys.exit(f"{command[1]} failed:\n{said[-3000:]}\n{_read(errors)[-3000:]}")
    totals: dict[str, float] = {}
    for (name, _), used in cpu.items():
        totals[name] = totals.get(name, 0.0) + used
    return Measured(said, seconds, peaks, totals)


def step_seconds(output: str) -> dict[str, float]:
    """Seconds from the start of each step's first task to the end of its last, as Metaflow says."""
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}
    for at, step, _, what in STAMP.findall(output):
        now = datetime.datetime.fromisoformat(at).timestamp()
        if what == "is starting":
            begun.setdefault(step, now)
        else:
            ended[step] = now
    return {step: end - begun[step] for step, end in ended.items()}


def tasks(output: str, step: str) -> int:
    """How many tasks of a step have begun."""
    return len({task for _, name, task, _ in STAMP.findall(output) if name == step})


def _read(file: Any) -> str:
    # By another file object: the position of this one is the one at which the process writes.
    return Path(f"/proc/self/fd/{file.fileno()}").read_text(encoding="utf-8", errors="replace")


def _finished(file: Any) -> set[str]:
    return {step for _, step, _, what in STAMP.findall(_read(file)) if what != "is starting"}


def processes(pid: int, step: str = "") -> Iterator[Process]:
    """A process and all processes that it started, each with the step that it is for."""
    here = Path("/proc", str(pid))
    try:
        words = (here / "cmdline").read_text(encoding="utf-8").split("\0")
        if "step" in words:
            step = words[words.index("step") + 1]
        peak = re.search(r"VmHWM:\s+(\d+)", (here / "status").read_text(encoding="utf-8"))
        # After the name, which may have spaces, come state, parent and so on; see proc(5).
        fields = (here / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        children = [
            p
            for t in (here / "task").iterdir()
            for p in (t / "children").read_text(encoding="utf-8").split()
        ]
    except OSError:
        return  # The process has ended meanwhile.
    used = (int(fields[11]) + int(fields[12])) / _TICKS
    yield Process(step, pid, int(peak[1]) / 1024 if peak else 0.0, used)
    for child in children:
        yield from processes(int(child), step)
