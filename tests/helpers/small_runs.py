"""Runs of a flow that takes no time, in a datastore of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from helpers.flows import ROOT


@dataclass(frozen=True)
class SmallRuns:
    """Runs of `small_flow.py` in a datastore of their own."""

    store: Path
    config: Path

    def make(self, *arguments: str, before: tuple[str, ...] = (), **environment: str) -> str:
        """A run's id, whether it finishes or not; `before` are options that come before `run`."""
        file = self.store / "run-id"
        subprocess.run(
            [
                *(sys.executable, str(Path(__file__).parent / "small_flow.py"), *before, "run"),
                *("--config", str(self.config), "--run-id-file", str(file), *arguments),
            ],
            env={
                **os.environ,
                "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(self.store),
                "PYTHONPATH": os.pathsep.join(
                    [str(ROOT / "lib"), os.environ.get("PYTHONPATH", "")]
                ),
                **environment,
            },
            capture_output=True,
            check=False,
        )
        return file.read_text()

    def look(self) -> None:
        """Let Metaflow's client, in this process, see these runs and no others."""
        from metaflow import default_namespace, metadata

        os.environ["METAFLOW_DATASTORE_SYSROOT_LOCAL"] = str(self.store)
        metadata(f"local@{self.store}")
        default_namespace()

    def retarget(self, destination: str) -> None:
        """Have runs made from now on push there."""
        text = self.config.read_text()
        changed = re.sub(r'destination = ".*"', f'destination = "{destination}"', text)
        self.config.write_text(changed)


SMALL_CONFIG = """
[pipeline]
name = "small"
[data]
path = "day-*.csv"
[label]
name = "label"
columns = ["y"]
[evaluate]
metrics = ["ExampleCount", "AUC"]
select = "auc"
[push]
destination = "pushed"
"""


def small_runs_in(folder: Path) -> SmallRuns:
    """An empty datastore and a config for small runs, which push to `pushed` beside it."""
    pipeline = folder / "pipeline"
    pipeline.mkdir()
    (folder / ".metaflow").mkdir()
    (pipeline / "model.py").write_text("# The pipeline's own code.\n")
    (pipeline / "config.toml").write_text(SMALL_CONFIG)
    return SmallRuns(folder, pipeline / "config.toml")
