"""Argo's part in a run: a compiled WorkflowTemplate's containers, in the order of its DAG.

What Argo does with the features that Metaflow's templates use: parameters and their substitution,
`depends`, `withParam`, output parameters from files, retries, `envFrom` secrets, hooks over HTTP.
Anything else is an assertion error, not a guess.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers import pods

FIELDS = {
    "metadata.namespace": "default",
    "metadata.name": "pod",
    "metadata.uid": "uid",
    "spec.serviceAccountName": "default",
    "status.hostIP": "127.0.0.1",
}
"""What the downward API answers."""


@dataclass
class Workflow:
    """One run of a WorkflowTemplate.

    Args:
        template: The WorkflowTemplate, without nulls.
        folder: Where containers get their folders.
        secrets: Kubernetes secrets by name: variables by name.
        name: The workflow's name; the run is `argo-<name>`.
        arguments: Values of the template's parameters, as JSON.
        before: Called with a step's name and attempt before its container starts.
    """

    template: Mapping[str, Any]
    folder: Path
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    name: str = "pipeline-x7k2p"
    arguments: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[str, int], None] = lambda step, attempt: None
    pods: list[tuple[str, pods.Done]] = field(default_factory=list)

    def run(self) -> bool:
        """Execute it; whether it succeeded. Hooks run as Argo runs them."""
        spec = self.template["spec"]
        self.templates = {template["name"]: template for template in spec["templates"]}
        values = {p["name"]: p["value"] for p in spec["arguments"]["parameters"]}
        assert set(self.arguments) <= set(values)
        self.globals = {
            "workflow.name": self.name,
            "workflow.creationTimestamp": "2026-11-21T08:00:00Z",
            **{f"workflow.parameters.{n}": v for n, v in {**values, **self.arguments}.items()},
        }
        succeeded = self._template(spec["entrypoint"], {}) is not None
        for hook in spec.get("hooks", {}).values():
            self._hook(hook, "Succeeded" if succeeded else "Failed")
        return succeeded

    def output(self) -> str:
        """What all containers printed."""
        return "\n".join(done.output for _, done in self.pods)

    def _template(self, name: str, inputs: dict[str, str]) -> dict[str, str] | None:
        """Execute a template; its output parameters, or None if it failed."""
        template = self.templates[name]
        wanted = [p["name"] for p in template.get("inputs", {}).get("parameters", [])]
        assert set(wanted) <= set(inputs), f"{name} takes {wanted}, gets {list(inputs)}"
        scope = {f"inputs.parameters.{key}": inputs[key] for key in wanted}
        if "dag" in template:
            return self._dag(template, scope)
        return self._container(template, scope)

    def _dag(self, template: Mapping[str, Any], scope: dict[str, str]) -> dict[str, str] | None:
        waiting = {task["name"]: task for task in template["dag"]["tasks"]}
        done: set[str] = set()
        scope = dict(scope)
        while waiting:
            ready = [n for n, task in waiting.items() if _depends(task) <= done]
            assert ready, f"no task can start: {list(waiting)}"
            task = waiting.pop(ready[0])
            outputs = self._task(task, scope)
            if outputs is None:
                return None  # failFast: nothing new starts
            done.add(task["name"])
            scope |= {f"tasks.{task['name']}.outputs.parameters.{k}": v for k, v in outputs.items()}
        return {
            p["name"]: self._substitute(p["valueFrom"]["parameter"], scope)
            for p in template.get("outputs", {}).get("parameters", [])
        }

    def _task(self, task: Mapping[str, Any], scope: dict[str, str]) -> dict[str, str] | None:
        unknown = set(task) - {"name", "template", "depends", "arguments", "withParam"}
        assert not unknown, f"{task['name']}: {unknown}"
        given = task.get("arguments", {}).get("parameters", [])
        items: list[Any] = [None]
        if "withParam" in task:
            items = json.loads(self._substitute(task["withParam"], scope))
        outputs: dict[str, str] | None = {}
        for item in items:
            inner = scope if item is None else scope | {"item": str(item)}
            inputs = {p["name"]: self._substitute(p["value"], inner) for p in given}
            outputs = self._template(task["template"], inputs)
            if outputs is None:
                return None
        # Argo gives a list of what each item left; nothing in these templates reads it.
        return outputs if "withParam" not in task else {}

    def _container(self, template: Mapping[str, Any], scope: dict[str, str]) -> dict | None:
        limit = int(template.get("retryStrategy", {}).get("limit", 0))
        for attempt in range(limit + 1):
            inner = scope | ({"retries": str(attempt)} if limit else {})
            self.before(template["name"], attempt)
            done = self._start(template, inner)
            if done.code == 0:
                return {
                    p["name"]: (done.out / Path(p["valueFrom"]["path"]).name).read_text()
                    for p in template.get("outputs", {}).get("parameters", [])
                }
        return None

    def _start(self, template: Mapping[str, Any], scope: dict[str, str]) -> pods.Done:
        container = template["container"]
        assert {m["mountPath"] for m in container["volumeMounts"]} == {"/mnt/out"}
        environment: dict[str, str] = {}
        for source in container.get("envFrom", []):
            environment |= self.secrets[source["secretRef"]["name"]]
        for variable in container["env"]:
            if "valueFrom" in variable:
                value = FIELDS[variable["valueFrom"]["fieldRef"]["fieldPath"]]
            else:
                value = self._substitute(variable["value"], scope)
            environment[variable["name"]] = value
        command = [self._substitute(word, scope) for word in container["command"]]
        folder = self.folder / f"{len(self.pods):02d}-{template['name']}"
        done = pods.run(command, environment, folder)
        self.pods.append((template["name"], done))
        return done

    def _hook(self, hook: Mapping[str, Any], status: str) -> None:
        """A lifecycle hook, if its expression holds of the workflow's status."""
        wanted = re.findall(r"workflow\.status == '(\w+)'", hook.get("expression", ""))
        if wanted and status not in wanted:
            return
        http = self.templates[hook["template"]]["http"]
        request = urllib.request.Request(
            http["url"],
            data=self._substitute(http["body"], {}).encode() if "body" in http else None,
            method=http["method"],
        )
        with contextlib.suppress(OSError):  # a hook that fails does not change the workflow
            urllib.request.urlopen(request, timeout=10).close()

    def _substitute(self, text: str, scope: Mapping[str, str]) -> str:
        known = {**self.globals, **scope}

        def value(match: re.Match[str]) -> str:
            expression = match[1].strip()
            if encoded := re.fullmatch(
                r"=toBase64\(workflow\.parameters\['([^']+)'\]\)", expression
            ):
                plain = known[f"workflow.parameters.{encoded[1]}"]
                return base64.b64encode(plain.encode()).decode()
            assert expression in known, f"Argo has no value for {expression}"
            return known[expression]

        return re.sub(r"\{\{(.*?)\}\}", value, text)


def without_nulls(value: Any) -> Any:
    """A template without its nulls, which Kubernetes takes for absent."""
    if isinstance(value, dict):
        return {key: without_nulls(v) for key, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def _depends(task: Mapping[str, Any]) -> set[str]:
    """The tasks that must have succeeded; Metaflow joins them with &&."""
    text = task.get("depends", "")
    assert "||" not in text and "!" not in text, text
    return set(re.findall(r"([\w-]+)\.Succeeded", text))
