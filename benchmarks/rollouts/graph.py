"""The benchmark's graph: the local example with two frontends, and workers of a declared card.

Frontends run on Fargate, so that the loss of a GPU host affects workers only. The workers' command
is written in the graph file, where a case changes it.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.chaos.graph import (
    FARGATE,
    HEALTH_SECONDS,
    component_of,
    delayed_stop,
    edit_graph_file,
    service_of,
    without_generation,
)
from ecs_dynamo.model.ecs.task_definition import variable_value

Json = dict[str, Any]

WORKERS = ("prefill", "decode")
FRONTENDS = 2
ETCD, FRONTEND = service_of("etcd-nats"), service_of("frontend")
"""Names of services."""
MARK = "BENCHMARK_MARK"
"""An environment variable that no process reads, so that it does not alter the model card."""
PLAIN_SCRIPT = "exec {worker}"
LEASE_SECONDS = 10
"""How long etcd keeps a worker that sends no keep-alive, and how long a new one must stay ready."""


def role_of(service: str) -> str | None:
    """Return the role of the workers of a service, or None if it has no workers."""
    name = without_generation(service)
    return next((role for role in WORKERS if name == service_of(role)), None)


@dataclass(frozen=True, slots=True)
class Revision:
    """The declaration of both worker components.

    ``block_size`` (tokens) and ``context_length`` (tokens) are parts of the model card, ``mark`` is
    not. ``script`` is the shell script of the containers of ``script_roles``, in which ``{worker}``
    stands for the worker's command.
    """

    block_size: int = 64
    context_length: int = 8192
    mark: str = ""
    script: str = PLAIN_SCRIPT
    script_roles: tuple[str, ...] = WORKERS

    def command(self, role: str) -> str:
        """Return the command of a worker's container."""
        worker = (
            "python3 -m dynamo.vllm --model Qwen/Qwen3-0.6B --enforce-eager "
            f"--disaggregation-mode {role} --block-size {self.block_size} "
            f"--max-model-len {self.context_length}"
        )
        script = self.script if role in self.script_roles else PLAIN_SCRIPT
        return script.replace("{worker}", worker)

    def fields(self, role: str) -> Json:
        """Return the fields of a worker component in the graph file."""
        return {"command": [self.command(role)], "env": {MARK: self.mark}}

    def is_of(self, container: Json, role: str) -> bool:
        """Return whether a container definition is of this revision of the worker ``role``."""
        mark = variable_value(container, MARK) or ""
        return container.get("command") == [self.command(role)] and mark == self.mark


class GraphFiles:
    """An editable copy of the example in ``folder``, with ``replicas`` of each worker."""

    def __init__(
        self,
        example: Path,
        folder: Path,
        replicas: int,
        revision: Revision,
        lease_seconds: int = LEASE_SECONDS,
        progress_seconds: int | None = None,
    ) -> None:
        self.file = folder / "ecs-dynamo.yaml"
        self._task_definitions = folder / "taskdefs"
        shutil.copytree(example, folder, ignore=shutil.ignore_patterns("model", ".*"))
        for name in ("frontend", *WORKERS):
            self._adapt(name)

        def set_up(document: Json) -> None:
            document["runtime"]["leaseSeconds"] = lease_seconds
            frontend = component_of(document, "frontend")
            frontend.update(replicas=FRONTENDS, cluster=FARGATE, launchType="FARGATE")
            for role in WORKERS:
                component = component_of(document, role)
                component.pop("scaling", None)
                component["replicas"] = replicas
                if progress_seconds is not None:
                    component["rollout"] = {"progressDeadlineSeconds": progress_seconds}

        edit_graph_file(self.file, set_up)
        self.declare(revision)

    def _adapt(self, name: str) -> None:
        path = self._task_definitions / f"{name}.json"
        document: Json = json.loads(path.read_text())
        (container,) = document["containerDefinitions"]
        container["healthCheck"]["interval"] = HEALTH_SECONDS
        if name == "frontend":
            document.update(networkMode="awsvpc", requiresCompatibilities=["FARGATE"])
            for mapping in container["portMappings"]:
                mapping.pop("hostPort", None)
            container["command"] = [delayed_stop(document)]
        path.write_text(json.dumps(document))

    def declare(self, revision: Revision) -> None:
        """Declare a revision of the worker components."""

        def change(document: Json) -> None:
            for role in WORKERS:
                component_of(document, role).update(revision.fields(role))

        edit_graph_file(self.file, change)
