"""The campaign's graph: the local example with two replicas of each role.

All tasks use awsvpc mode, so that each replica has its own address. Frontends run on Fargate, so
that the loss of a GPU instance affects workers only. etcd and NATS are separate services.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

NAME = "local"
FARGATE, GPU = "dynamo-fargate", "dynamo-GPU"
WORKERS = ("decode", "prefill")
ROLLED = ("frontend", *WORKERS)
COMPONENTS = ("etcd", "nats", *ROLLED)
REPLICAS = {"etcd": 1, "nats": 1, "frontend": 2, "decode": 2, "prefill": 2}
MAX_PREFILL = 3
EXTRA = "frontend-extra"
"""A component that a fault adds and later removes."""
LEASE_SECONDS = 5
MARK = "CHAOS_MARK"
"""The environment variable whose value identifies a component's revision."""
SYSTEM_PORT, HTTP_PORT = 8081, 8000
BAD_DEADLINE_SECONDS = 15
DEREGISTRATION_SECONDS = 2
HEALTH_SECONDS = 5
"""Interval of container health checks; ECS's minimum."""
_GENERATION = re.compile(r"-g[0-9a-f]{8}$")


def service_of(component: str) -> str:
    """Return the name of a component's ECS service, without a generation."""
    return f"{NAME}-{component}"


def without_generation(service: str) -> str:
    """Return the name of a service without the generation that workers have at its end."""
    return _GENERATION.sub("", service)


class GraphFiles:
    """An editable copy of the example in ``folder``.

    ``lease_seconds`` is how long etcd keeps a worker that sends no keep-alive, and how long a new
    worker must stay ready.
    """

    def __init__(self, example: Path, folder: Path, lease_seconds: int = LEASE_SECONDS) -> None:
        self.folder = folder
        self.file = folder / "ecs-dynamo.yaml"
        shutil.copytree(example, folder, ignore=shutil.ignore_patterns("model", ".*"))
        self._task_definitions()
        self.edit(_add_replicas)
        self.edit(lambda d: d["runtime"].update(leaseSeconds=lease_seconds, drainSeconds=10))

    def _task_definitions(self) -> None:
        whole = self._read("etcd-nats")
        for name in ("etcd", "nats"):
            containers = [c for c in whole["containerDefinitions"] if c["name"] == name]
            for container in containers:
                if "healthCheck" in container:
                    container["healthCheck"]["interval"] = HEALTH_SECONDS
            self._write(name, {**whole, "family": name, "containerDefinitions": containers})
        for name in ROLLED:
            document = self._read(name)
            document["networkMode"] = "awsvpc"
            for container in document["containerDefinitions"]:
                for mapping in container.get("portMappings", ()):
                    mapping.pop("hostPort", None)
                container["healthCheck"]["interval"] = HEALTH_SECONDS
            if name == "frontend":
                document["requiresCompatibilities"] = ["FARGATE"]
                document["containerDefinitions"][0]["command"] = [delayed_stop(document)]
            self._write(name, document)

    def _read(self, name: str) -> Json:
        document: Json = json.loads((self.folder / "taskdefs" / f"{name}.json").read_text())
        return document

    def _write(self, name: str, document: Json) -> None:
        (self.folder / "taskdefs" / f"{name}.json").write_text(json.dumps(document))

    def command_of(self, component: str) -> str:
        """Return the command of the component's container."""
        return str(self._read(component)["containerDefinitions"][0]["command"][0])

    def altered(self) -> list[str]:
        """Return the components to which a fault has added a command or rollout settings."""
        components = yaml.safe_load(self.file.read_text())["components"]
        return [c["name"] for c in components if "command" in c or "rollout" in c]

    def edit(self, change: Callable[[Json], None]) -> None:
        edit_graph_file(self.file, change)


def edit_graph_file(file: Path, change: Callable[[Json], None]) -> None:
    """Change a graph file atomically, as a daemon may read it at any moment."""
    document = yaml.safe_load(file.read_text())
    change(document)
    fresh = file.with_suffix(".new")
    fresh.write_text(yaml.safe_dump(document))
    fresh.replace(file)


def delayed_stop(task_definition: Json) -> str:
    """Return a frontend's command that delays SIGTERM until clients have left the frontend.

    If a service has a target group, ECS sends SIGTERM when the deregistration delay is over. The
    local ECS has no load balancer, so the container waits. Dynamo 1.6.1 finishes its streams, but
    fails requests received a few milliseconds before SIGTERM that have no worker yet.
    """
    command = task_definition["containerDefinitions"][0]["command"][0].removeprefix("exec ")
    trap = f"trap 'sleep {DEREGISTRATION_SECONDS}; kill -TERM $child' TERM"
    return f"{command} & child=$!; {trap}; wait $child; wait $child"


def component_of(document: Json, name: str) -> Json:
    """Return a component's part of the graph file, which edits may change."""
    component: Json = next(c for c in document["components"] if c["name"] == name)
    return component


def _add_replicas(document: Json) -> None:
    document["infrastructure"] = {
        name: {"taskDefinition": f"taskdefs/{name}.json"} for name in ("etcd", "nats")
    }
    for name in ROLLED:
        component_of(document, name)["replicas"] = REPLICAS[name]
    component_of(document, "frontend").update(cluster=FARGATE, launchType="FARGATE")
    scaling = {"min": REPLICAS["prefill"], "max": MAX_PREFILL, "target": 6}
    component_of(document, "prefill")["scaling"].update(scaling)
