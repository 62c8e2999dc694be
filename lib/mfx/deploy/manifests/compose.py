"""Make a Compose project: TensorFlow Serving on CPUs or GPUs, chosen by profile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mfx.deploy.manifests.served import CONFIG, FETCH, FETCH_IMAGE, MODELS, USER, Served
from mfx.deploy.manifests.served import arguments as serving_arguments
from mfx.deploy.manifests.served import config as config_files

SAFE = {
    "read_only": True,
    "tmpfs": ["/tmp"],
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "restart": "unless-stopped",
}
FROM_HERE = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL")
"""Environment variables that a container takes from `docker compose`."""


def project(served: Served, folder: Path) -> dict[str, Any]:
    """The content of `compose.yaml`.

    Args:
        served: The model to serve.
        folder: The folder of the file. The path to a local destination starts there.
    """
    config = [f"./{name}:{CONFIG}/{name}:ro" for name in config_files(served) if name != FETCH]
    source = "models" if served.on_s3 else _from(folder, served.url)
    target = MODELS if served.on_s3 else f"{MODELS}/{served.name}"
    server: dict[str, Any] = {
        "command": serving_arguments(served),
        "user": f"{USER}:{USER}",
        "ports": ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"],
        "volumes": [f"{source}:{target}:ro", *config],
        "healthcheck": {"test": _health(served), "interval": "5s", "start_period": "60s"},
        **SAFE,
    }
    if served.on_s3:
        server["depends_on"] = {"models": {"condition": "service_healthy"}}
    device = {"driver": "nvidia", "count": served.gpu or 1, "capabilities": ["gpu"]}
    gpu = {"deploy": {"resources": {"reservations": {"devices": [device]}}}}
    services = {
        "serving": {"profiles": ["cpu"], "image": served.image_for(gpu=False), **server},
        "serving-gpu": {
            "profiles": ["gpu"],
            "image": served.image_for(gpu=True),
            **server,
            **gpu,
        },
    }
    made: dict[str, Any] = {"name": f"{served.resource}-serving", "services": services}
    if served.on_s3:
        services["models"] = _fetch(served)
        made["volumes"] = {"models": {}}
    return made


def _fetch(served: Served) -> dict[str, Any]:
    """The service that fetches the models from S3. It runs as root, who owns Docker's volume."""
    return {
        "image": FETCH_IMAGE,
        "entrypoint": ["sh", f"{CONFIG}/{FETCH}"],
        "environment": {**served.fetching, **dict.fromkeys(FROM_HERE)},
        "volumes": [f"models:{MODELS}", f"./{FETCH}:{CONFIG}/{FETCH}:ro"],
        "healthcheck": {"test": ["CMD", "test", "-e", served.fetched], "interval": "2s"},
        **SAFE,
    }


def _health(served: Served) -> list[str]:
    """A health check that asks for the model's metadata: only a loaded version has them.

    The image has no curl, but it has bash.
    """
    path = f"/v1/models/{served.name}/metadata"
    script = (
        "exec 3<>/dev/tcp/127.0.0.1/8501\n"
        f"printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3\n"
        "read -r _ status _ <&3\n"
        "[ $$status = 200 ]"
    )
    return ["CMD", "bash", "-c", script]


def _from(folder: Path, path: str) -> str:
    """A path relative to a folder, in the form that Compose needs."""
    relative = os.path.relpath(path, folder.resolve())
    return relative if relative.startswith("..") else f"./{relative}"
