"""A flow without TensorFlow that is launched as the pipeline is. The variable FAILS names the step
that fails; with SLEEPS, `middle` waits."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from metaflow import Config, FlowSpec, Parameter, step

from mfx.errors import MfxError
from mfx.flow import runtime

HERE = Path(os.environ["HOME_OF_CONFIG"], "config.toml")


@runtime.mfx_steps
class Launched(FlowSpec):
    config = Config("config", default=str(HERE), parser=runtime.parser())
    word = Parameter("word", default="")

    @step
    def start(self):
        self.next(self.middle)

    @step
    def middle(self):
        from metaflow import current

        from mfx.artifacts.trial import is_trial

        sys.stdout.write(f"in middle of {current.run_id}, trial: {is_trial()}\n")
        sys.stdout.flush()
        if os.environ.get("SLEEPS"):
            time.sleep(600)
        if os.environ.get("FAILS") == "middle":
            raise MfxError("middle fails", "as it was told")
        self.next(self.end)

    @step
    def end(self):
        if os.environ.get("FAILS") == "end":
            raise MfxError("end fails")


if __name__ == "__main__":
    Launched()
