"""Manifests that serve a pushed model: for TensorFlow Serving, Compose, Kubernetes and KServe.

TensorFlow Serving cannot read S3 since version 2.7. So `fetch_models.sh` copies models from S3 to a
folder beside it. KServe copies them with its own storage initializer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfx.deploy.manifests import compose, kubernetes
from mfx.deploy.manifests.served import Served, config, head
from mfx.destinations.base import MEASURED

__all__ = ["Served", "files", "measured", "write"]


def measured(record: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes for `Served`, from a pushed version's record; empty if nothing was measured.

    A server gets twice the memory that was measured for the model, rounded up to 64 MiB, since two
    versions are loaded while it switches. Batches have the sizes with which the model was tested.
    """
    given = record.get(MEASURED) or {}
    found: dict[str, Any] = {}
    if sizes := sorted({latency["batch_size"] for latency in given.get("latencies", [])}):
        found["sizes"] = tuple(sizes)
    if memory := given.get("memory_mb"):
        found["memory"] = math.ceil(2 * memory / 64) * 64
    return {**found, "measured": True} if found else {}


def files(served: Served, folder: Path) -> dict[str, str]:
    """The files' texts by name.

    Args:
        served: The model to serve.
        folder: The folder of the files. Compose's path to a local destination starts there.
    """
    texts = config(served)
    made = {**texts, "compose.yaml": _yaml(served, compose.project(served, folder))}
    if served.on_s3:
        made["kubernetes.yaml"] = _yaml(served, *kubernetes.objects(served, texts))
        made["kserve.yaml"] = _yaml(served, *kubernetes.kserve(served, texts))
    return made


def write(served: Served, folder: Path) -> list[Path]:
    """Write the files below `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in files(served, folder).items():
        (folder / name).write_text(text, encoding="utf-8")
        paths.append(folder / name)
    return paths


def _yaml(served: Served, *documents: dict[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks, and repeats values that are used twice."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return head(served) + yaml.dump_all(documents, Dumper=Dumper, sort_keys=False, width=100)
