"""Model servers that a candidate can be put to the test with: one file for each."""

from __future__ import annotations

from mfx import plugins
from mfx.plugins import Registry
from mfx.push.servers.base import ModelServer

SERVERS: Registry[type[ModelServer]] = Registry(plugins.SERVERS, "model server")
_PREFERRED = ("tensorflow_model_server", "docker", "mfx")
"""TensorFlow Serving itself where it can be had, else this library's server."""


def find(name: str = "") -> ModelServer:
    """The server of this name; by default the best that this machine has.

    Raises:
        MfxError: There is none of this name.
    """
    if name:
        return SERVERS.get(name)()
    there = (SERVERS.get(preferred)() for preferred in _PREFERRED)
    return next(server for server in there if not server.missing())
