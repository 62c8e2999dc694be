"""The private parts of Beam that MFX uses.

The job API (`beam_job_api_pb2`) is not listed here: it is Beam's protocol between SDKs and runners.
"""

from __future__ import annotations

from apache_beam.runners.portability.fn_api_runner import FnApiRunner

CHECKED = {"apache-beam": ("2.72.0", "2.77.0")}

WORKER_LOG = "apache_beam.runners.common"
"""The name of the log to which Beam writes the traceback of an error in a worker."""

__all__ = ["CHECKED", "WORKER_LOG", "FnApiRunner"]
