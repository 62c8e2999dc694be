"""The project's files, and its flow as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOW = ROOT / "flows" / "pipeline.py"
SAMPLE = ROOT / "data" / "taxi" / "trips.csv"
REAL = ROOT.parent / "shared" / "data" / "taxi" / "trips.csv"
MNIST = REAL.parents[1] / "mnist" / "mnist.tfrecord"


@dataclass(frozen=True)
class FlowResult:
    """One call of the flow's command line."""

    code: int
    output: str
    store: Path

    @property
    def run_id(self) -> str:
        """The run's id, from the log."""
        return self.output.split("run-id ")[1].split(")")[0]

    @property
    def run(self):
        """Metaflow's client object of the run."""
        from metaflow import Run, metadata, namespace

        os.environ["METAFLOW_DATASTORE_SYSROOT_LOCAL"] = str(self.store)
        metadata(f"local@{self.store}")
        namespace(None)
        return Run(f"Pipeline/{self.run_id}")

    @property
    def data(self):
        """The finished run's artifacts."""
        return self.run.data


def shell() -> dict[str, str]:
    """The environment as a user's shell has it: TFT, once imported by a test, says to its whole
    process which Keras to use."""
    return {key: text for key, text in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}


def call_flow(store: Path, *arguments: str, **environment: str) -> FlowResult:
    """`python flows/pipeline.py ARGUMENTS`, its datastore below `store`."""
    done = subprocess.run(
        [sys.executable, str(FLOW), *arguments],
        env={**shell(), "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(store), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return FlowResult(done.returncode, done.stdout, store)
