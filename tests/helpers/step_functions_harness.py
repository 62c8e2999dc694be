"""Step Functions' and Batch's part in a run: a state machine's jobs, in its order.

What they do with the features that Metaflow's state machines use: Task states for Batch jobs and
DynamoDB items, Map states, JSONPath, Batch's variables and attempts. Anything else is an assertion
error, not a guess.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers import pods


@dataclass
class Execution:
    """One execution of a state machine.

    Args:
        machine: Its definition.
        folder: Where containers get their folders.
        dynamodb: A client of the table that the definition names.
        environment: What the job's role and network give a container.
        name: The execution's name; the run is `sfn-<name>`.
        parameters: The run's parameters, as JSON text.
    """

    machine: Mapping[str, Any]
    folder: Path
    dynamodb: Any
    environment: Mapping[str, str]
    name: str = "5b1e"
    parameters: str = "{}"
    pods: list[tuple[str, pods.Done]] = field(default_factory=list)

    def run(self) -> bool:
        """Execute it; whether it succeeded."""
        given = {"Parameters": self.parameters}
        return self._machine(self.machine, given, {"Execution": {"Name": self.name}}) is not None

    def output(self) -> str:
        """What all containers printed."""
        return "\n".join(done.output for _, done in self.pods)

    def _machine(self, machine: Mapping[str, Any], data: Any, context: dict[str, Any]) -> Any:
        name = machine["StartAt"]
        while True:
            state = machine["States"][name]
            result = self._state(state, data, context)
            if result is None:
                return None
            if "ResultPath" in state:
                result = {**data, state["ResultPath"].removeprefix("$."): result}
            data = _path(state.get("OutputPath", "$"), result, context)
            if state.get("End"):
                return data
            name = state["Next"]

    def _state(self, state: Mapping[str, Any], data: Any, context: dict[str, Any]) -> Any:
        if state["Type"] == "Map":
            results = []
            # Last first: items run at the same time, and any may end first.
            for item in reversed(_path(state["ItemsPath"], data, context)):
                inner = context | {"Map": {"Item": {"Value": item}}}
                given = _resolve(state["Parameters"], data, inner)
                results.append(self._machine(state["Iterator"], given, inner))
                if results[-1] is None:
                    return None
            return results[::-1]
        assert state["Type"] == "Task", state["Type"]
        given = _resolve(state["Parameters"], data, context)
        if state["Resource"].endswith(":dynamodb:getItem"):
            return self.dynamodb.get_item(**given)
        assert state["Resource"].endswith(":batch:submitJob.sync"), state["Resource"]
        return self._job(given)

    def _job(self, job: Mapping[str, Any]) -> dict[str, Any] | None:
        """A Batch job with its attempts; what `submitJob.sync` answers, or None if it failed."""
        identity = str(uuid.uuid4())
        overrides = job["ContainerOverrides"]
        for attempt in range(1, job["RetryStrategy"]["Attempts"] + 1):
            environment = {
                **self.environment,
                **{v["Name"]: v["Value"] for v in overrides["Environment"]},
                "AWS_BATCH_JOB_ID": identity,
                "AWS_BATCH_JOB_ATTEMPT": str(attempt),
                "AWS_BATCH_CE_NAME": "environment",
                "AWS_BATCH_JQ_NAME": job["JobQueue"].rpartition("/")[2],
                "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
            }
            assert all(isinstance(value, str) for value in environment.values()), environment
            step = job["Parameters"]["step_name"]
            folder = self.folder / f"{len(self.pods):02d}-{step}"
            done = pods.run(overrides["Command"], environment, folder)
            self.pods.append((step, done))
            if done.code == 0:
                return {"JobId": identity, "Parameters": job["Parameters"]}
        return None


def _resolve(given: Any, data: Any, context: Mapping[str, Any]) -> Any:
    """A payload template with its paths replaced by what they name.

    Batch's `Environment` has paths in `Value.$`, as any other field.
    """
    if isinstance(given, list):
        return [_resolve(item, data, context) for item in given]
    if not isinstance(given, dict):
        return given
    return {
        key.removesuffix(".$"): _path(value, data, context)
        if key.endswith(".$")
        else _resolve(value, data, context)
        for key, value in given.items()
    }


def _path(path: str, data: Any, context: Mapping[str, Any]) -> Any:
    """What a JSONPath names: `$.a.['b.c']`, `$.[0]`, `$.['a', 'b']` (those that are there)."""
    found: Any = context if path.startswith("$$") else data
    for word, names, index in re.findall(
        r"\.(?:([\w-]+)|\[('[^\]]+')\]|\[(\d+)\])", path.lstrip("$")
    ):
        if index:
            found = found[int(index)]
        elif names:
            keys = re.findall(r"'([^']+)'", names)
            several = {key: found[key] for key in keys if key in found}
            found = several if len(keys) > 1 else found[keys[0]]
        else:
            found = found[word]
    return found
