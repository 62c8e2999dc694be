"""A Beam cluster on localhost: a job endpoint, and a pool that starts two worker processes.

`python beam_cluster.py PORT` is the job endpoint: Beam's own local job service, which by itself
gives a job one worker.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORKERS = 2
LIB = Path(__file__).resolve().parents[2] / "lib"


@contextmanager
def running(folder: Path) -> Iterator[list[str]]:
    """Start it, give `[beam] options` for it, stop it and its workers."""
    job, pool = free_port(), free_port()
    commands = [
        [__file__, str(job)],
        ["-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"],
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(LIB),
        # The pool starts whatever `python` it finds.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    with (folder / "cluster.log").open("w") as log:
        processes = [
            subprocess.Popen(
                [sys.executable, *command],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            for command in commands
        ]
        try:
            for port in (job, pool):
                _wait_for(port)
            yield [
                "--runner=PortableRunner",
                f"--job_endpoint=localhost:{job}",
                "--environment_type=EXTERNAL",
                f"--environment_config=localhost:{pool}",
            ]
        finally:
            for process in processes:
                os.killpg(process.pid, 9)
                process.wait()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


def _wait_for(port: int, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as client:
            if client.connect_ex(("localhost", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"no Beam at port {port}")


def _serve_jobs(port: int) -> None:
    from apache_beam.runners.portability import local_job_service
    from apache_beam.runners.portability.fn_api_runner import fn_runner

    class Runner(fn_runner.FnApiRunner):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            self._num_workers = WORKERS

    fn_runner.FnApiRunner = Runner
    local_job_service.LocalJobServicer("staging").start_grpc_server(port)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    _serve_jobs(int(sys.argv[1]))
