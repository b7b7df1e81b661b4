"""The campaign's graph: the local example with two of each role, made to be broken.

Everything is in awsvpc mode, so that each replica has an address of its own; frontends run on
Fargate, so that a lost GPU instance takes workers alone. etcd and NATS are services of their own.
"""

from __future__ import annotations

import json
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
MOST_PREFILL = 3
EXTRA = "decode-extra"
"""A component that a fault adds and takes out again."""
LEASE_SECONDS = 5
MARK = "CHAOS_MARK"
"""The environment variable whose value tells a component's changes apart."""
SYSTEM_PORT, HTTP_PORT = 8081, 8000
BAD_DEADLINE_SECONDS = 15
DEREGISTRATION_SECONDS = 2
HEALTH_SECONDS = 5
"""Between two container health checks; the least that ECS takes."""


def service_of(component: str) -> str:
    """The name of a component's ECS service."""
    return f"{NAME}-{component}"


class GraphFiles:
    """A copy of the example in ``folder``, and edits of it. ``lease_seconds`` is for how long etcd
    keeps a worker that is not heard of, and for how long a new one has to stay ready."""

    def __init__(self, example: Path, folder: Path, lease_seconds: int = LEASE_SECONDS) -> None:
        self.folder = folder
        self.file = folder / "ecs-dynamo.yaml"
        shutil.copytree(example, folder, ignore=shutil.ignore_patterns("model", ".*"))
        self._task_definitions()
        self.edit(_larger)
        self.edit(lambda d: d["runtime"].update(leaseSeconds=lease_seconds, drainSeconds=10))

    def _task_definitions(self) -> None:
        whole = self._read("etcd-nats")
        for name in ("etcd", "nats"):
            own = [c for c in whole["containerDefinitions"] if c["name"] == name]
            for container in own:
                if "healthCheck" in container:
                    container["healthCheck"]["interval"] = HEALTH_SECONDS
            self._write(name, {**whole, "family": name, "containerDefinitions": own})
        for name in ROLLED:
            document = self._read(name)
            document["networkMode"] = "awsvpc"
            for container in document["containerDefinitions"]:
                for mapping in container.get("portMappings", ()):
                    mapping.pop("hostPort", None)
                container["healthCheck"]["interval"] = HEALTH_SECONDS
            if name == "frontend":
                document["requiresCompatibilities"] = ["FARGATE"]
                _stop_late(document["containerDefinitions"][0])
            self._write(name, document)

    def _read(self, name: str) -> Json:
        found: Json = json.loads((self.folder / "taskdefs" / f"{name}.json").read_text())
        return found

    def _write(self, name: str, document: Json) -> None:
        (self.folder / "taskdefs" / f"{name}.json").write_text(json.dumps(document))

    def command_of(self, component: str) -> str:
        """What the component's container runs."""
        return str(self._read(component)["containerDefinitions"][0]["command"][0])

    def altered(self) -> list[str]:
        """Components with a command or rollout settings that the example's do not have."""
        components = yaml.safe_load(self.file.read_text())["components"]
        return [c["name"] for c in components if "command" in c or "rollout" in c]

    def edit(self, change: Callable[[Json], None]) -> None:
        """Change the graph file, in one step: a daemon may read it at any moment."""
        document = yaml.safe_load(self.file.read_text())
        change(document)
        fresh = self.file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(document))
        fresh.replace(self.file)


def _stop_late(container: Json) -> None:
    """Have a frontend's SIGTERM come after its clients have left it.

    For a service with a target group ECS sends SIGTERM when the deregistration delay is over; the
    local ECS has no load balancer, so the container waits. Dynamo 1.6.1 finishes what streams, and
    fails a request that it took some milliseconds before SIGTERM and has no worker for yet.
    """
    command = container["command"][0].removeprefix("exec ")
    late = f"trap 'sleep {DEREGISTRATION_SECONDS}; kill -TERM $child' TERM"
    container["command"] = [f"{command} & child=$!; {late}; wait $child; wait $child"]


def component_of(document: Json, name: str) -> Json:
    """A component's part of the graph file."""
    found: Json = next(c for c in document["components"] if c["name"] == name)
    return found


def _larger(document: Json) -> None:
    document["infrastructure"] = {
        name: {"taskDefinition": f"taskdefs/{name}.json"} for name in ("etcd", "nats")
    }
    for name in ROLLED:
        component_of(document, name)["replicas"] = REPLICAS[name]
    component_of(document, "frontend").update(cluster=FARGATE, launchType="FARGATE")
    scaling = {"min": REPLICAS["prefill"], "max": MOST_PREFILL, "target": 6}
    component_of(document, "prefill")["scaling"].update(scaling)
