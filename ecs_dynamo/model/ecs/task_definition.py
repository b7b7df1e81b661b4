"""A typed view of task definitions: containers, images, log groups and revisions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ecs_dynamo.common.arns import revision_number
from ecs_dynamo.model.graph import Component, Graph, JsonObject

Container = Mapping[str, Any]
"""A container definition (camelCase keys)."""
CONTAINERS = "containerDefinitions"

_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\."
    r"(?:[a-z0-9-]+\.)+[a-z]+/(?P<repository>[^:@]+)"
)
"""An image in a private registry. Its domain depends on the partition (amazonaws.com, on.aws)."""


def graph_roles(graph: Graph) -> list[str]:
    """Return the roles of the graph's tasks as declared: ARNs or short names."""
    roles = {
        str(component.template[key])
        for component in graph.components
        for key in ("taskRoleArn", "executionRoleArn")
        if component.template.get(key)
    }
    return sorted(roles)


def containers_in(content: JsonObject) -> tuple[Container, ...]:
    """Return the container definitions of a task definition."""
    return tuple(content.get(CONTAINERS) or ())


def containers_of(component: Component) -> tuple[Container, ...]:
    """Return the component's container definitions."""
    return containers_in(component.template)


def container_names(content: JsonObject) -> tuple[str, ...]:
    """Return the names of all containers of a task definition."""
    return tuple(str(c.get("name", "")) for c in containers_in(content))


def command_words(container: Container) -> tuple[str, ...]:
    """Return the words of a container's entry point and command."""
    words = (*(container.get("entryPoint") or ()), *(container.get("command") or ()))
    return tuple(str(word) for word in words)


def command_line(container: Container) -> str:
    """Return a container's entry point and command as one text."""
    return " ".join(command_words(container))


def container_ports(container: Container) -> set[int]:
    """Return the container ports that are mapped one by one, without port ranges."""
    mappings = container.get("portMappings") or ()
    return {m["containerPort"] for m in mappings if m.get("containerPort") is not None}


def uses_awslogs(components: Iterable[Component]) -> bool:
    """Return whether any container logs to CloudWatch."""
    return any(
        container.get("logConfiguration", {}).get("logDriver") == "awslogs"
        for component in components
        for container in containers_of(component)
    )


def variable_value(container: Container, name: str) -> str | None:
    """Return the plain value of a container's environment variable; None where it has none."""
    for entry in container.get("environment") or ():
        if entry.get("name") == name:
            return str(entry.get("value", ""))
    return None


def environment_value(
    content: JsonObject, name: str, containers: Collection[str] = ()
) -> str | None:
    """Return the first plain environment value called ``name`` in a task definition.

    Only the containers named in ``containers`` count, unless the task definition has none of them
    (because they were renamed since).
    """
    candidates = containers_in(content)
    for container in [c for c in candidates if c.get("name") in containers] or candidates:
        value = variable_value(container, name)
        if value is not None:
            return value
    return None


def images_of(graph: Graph) -> dict[str, list[str]]:
    """Return the names of the components that run each image."""
    images: dict[str, list[str]] = {}
    for component in graph.components:
        for container in containers_of(component):
            users = images.setdefault(str(container.get("image", "")), [])
            if component.name not in users:
                users.append(component.name)
    return images


@dataclass(frozen=True, slots=True)
class EcrImage:
    """An image in ECR, with a tag or a digest for DescribeImages. ``registry`` is the account."""

    registry: str
    region: str
    repository: str
    tag: str | None
    digest: str | None


def ecr_image(image: str) -> EcrImage | None:
    """Return the parts of an image in a private ECR registry; None for any other image."""
    match = _ECR.match(image)
    if match is None:
        return None
    name, _, digest = image[match.end() :].partition("@")
    # A digest takes precedence over a tag, as in Docker.
    tag = None if digest else (name.removeprefix(":") or "latest")
    return EcrImage(
        registry=match["account"],
        region=match["region"],
        repository=match["repository"],
        tag=tag,
        digest=digest or None,
    )


def ecr_images_of(components: Iterable[Component]) -> Iterator[EcrImage]:
    """Yield the images of the components' containers that are in ECR."""
    for component in components:
        for container in containers_of(component):
            image = ecr_image(str(container.get("image", "")))
            if image is not None:
                yield image


@dataclass(frozen=True, slots=True)
class LogGroup:
    """A log group of tasks. ``created``: the log driver creates it if it is missing."""

    name: str
    region: str | None
    created: bool


def log_groups_of(components: Iterable[Component]) -> list[LogGroup]:
    """Return the log groups of the awslogs driver, sorted."""
    created: dict[tuple[str, str | None], bool] = {}
    for component in components:
        for container in containers_of(component):
            log = container.get("logConfiguration", {})
            options: Mapping[str, Any] = log.get("options", {})
            if log.get("logDriver") == "awslogs" and options.get("awslogs-group"):
                key = (str(options["awslogs-group"]), options.get("awslogs-region"))
                creates = str(options.get("awslogs-create-group")).lower() == "true"
                created[key] = created.get(key, False) or creates
    groups = sorted(created.items(), key=str)
    return [LogGroup(name, region, creates) for (name, region), creates in groups]


RETIRED_PER_PASS = 10
"""Limit of DeleteTaskDefinitions (ECS API reference), and of revisions per action."""


def surplus(arns: Iterable[str], keep: int, needed: Collection[str]) -> tuple[str, ...]:
    """Return the revisions of a family that may be deleted, oldest first.

    The newest ``keep`` revisions stay, and so do all ``needed`` ones.
    """
    ordered = sorted(arns, key=revision_number)
    return tuple(arn for arn in ordered[: max(0, len(ordered) - keep)] if arn not in needed)
