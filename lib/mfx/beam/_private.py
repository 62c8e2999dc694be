"""What this room takes of Beam beside its public API.

The job API (`beam_job_api_pb2`) is no part of it: it is Beam's protocol between SDKs and runners.
"""

from __future__ import annotations

from apache_beam.runners.portability.fn_api_runner import FnApiRunner

CHECKED = {"apache-beam": ("2.72.0", "2.77.0")}

WORKER_LOG = "apache_beam.runners.common"
"""The log in which Beam writes the traceback of what fails in a worker."""

__all__ = ["CHECKED", "WORKER_LOG", "FnApiRunner"]
