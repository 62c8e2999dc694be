"""Runs' summaries, read in the background: what one run came to takes 10 ms and more to read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Condition, Lock, Thread

from mfx.registry.runs import Results, RunSummary
from mfx.registry.states import FINISHED

READERS = 6
"""Most runs read at a time. One reader is the fastest on a disk, where reading takes CPU; more
begin where it mostly waits, for a service or a distant datastore."""
WAITS = 3
"""Reading mostly waits where it takes so many times the CPU's time."""
CHANGING_SECONDS = 3.0
"""How long what was read of a run holds that has not finished."""
PROBLEM_SECONDS = 30.0
"""How long a page is told why runs could not be read."""
STOP_SECONDS = 3.0
"""Longest wait for what is being read when the page ends."""
_SAVED_EACH = 25
"""Finished runs that are read between two writes to the disk."""
_NEVER, _ALWAYS = float("-inf"), float("inf")


class Reader:
    """Reads summaries, and knows those that were read.

    Args:
        read: Reads one.
        save: Keeps those of a flow's finished runs for other processes.
    """

    def __init__(
        self,
        read: Callable[[Results], RunSummary],
        save: Callable[[str, Sequence[RunSummary]], None],
    ) -> None:
        self._read_one = read
        self._save = save
        self._changed = Condition()
        self._saving = Lock()
        self._threads: list[Thread] = []
        self._known: dict[str, tuple[RunSummary, float]] = {}
        self._wanted: list[Results] = []
        self._reading: set[str] = set()
        self._unsaved: list[RunSummary] = []
        self._stopped = False
        self._problem: tuple[Exception, float] | None = None

    def add(self, flow: str, kept: dict[str, RunSummary]) -> None:
        """Take over what is kept of a flow's finished runs, by id."""
        with self._changed:
            self._known |= {f"{flow}/{run}": (summary, _ALWAYS) for run, summary in kept.items()}

    def ask(
        self, found: Sequence[Results], first: Sequence[Results], wait: float
    ) -> dict[str, RunSummary]:
        """What is known of runs by pathspec; what is not, or may have changed, is read from now on.

        Args:
            found: The runs, in the order to read them in.
            first: Those to wait for.
            wait: Seconds to wait at most.

        Raises:
            MfxError: Runs could not be read.
        """
        until = time.monotonic() + wait
        with self._changed:
            self._raise_problem()
            self._wanted = [one for one in found if not self._holds(one) and not self._at_it(one)]
            if not self._threads:
                self._start()
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._problem or all(map(self._holds, first)),
                max(0.0, until - time.monotonic()),
            )
            self._raise_problem()
            names = (one.run.pathspec for one in found)
            return {name: self._known[name][0] for name in names if name in self._known}

    def stop(self) -> None:
        """Read no more runs; what is being read is waited for, but not for long."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _holds(self, one: Results) -> bool:
        _, until = self._known.get(one.run.pathspec, (None, _NEVER))
        return time.monotonic() < until

    def _at_it(self, one: Results) -> bool:
        return one.run.pathspec in self._reading

    def _raise_problem(self) -> None:
        problem, self._problem = self._problem, None
        if problem and time.monotonic() - problem[1] < PROBLEM_SECONDS:
            raise problem[0]

    def _start(self) -> None:
        """Begin a further reader, if there is anything for it to do."""
        if self._wanted and not self._stopped and len(self._threads) < READERS:
            self._threads.append(Thread(target=self._work, daemon=True))
            self._threads[-1].start()

    def _work(self) -> None:
        """What each thread does until `stop`."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._stopped)
                if self._stopped:
                    return
                one = self._wanted.pop(0)
                self._reading.add(one.run.pathspec)
            began, cpu = time.monotonic(), time.thread_time()
            try:
                summary = self._read_one(one)
            except Exception as error:  # said on the next page
                with self._changed:
                    self._problem, self._wanted = (error, time.monotonic()), []
                    self._reading.discard(one.run.pathspec)
                    self._changed.notify_all()
                continue
            self._note(one, summary)
            if time.monotonic() - began > WAITS * (time.thread_time() - cpu):
                with self._changed:
                    self._start()

    def _note(self, one: Results, summary: RunSummary) -> None:
        finished = summary.state == FINISHED and not summary.unreadable
        with self._changed:
            until = _ALWAYS if finished else time.monotonic() + CHANGING_SECONDS
            self._known[one.run.pathspec] = summary, until
            self._reading.discard(one.run.pathspec)
            self._unsaved += [summary] * finished
            saved: list[RunSummary] = []
            if len(self._unsaved) >= _SAVED_EACH or not self._wanted:
                saved, self._unsaved = self._unsaved, []
            self._changed.notify_all()
        with self._saving:
            for flow in {one.flow for one in saved}:
                self._save(flow, [one for one in saved if one.flow == flow])
