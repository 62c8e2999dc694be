"""The model to serve, and the config files that TensorFlow Serving reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mfx.errors import MfxError
from mfx.push.servers.docker import IMAGE
from mfx.serve.parameters import BatchingParameters
from mfx.storage import address

FETCH_IMAGE = "amazon/aws-cli:2.22.0"
METRICS = "/monitoring/prometheus/metrics"
MODELS, CONFIG = "/models", "/etc/serving"
"""Folders inside the containers."""
FETCH = "fetch_models.sh"
USER = 1000


@dataclass(frozen=True)
class Served:
    """The model for which manifests are made, and how to serve it.

    Attributes:
        name: The model's folder below the destination.
        destination: A folder, or `s3://bucket/prefix`.
        version: The version in production; None if it was not looked up.
        labels: Versions by label. If there are labels, only their versions are served; otherwise
            the newest version.
        sizes: The numbers of rows that a batch may have, ascending; empty for any, as with
            `mfx serve`.
        memory: The memory of one server, in MiB.
        measured: Whether the sizes were measured; otherwise they are defaults.
        image: TensorFlow Serving's image; empty for IMAGE (for GPUs with `-gpu`).
        cpu: The CPUs of one server.
        gpu: The GPUs of one server.
        region: The AWS region of the bucket.
    """

    name: str
    destination: str
    version: int | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    sizes: tuple[int, ...] = ()
    memory: int = 2048
    measured: bool = False
    image: str = ""
    cpu: int = 2
    gpu: int = 0
    region: str = "us-east-1"

    def __post_init__(self) -> None:
        for label in self.labels:
            if not re.fullmatch(r"\w+", label, re.ASCII):
                raise MfxError(
                    f"label {label!r}: expected letters, digits and underscores",
                    "TensorFlow Serving accepts no others.",
                )
        if address.is_url(self.destination) and not self.on_s3:
            raise MfxError(
                f"{self.destination}: manifests can only be made for models in a folder or on S3",
                "Copy the versions to one of these, and name it by --destination.",
            )
        if self.cpu < 1 or self.gpu < 0:
            raise MfxError(f"{self.cpu} CPUs, {self.gpu} GPUs: a server needs at least one CPU")

    @property
    def on_s3(self) -> bool:
        """Whether the models are on S3."""
        return address.scheme(self.destination) == "s3"

    @property
    def url(self) -> str:
        """The model's folder or URL."""
        return f"{self.destination.rstrip('/')}/{self.name}"

    @property
    def resource(self) -> str:
        """The model's name as Kubernetes allows it (RFC 1123), with at most 40 characters."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:40].rstrip("-") or "model"

    @property
    def batching(self) -> BatchingParameters:
        """How requests are put together into batches, with one thread per CPU.

        See "CPU-only: one approach" in TensorFlow Serving's batching guide. The server refuses
        requests with more than `max_batch_size` rows.
        """
        given = BatchingParameters(num_batch_threads=self.cpu, allowed_batch_sizes=self.sizes)
        return replace(given, max_batch_size=self.sizes[-1]) if self.sizes else given

    def image_for(self, gpu: bool) -> str:
        """TensorFlow Serving's image, for servers with or without GPUs."""
        return self.image or IMAGE + ("-gpu" if gpu else "")

    @property
    def fetched(self) -> str:
        """The file that exists once all versions have been fetched."""
        return f"{MODELS}/{self.name}/.fetched"

    @property
    def fetching(self) -> dict[str, str]:
        """The environment variables for `fetch_models.sh`."""
        target = f"{MODELS}/{self.name}"
        # The AWS CLI writes to its home folder.
        return {"SOURCE": self.url, "TARGET": target, "AWS_REGION": self.region, "HOME": "/tmp"}


def config(served: Served) -> dict[str, str]:
    """The texts of the files in the folder CONFIG, by name."""
    first = head(served)
    made = {
        "models.config": first + _models(served),
        "batching_parameters.txt": first + served.batching.text(),
        "monitoring.config": f'{first}prometheus_config {{ enable: true path: "{METRICS}" }}\n',
    }
    if served.on_s3:
        made[FETCH] = Path(__file__).with_name(FETCH).read_text(encoding="utf-8")
    return made


def arguments(served: Served) -> list[str]:
    """TensorFlow Serving's arguments to serve a folder that changes."""
    given = [
        f"--model_config_file={CONFIG}/models.config",
        "--model_config_file_poll_wait_seconds=60",
        "--file_system_poll_wait_seconds=5",
        *tuning(),
    ]
    if served.labels:
        # Without this, a version that is not loaded yet (as at the start) can have no label.
        given.append("--allow_version_labels_for_unavailable_models=true")
    return given


def tuning() -> list[str]:
    """TensorFlow Serving's arguments that say how to serve, not what."""
    return [
        "--enable_batching=true",
        f"--batching_parameters_file={CONFIG}/batching_parameters.txt",
        f"--monitoring_config_file={CONFIG}/monitoring.config",
    ]


def head(served: Served) -> str:
    """The comment at the begin of each file."""
    which = f" version {served.version}" if served.version is not None else ""
    sizes = "measured at infra validation" if served.measured else "defaults, not measured"
    return f"# Made by `mfx manifests` for {served.name}{which}; sizes: {sizes}.\n"


def _models(served: Served) -> str:
    """The text of a ModelServerConfig."""
    labels = dict(sorted(served.labels.items()))
    versions = sorted(set(labels.values()))
    policy = f"specific {{ versions: {versions} }}" if labels else "latest { num_versions: 1 }"
    lines = [
        f'name: "{served.name}"',
        f'base_path: "{MODELS}/{served.name}"',
        'model_platform: "tensorflow"',
        f"model_version_policy {{ {policy} }}",
        *(f'version_labels {{ key: "{key}" value: {labels[key]} }}' for key in labels),
    ]
    inner = "".join(f"    {line}\n" for line in lines)
    return f"model_config_list {{\n  config {{\n{inner}  }}\n}}\n"
