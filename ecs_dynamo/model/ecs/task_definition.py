"""A typed view of task definitions: containers, images, secrets, GPUs, log groups, revisions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ecs_dynamo.common.arns import revision_number
from ecs_dynamo.model.ecs.gpus import gpu_request
from ecs_dynamo.model.graph import Component, Graph, JsonObject


def gpus_of(component: Component, per_instance: int = 1) -> int:
    """GPU slots that one replica takes. One that asks for ``ALL`` takes those of an instance, which
    has ``per_instance``; by default the least that it may be."""
    asked = gpu_request(component.template)
    return max(asked.slots, per_instance) if asked.all else asked.slots


_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\."
    r"(?:[a-z0-9-]+\.)+[a-z]+/(?P<repository>[^:@]+)"
)
"""A private registry in the domain of any partition (amazonaws.com, amazonaws.eu, on.aws)."""


def graph_roles(graph: Graph) -> list[str]:
    """Return the roles of the graph's tasks as the graph names them: ARNs or short names."""
    found = {
        str(component.template[key])
        for component in graph.components
        for key in ("taskRoleArn", "executionRoleArn")
        if component.template.get(key)
    }
    return sorted(found)


def containers_of(component: Component) -> Iterable[Mapping[str, Any]]:
    """Return the component's container definitions."""
    return tuple(component.template.get("containerDefinitions", ()))


def ecr_repository(image: str) -> tuple[str, str, str] | None:
    """Return (account, Region, repository) of an image in a private ECR registry, or None."""
    found = _ECR.match(image)
    return (found["account"], found["region"], found["repository"]) if found else None


def logs_anywhere(components: Iterable[Component]) -> bool:
    """Whether any container logs to CloudWatch."""
    return any(
        container.get("logConfiguration", {}).get("logDriver") == "awslogs"
        for component in components
        for container in containers_of(component)
    )


def environment_value(
    content: JsonObject, name: str, containers: Collection[str] = ()
) -> str | None:
    """Return the first plain environment value called ``name`` in a task definition.

    ``containers``: names of the containers to search. If it is empty, or the task definition has
    none of them (because they were renamed later), all containers are searched.
    """
    found = content.get("containerDefinitions", ())
    for container in [c for c in found if c.get("name") in containers] or found:
        for entry in container.get("environment", ()):
            if entry.get("name") == name:
                return str(entry.get("value", ""))
    return None


def images_of(graph: Graph) -> dict[str, list[str]]:
    """Image -> the components that run it."""
    found: dict[str, list[str]] = {}
    for component in graph.components:
        for container in containers_of(component):
            users = found.setdefault(str(container.get("image", "")), [])
            if component.name not in users:
                users.append(component.name)
    return found


@dataclass(frozen=True, slots=True)
class EcrImage:
    """An image in ECR, as for DescribeImages: with a tag or a digest."""

    image: str
    registry: str
    region: str
    repository: str
    tag: str | None
    digest: str | None


def ecr_image(image: str) -> EcrImage | None:
    """Return the parts of an image in a private ECR registry; None for any other."""
    found = ecr_repository(image)
    if found is None:
        return None
    account, region, repository = found
    rest = image.split(f"/{repository}", 1)[1]
    name, _, digest = rest.partition("@")
    # If both are given, the digest decides, as in Docker.
    tag = None if digest else (name.removeprefix(":") or "latest")
    return EcrImage(image, account, region, repository, tag, digest or None)


@dataclass(frozen=True, slots=True)
class LogGroup:
    """A log group that tasks write to; ``created``: ECS creates it if it is missing."""

    name: str
    region: str | None
    created: bool


def log_groups_of(graph: Graph) -> list[LogGroup]:
    """Return the log groups of the awslogs driver."""
    found: dict[tuple[str, str | None], bool] = {}
    for component in graph.components:
        for container in containers_of(component):
            log = container.get("logConfiguration", {})
            options: Mapping[str, Any] = log.get("options", {})
            if log.get("logDriver") == "awslogs" and options.get("awslogs-group"):
                key = (str(options["awslogs-group"]), options.get("awslogs-region"))
                made = str(options.get("awslogs-create-group")).lower() == "true"
                found[key] = found.get(key, False) or made
    return [LogGroup(name, region, made) for (name, region), made in sorted(found.items(), key=str)]


RETIRED_PER_PASS = 10
"""Revisions retired per action, the maximum of DeleteTaskDefinitions (ECS API reference)."""


def surplus(arns: Iterable[str], keep: int, needed: Collection[str]) -> tuple[str, ...]:
    """Return the revisions of a family that may be retired, oldest first.

    ``keep`` is the number of the newest revisions that stay in any case.
    """
    ordered = sorted(arns, key=revision_number)
    return tuple(arn for arn in ordered[: max(0, len(ordered) - keep)] if arn not in needed)
