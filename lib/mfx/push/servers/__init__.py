"""The model servers that a candidate can be tested with: one file for each."""

from __future__ import annotations

from mfx import plugins
from mfx.plugins import Registry
from mfx.push.servers.base import ModelServer

SERVERS: Registry[type[ModelServer]] = Registry(plugins.SERVERS, "model server")
_PREFERRED = ("tensorflow_model_server", "docker", "mfx")
"""TensorFlow Serving itself if this machine has it, otherwise this library's server."""


def find(name: str = "") -> ModelServer:
    """The server with this name; by default the best one on this machine.

    Raises:
        MfxError: There is no server with this name.
    """
    if name:
        return SERVERS.get(name)()
    there = (SERVERS.get(preferred)() for preferred in _PREFERRED)
    return next(server for server in there if not server.missing())
