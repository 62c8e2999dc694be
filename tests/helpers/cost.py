"""CPU seconds of each test, its processes included: MFX_TEST_COST=FILE makes pytest append them.

Summed by file: `python tests/helpers/cost.py FILE`. Seconds of a busy machine's clock say little.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest


def cpu() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Cost:
    """A pytest plugin that writes one line for each test, and one for what comes before them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.begun = False

    def write(self, name: str, seconds: float, clock: float = 0.0) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps([name, round(seconds, 3), round(clock, 3)]) + "\n")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        if not self.begun:
            self.begun = True
            self.write("(imports)", cpu())
        before, clock = cpu(), time.monotonic()
        try:
            return (yield)
        finally:
            self.write(item.nodeid, cpu() - before, time.monotonic() - clock)


def main() -> None:
    """Print the files of a cost file, the dearest first."""
    files: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0])
    for line in Path(sys.argv[1]).read_text().splitlines():
        name, seconds, clock = json.loads(line)
        file = files[name.partition("::")[0]]
        file[0] += seconds
        file[1] += clock
        file[2] += 1
    for name, (seconds, clock, count) in sorted(files.items(), key=lambda one: -one[1][0]):
        sys.stdout.write(f"{seconds:8.1f} {clock:8.1f} {count:5d}  {name}\n")
    sys.stdout.write(f"{sum(one[0] for one in files.values()):8.1f}  all\n")


if __name__ == "__main__":
    main()
