"""Make the objects of Kubernetes and KServe for a served model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from mfx.deploy.manifests.served import (
    CONFIG,
    FETCH,
    FETCH_IMAGE,
    METRICS,
    MODELS,
    USER,
    Served,
    arguments,
    tuning,
)

CONFINED = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
MOUNTS = [
    {"name": "config", "mountPath": CONFIG, "readOnly": True},
    {"name": "tmp", "mountPath": "/tmp"},
]
REPLICAS = {"minReplicas": 2, "maxReplicas": 10}


def objects(served: Served, config: Mapping[str, str]) -> list[dict[str, Any]]:
    """The objects for Kubernetes.

    Args:
        served: The model to serve.
        config: The texts of the server's config files, by name.
    """
    name, labels = f"{served.resource}-serving", _labels(served)
    ports = [{"name": n, "port": p, "targetPort": n} for n, p in (("grpc", 8500), ("rest", 8501))]
    cpu = {"type": "Utilization", "averageUtilization": 70}
    scaling = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        **REPLICAS,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": cpu}}],
    }
    deployment = {
        "selector": {"matchLabels": labels},
        "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {
            "metadata": {"labels": labels, "annotations": _annotations(config)},
            "spec": _pod(served, name),
        },
    }
    return [
        _object("v1", "ServiceAccount", name, labels, automountServiceAccountToken=False),
        _object("v1", "ConfigMap", name, labels, data=dict(config)),
        _object("apps/v1", "Deployment", name, labels, spec=deployment),
        _object("v1", "Service", name, labels, spec={"selector": labels, "ports": ports}),
        _object("autoscaling/v2", "HorizontalPodAutoscaler", name, labels, spec=scaling),
    ]


def kserve(served: Served, config: Mapping[str, str]) -> list[dict[str, Any]]:
    """KServe's InferenceService and the objects that it needs. Arguments as in `objects`.

    KServe copies the model when a pod starts. So the version is in the pod's annotations: for
    another version, new pods are started.
    """
    name, labels = f"{served.resource}-kserve", _labels(served)
    texts = {n: text for n, text in config.items() if n.startswith(("batching", "monitoring"))}
    model = {
        "modelFormat": {"name": "tensorflow"},
        "runtime": "kserve-tensorflow-serving",
        "storageUri": served.url,
        "image": served.image_for(bool(served.gpu)),
        "args": tuning(),
        "resources": _resources(served),
        # KServe's runtime serves REST on 8080, under the InferenceService's name.
        "readinessProbe": {**_probe(served.resource, 8080), "periodSeconds": 5},
        "volumeMounts": MOUNTS[:1],
    }
    predictor: dict[str, Any] = {
        "serviceAccountName": name,
        **REPLICAS,
        "model": model,
        "volumes": [{"name": "config", "configMap": {"name": name}}],
    }
    if served.version is not None:
        predictor["annotations"] = {"mfx/version": str(served.version)}
    spec = {"predictor": predictor}
    version = "serving.kserve.io/v1beta1"
    return [
        _object("v1", "ServiceAccount", name, labels, secrets=[{"name": f"{name}-s3"}]),
        _object("v1", "ConfigMap", name, labels, data=texts),
        _object(version, "InferenceService", served.resource, labels, spec=spec),
    ]


def _pod(served: Served, name: str) -> dict[str, Any]:
    """A pod with TensorFlow Serving and a sidecar, started first, that fetches the models."""
    pod: dict[str, Any] = {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "securityContext": {"fsGroup": USER},
        "initContainers": [_fetch(served, f"{name}-s3")],
        "containers": [_server(served)],
        "volumes": [
            {"name": "models", "emptyDir": {}},
            {"name": "config", "configMap": {"name": name}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if served.gpu:
        pod["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    return pod


def _server(served: Served) -> dict[str, Any]:
    probe = _probe(served.name, "rest")
    return {
        "name": "tf-serving",
        "image": served.image_for(bool(served.gpu)),
        "args": arguments(served),
        "ports": [
            {"name": "grpc", "containerPort": 8500},
            {"name": "rest", "containerPort": 8501},
        ],
        "startupProbe": {**probe, "periodSeconds": 5, "failureThreshold": 60},
        "readinessProbe": {**probe, "periodSeconds": 5, "timeoutSeconds": 3},
        "livenessProbe": {"tcpSocket": {"port": "grpc"}, "periodSeconds": 10},
        "resources": _resources(served),
        "securityContext": CONFINED,
        "volumeMounts": [{"name": "models", "mountPath": MODELS, "readOnly": True}, *MOUNTS],
    }


def _fetch(served: Served, secret: str) -> dict[str, Any]:
    """A sidecar that fetches the models: an init container that keeps running (Kubernetes 1.29)."""
    return {
        "name": "models",
        "image": FETCH_IMAGE,
        "restartPolicy": "Always",
        "command": ["sh", f"{CONFIG}/{FETCH}"],
        "env": [{"name": key, "value": value} for key, value in served.fetching.items()],
        "envFrom": [{"secretRef": {"name": secret, "optional": True}}],
        "startupProbe": {
            "exec": {"command": ["test", "-e", served.fetched]},
            "periodSeconds": 2,
            "failureThreshold": 300,
        },
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"cpu": "1", "memory": "512Mi"},
        },
        "securityContext": CONFINED,
        "volumeMounts": [{"name": "models", "mountPath": MODELS}, *MOUNTS],
    }


def _probe(model: str, port: int | str) -> dict[str, Any]:
    """A probe that succeeds while a version answers.

    The model's status is no use: it is 200 even if no version can be loaded.
    """
    return {"httpGet": {"path": f"/v1/models/{model}/metadata", "port": port}}


def _annotations(config: Mapping[str, str]) -> dict[str, str]:
    """Where the metrics are, and a digest of the files that are only read when a pod starts."""
    texts = [text for name, text in config.items() if name != "models.config"]
    read = "".join(line for text in texts for line in text.splitlines(True) if line[0] != "#")
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8501",
        "prometheus.io/path": METRICS,
        "mfx/config": hashlib.sha256(read.encode()).hexdigest()[:12],
    }


def _resources(served: Served) -> dict[str, Any]:
    sizes = {"cpu": str(served.cpu), "memory": f"{served.memory}Mi"}
    if served.gpu:
        sizes["nvidia.com/gpu"] = str(served.gpu)
    return {"requests": sizes, "limits": sizes}


def _labels(served: Served) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "tensorflow-serving",
        "app.kubernetes.io/instance": served.resource,
    }


def _object(
    version: str, kind: str, name: str, labels: Mapping[str, str], **rest: Any
) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}
