"""`mfx ui`: runs, comparisons and what is in production, on a page on this machine."""

from __future__ import annotations

import argparse
import os
import sys
from threading import Thread

from mfx.cli.text import command, where


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    ui = command(
        commands,
        "ui",
        _ui,
        "show runs, comparisons and production on a page on this machine; it changes nothing",
        "mfx ui --pipeline taxi",
    )
    ui.add_argument("--port", type=_port, help="port to listen on (8270, or the next free one)")
    ui.add_argument("--no-browser", action="store_true", help="only print the address")
    where(ui)


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdecimal() else -1
    if not 0 <= port < 2**16:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 0 to 65535")
    return port


def _ui(given: argparse.Namespace) -> str:
    from mfx.ui import app

    server = app.open_server(given.flow, given.port)
    print(f"{server.address}  (Ctrl-C ends it)", flush=True)
    if not given.no_browser and _has_screen():
        import webbrowser

        Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    return "stopped"


def _has_screen() -> bool:
    """Whether a browser has a window to open: one in the terminal would take the terminal."""
    named = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform != "linux" or any(name in os.environ for name in named)
