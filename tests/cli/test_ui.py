"""`mfx ui` as a process: it says where, answers, loads no TensorFlow, and ends quietly."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
from helpers.pages import Client

from mfx import cli

CODE = """
import sys
from mfx import cli
code = cli.main(sys.argv[1:])
heavy = ("tensorflow", "apache_beam", "tensorflow_transform", "tensorflow_data_validation", "keras")
print("heavy:", [name for name in heavy if name in sys.modules], flush=True)
sys.exit(code)
"""


@contextmanager
def started(small, tmp_path, *options: str):
    """The process, once it has said its address."""
    command = [sys.executable, "-c", CODE, "ui", "--no-browser", *options]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=small.store,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.wait()


def test_it_answers_loads_no_tensorflow_and_ends_quietly(small_runs, all_small_runs, tmp_path):
    with started(all_small_runs[0], tmp_path, "--port", "0") as (process, said):
        address = said.split()[0]
        assert address.startswith("http://127.0.0.1:") and "Ctrl-C" in said
        ask = Client(address, int(address.rstrip("/").rpartition(":")[2]))
        run = small_runs["one"]
        for path in ("/", "/production", f"/run/Pipeline/{run}", "/part/course"):
            assert ask(path).status == 200
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert rest.splitlines() == ["stopped", "heavy: []"]
        assert process.returncode == 0
    assert list(tmp_path.rglob("Pipeline.json")), "what was read is kept"


def test_a_port_in_use_is_one_line(small_runs, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("MFX_S3_PATIENCE", "1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["ui", "--no-browser", "--port", str(port)]) == 1
    what, remedy = capsys.readouterr().err.splitlines()
    assert what == f"port {port} on 127.0.0.1: Address already in use"
    assert remedy == "Give a free one: mfx ui --port N."


@pytest.mark.parametrize("port", ["x", "-1", "65536", "80.5"])
def test_what_is_no_port_is_said(port, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["ui", "--port", port])
    assert ended.value.code == 2
    assert f"{port}: expected a number from 0 to 65535" in capsys.readouterr().err


def test_an_unknown_pipeline_is_said_before_anything_is_served(small_runs, capsys):
    assert cli.main(["ui", "--no-browser", "--pipeline", "none"]) == 1
    assert "there is no pipeline 'none' here" in capsys.readouterr().err


@pytest.mark.parametrize(("screen", "opened"), [("", False), (":0", True)])
def test_a_browser_is_opened_where_there_is_a_screen(
    small_runs, monkeypatch, tmp_path, screen, opened
):
    import webbrowser

    from mfx.ui import server

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("MFX_S3_PATIENCE", "1")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    if screen:
        monkeypatch.setenv("DISPLAY", screen)
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", asked.append)
    monkeypatch.setattr(sys, "platform", "linux")

    def stopped(self):
        for _ in range(100):
            if asked or not opened:
                break
            signal.sigtimedwait([], 0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(server.Server, "serve_forever", stopped)
    assert cli.main(["ui", "--port", "0"]) == 0
    assert bool(asked) == opened
