"""What manifests are made for, and the files that TF Serving itself reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mfx.errors import MfxError
from mfx.push.servers.model_server import IMAGE
from mfx.serve.parameters import BatchingParameters
from mfx.storage import address

FETCH_IMAGE = "amazon/aws-cli:2.22.0"
METRICS = "/monitoring/prometheus/metrics"
MODELS, CONFIG = "/models", "/etc/serving"
"""Folders in the containers."""
FETCH = "fetch_models.sh"
USER = 1000


@dataclass(frozen=True)
class Served:
    """What manifests are made for.

    Attributes:
        name: The model's folder below the destination.
        destination: A folder, or `s3://bucket/prefix`.
        version: In production now; None if not looked up.
        labels: Versions by label. With any, those versions are served and no others; without, the
            newest.
        sizes: Rows that a batch may have, ascending; empty: any, as with `mfx serve`.
        memory: MiB that one server needs.
        measured: Whether the sizes were measured, or are defaults.
        image: TF Serving's image; empty: IMAGE, for GPUs with `-gpu`.
        cpu: CPUs of one server.
        gpu: GPUs of one server.
        region: AWS region of the bucket.
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
                    "TF Serving takes no others.",
                )
        if self.cpu < 1 or self.gpu < 0:
            raise MfxError(f"{self.cpu} CPUs, {self.gpu} GPUs: a server has at least one CPU")

    @property
    def on_s3(self) -> bool:
        """Whether the models lie on S3."""
        return address.on_s3(self.destination) is not None

    @property
    def url(self) -> str:
        """The model's folder or URL."""
        return f"{self.destination.rstrip('/')}/{self.name}"

    @property
    def resource(self) -> str:
        """The model's name as Kubernetes takes it: RFC 1123, and here of at most 40 characters."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:40].rstrip("-") or "model"

    @property
    def batching(self) -> BatchingParameters:
        """How requests are put together, with a thread for each CPU: TF Serving's batching guide,
        "CPU-only: one approach". It refuses requests of more than `max_batch_size` rows."""
        given = BatchingParameters(num_batch_threads=self.cpu, allowed_batch_sizes=self.sizes)
        return replace(given, max_batch_size=self.sizes[-1]) if self.sizes else given

    def image_for(self, gpu: bool) -> str:
        """TF Serving's image."""
        return self.image or IMAGE + ("-gpu" if gpu else "")

    @property
    def fetched(self) -> str:
        """The file that is there once all versions have been fetched."""
        return f"{MODELS}/{self.name}/.fetched"

    @property
    def fetching(self) -> dict[str, str]:
        """Environment of `fetch_models.sh`."""
        target = f"{MODELS}/{self.name}"
        # The AWS CLI writes to its home.
        return {"SOURCE": self.url, "TARGET": target, "AWS_REGION": self.region, "HOME": "/tmp"}


def config(served: Served) -> dict[str, str]:
    """Texts of the files in CONFIG, by name."""
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
    """TF Serving's, to serve a folder that changes."""
    given = [
        f"--model_config_file={CONFIG}/models.config",
        "--model_config_file_poll_wait_seconds=60",
        "--file_system_poll_wait_seconds=5",
        *tuning(),
    ]
    if served.labels:
        # Or no label could be given to a version that is not loaded yet, as at the start.
        given.append("--allow_version_labels_for_unavailable_models=true")
    return given


def tuning() -> list[str]:
    """TF Serving's arguments that say how, not what, to serve."""
    return [
        "--enable_batching=true",
        f"--batching_parameters_file={CONFIG}/batching_parameters.txt",
        f"--monitoring_config_file={CONFIG}/monitoring.config",
    ]


def head(served: Served) -> str:
    """The comment that each file begins with."""
    which = f" version {served.version}" if served.version is not None else ""
    sizes = "measured at infra validation" if served.measured else "defaults, not measured"
    return f"# Made by `mfx manifests` for {served.name}{which}; sizes: {sizes}.\n"


def _models(served: Served) -> str:
    """A ModelServerConfig."""
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
