"""`mfx serve --engine triton`: NVIDIA's server, asked by KServe's V2 API."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence

from mfx.errors import MfxError
from mfx.push.servers import kserve_api
from mfx.push.servers.base import Call, Start, get_json, resident_memory
from mfx.push.servers.mfx_serve import command


class Triton:
    """Triton, with a model repository that `mfx serve` creates for it."""

    title = "mfx serve --engine triton"

    def missing(self) -> str:
        """Whether the extra is not installed; see `ModelServer`."""
        from mfx.serve.triton import repository

        try:
            repository.stub()
        except MfxError as error:
            return str(error)
        return ""

    def command(self, start: Start) -> Sequence[str]:
        """`mfx serve` in a new interpreter; see `ModelServer`."""
        return command(start, "triton")

    def ready(self, rest: str, name: str) -> bool:
        """Whether it knows the model. It knows only models that it serves. See `ModelServer`."""
        get_json(f"http://{rest}/v2/models/{name}")
        return True

    def clients(self, rest: str, grpc: str, name: str) -> Iterator[tuple[str, Call]]:
        """V2's REST and gRPC APIs; see `ModelServer`."""
        yield from kserve_api.calls(rest, grpc, name)

    def memory(self, process: subprocess.Popen) -> int | None:
        """The memory of `mfx serve`, Triton and the model's process; see `ModelServer`."""
        return resident_memory(process)
