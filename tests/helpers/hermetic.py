"""What of the caller's environment reaches tests and benchmarks: what is named here, no more.

Metaflow, boto3, TensorFlow, Keras, git and Python itself read variables, and files below the home
folder, when they are imported or started. So `clean` is called before anything of that, by
`conftest.py` and by each benchmark, and processes that are started inherit what it leaves.
"""

from __future__ import annotations

import contextlib
import locale
import os
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = {
    # Where programs, temporary files, certificates and the network are.
    *("PATH", "HOME", "SHELL", "TERM", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CI"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "DOCKER_HOST"),
    "NODE_EXTRA_CA_CERTS",
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"),
    *("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"),
    # What tests are told from outside; CONTRIBUTING.md and the Makefile say by whom.
    *("MFX_TEST_S3", "MFX_KILLS", "MFX_KILLS_REPORT", "MFX_LOAD_SECONDS", "MFX_TEST_COST"),
    *("MFX_METAFLOW_SERVICE", "MFX_IMAGE_VENV"),
}
PREFIXES = ("PYTEST_", "PIP_", "UV_", "COV", "LD_")
"""Tools' own that do not change what is tested."""
OF_S3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE"}
"""Kept as well where MFX_TEST_S3 names the S3 to test on."""
SET = {
    "METAFLOW_USER": "tester",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "COLUMNS": "80",
    "no_proxy": "localhost,127.0.0.1",
    "PYTHONNOUSERSITE": "1",
    # No file below the home folder or /etc, whoever's it is.
    "METAFLOW_HOME": os.devnull,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "KERAS_HOME": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


LEFT: dict[str, str] = {}
"""What tests begin with; libraries and tests add their own to the process."""


def clean(environment: MutableMapping[str, str] = os.environ, **more: str) -> None:
    """Leave in `environment` what is kept, and set the rest; `more` comes on top.

    Of this process's own it also undoes what Python has already taken from there, as far as it can:
    locale, time zone, and folders of modules.
    """
    kept = KEPT | (OF_S3 if "MFX_TEST_S3" in environment else set())
    for name in set(environment) - kept:
        if not name.startswith(PREFIXES):
            del environment[name]
    environment.update(SET | more)
    if environment is os.environ:
        # Not by PYTHONPATH: pytest-xdist hands on what its first process was started with.
        sys.path[:] = [path for path in sys.path if not path or _ours(path)]
        time.tzset()
        with contextlib.suppress(locale.Error):  # a machine without C.UTF-8
            locale.setlocale(locale.LC_ALL, "")
        LEFT.clear()
        LEFT.update(environment)


def _ours(folder: str) -> bool:
    """Whether it is of Python, of its virtual environment or of this project."""
    return any(Path(folder).is_relative_to(root) for root in (sys.prefix, sys.base_prefix, ROOT))
