"""Obstacles and doubts: why a component must not be planned, or only with care."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.generations import GenerationMode
from ecs_dynamo.model.graph import TAG_GRAPH, Component, Graph
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.planning.desired.service_settings import rejected_launch_type
from ecs_dynamo.planning.observed.facts import ObservedGraph
from ecs_dynamo.planning.observed.lookup import known_service


class ObstacleReason(StrEnum):
    """Why a component cannot be planned; also the reason word of its condition Degraded."""

    NOT_OBSERVED = ConditionReason.NOT_OBSERVED
    CLUSTER_MISSING = ConditionReason.CLUSTER_MISSING
    FOREIGN_SERVICE = ConditionReason.FOREIGN_SERVICE
    """A service with its name exists and does not carry the graph's tag."""
    SERVICE_DRAINING = ConditionReason.SERVICE_DRAINING
    LAUNCH_TYPE_FIXED = ConditionReason.LAUNCH_TYPE_FIXED
    """The declared launch type differs, and ECS cannot change it."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A reason why a component cannot be planned in this pass, and a message with the remedy."""

    reason: ObstacleReason
    message: str


def find_obstacle(graph: Graph, component: Component, snapshot: Snapshot) -> Obstacle | None:
    """Return why the component must not be planned in this pass; None if it may be."""
    observed = snapshot.components.get(component.name)
    if observed is None:
        return Obstacle(ObstacleReason.NOT_OBSERVED, "it was not observed")
    generations = graph.generations
    if generations.mode is GenerationMode.UNKNOWN and (
        component.is_worker or component.is_frontend
    ):
        # How frontends find the workers depends on which generations there are.
        return Obstacle(ObstacleReason.NOT_OBSERVED, generations.why)
    parts = (
        ("its service", observed.service),
        ("its tasks", observed.tasks),
        ("its task definitions", observed.revision),
        (f"cluster {component.cluster}", snapshot.clusters.get(component.cluster, True)),
    )
    for name, part in parts:
        if isinstance(part, Unknown):
            message = f"{name} could not be observed: {part.reason}"
            return Obstacle(ObstacleReason.NOT_OBSERVED, message)
    if snapshot.clusters.get(component.cluster, True) is False:
        return Obstacle(
            ObstacleReason.CLUSTER_MISSING,
            f"cluster {component.cluster} does not exist; create it or name another under clusters",
        )
    service = known_service(observed)
    if service is None:
        return None
    if not service.owned_by(graph.name):
        return Obstacle(
            ObstacleReason.FOREIGN_SERVICE,
            f"service {service.name} in {service.cluster} exists without the tag "
            f"{TAG_GRAPH}={graph.name} and is left alone; rename the graph or component, or "
            "delete or tag that service",
        )
    if service.status == "DRAINING":
        message = f"service {service.name} is still draining"
        return Obstacle(ObstacleReason.SERVICE_DRAINING, message)
    if service.task_definition_arn not in observed.revisions:
        message = f"{service.task_definition_arn} could not be read"
        return Obstacle(ObstacleReason.NOT_OBSERVED, message)
    rejection = rejected_launch_type(component, service)
    return None if rejection is None else Obstacle(ObstacleReason.LAUNCH_TYPE_FIXED, rejection)


def find_obstacles(observed: ObservedGraph) -> Mapping[str, Obstacle]:
    """Return the obstacles of all components, by name."""
    obstacles = (
        (c.name, find_obstacle(observed.graph, c, observed.snapshot))
        for c in observed.graph.components
    )
    return {name: obstacle for name, obstacle in obstacles if obstacle is not None}


@dataclass(frozen=True, slots=True)
class Doubts:
    """Why components are not known for certain, by name.

    ``unobserved``: ECS or EC2 did not report something. ``unread``: etcd did not, which must not
    keep etcd itself from being repaired.
    """

    unobserved: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    all: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        # The class is frozen, so the derived field is set as dataclasses themselves do it.
        object.__setattr__(self, "all", {**self.unread, **self.unobserved})


def find_doubts(observed: ObservedGraph, obstacles: Mapping[str, Obstacle]) -> Doubts:
    """Return what is not known of the graph's components."""
    unobserved = {
        name: obstacle.message
        for name, obstacle in obstacles.items()
        if obstacle.reason is ObstacleReason.NOT_OBSERVED
    }
    unread: dict[str, str] = {}
    for name, component in observed.components.items():
        if component.uncertainty is not None:
            unobserved.setdefault(name, component.uncertainty)
        if component.unread_registrations is not None:
            unread[name] = component.unread_registrations
    return Doubts(unobserved, unread)
