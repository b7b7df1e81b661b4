"""The identity of a generation: a hash over everything that can change what workers exchange.

Workers of one generation must share one model card, and prefill and decode must transfer the KV
cache in one way. The hash covers what the worker components are rendered from, except for parts
that cannot change either (`EXCEPTED_MEMBERS`, `EXCEPTED_VARIABLES`). A change to an excepted part
rolls its component alone, within its generation. Anything that is not listed counts, so that an
unknown part leads to a rollout that is safe, and never to workers that are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.listening_ports import SIDE_CHANNEL_VARIABLE
from ecs_dynamo.model.dynamo.variables import (
    DRAIN_VARIABLES,
    ETCD_VARIABLE,
    NATS_VARIABLE,
    PREFIX_VARIABLES,
    ROUTING_ID_VARIABLE,
    SUFFIX_VARIABLE,
    SYSTEM_PORT_VARIABLE,
)
from ecs_dynamo.model.ecs.task_definition import containers_in
from ecs_dynamo.model.generations import SUFFIX_START
from ecs_dynamo.model.graph import Component, Graph, JsonObject
from ecs_dynamo.planning.desired.canonical import canonical
from ecs_dynamo.planning.desired.declaration import NOWHERE, with_endpoints
from ecs_dynamo.planning.desired.rendering import render

HASH_DIGITS = 8
"""Hexadecimal digits of a generation: short enough to read, and enough for the few
generations of one graph."""

EXCEPTED_MEMBERS: Final[Mapping[str, str]] = {
    "family": "the name of the task definition stays outside of the container",
    "tags": "tags of ECS are not visible to the process",
    "executionRoleArn": "it is used by ECS's agent, before the container starts",
    "taskRoleArn": "credentials of AWS; the model is named elsewhere",
    "cpu": "a limit of the operating system, which no card states",
    "memory": "a limit of the operating system; the KV cache is in the memory of the GPU",
    "requiresCompatibilities": "a check that ECS makes at registration",
    "placementConstraints": "where a task may run",
}
"""Excepted members of a task definition -> why a change to them is safe within a generation."""
EXCEPTED_CONTAINER_MEMBERS: Final[Mapping[str, str]] = {
    "logConfiguration": "where output goes",
    "repositoryCredentials": "a reference to credentials; the image is named elsewhere",
    "secrets": "references to credentials; a process shows them to nobody",
    "healthCheck": "a command beside the worker, which only reads from it",
    "stopTimeout": "time to finish, after the worker has left discovery",
    "startTimeout": "time that ECS waits for a container that others depend on",
    "cpu": "a limit of the operating system, which no card states",
    "memory": "a limit of the operating system; the KV cache is in the memory of the GPU",
    "memoryReservation": "a reservation for placement",
    "portMappings": "where ports are reachable; each worker registers its own address and ports",
    "dockerLabels": "labels are not visible to the process",
}
"""Excepted members of a container definition -> why a change to them is safe."""
EXCEPTED_VARIABLES: Final[Mapping[str, str]] = {
    ETCD_VARIABLE: "an endpoint; when it moves, all dependants roll together",
    NATS_VARIABLE: "an endpoint; when it moves, all dependants roll together",
    SUFFIX_VARIABLE: "the generation itself",
    SYSTEM_PORT_VARIABLE: "each worker registers the port of its own page",
    ROUTING_ID_VARIABLE: "it identifies a revision; the card's checksum leaves it out",
    SIDE_CHANNEL_VARIABLE: "each worker announces the port of its own side channel with a request",
    **dict.fromkeys(DRAIN_VARIABLES, "time to finish, after the worker has left discovery"),
    **dict.fromkeys(PREFIX_VARIABLES, "read by frontends only"),
}
"""Excepted environment variables -> why a change to them is safe within a generation."""


def card_content(content: JsonObject, containers: Iterable[str]) -> JsonObject:
    """Return the parts of a task definition that can change the card or the transfer protocol.

    ``containers`` are the names of those that run Dynamo, from whose variables the endpoints are
    read. The result is canonical, so that it is equal for equal task definitions, as declared and
    as ECS describes them.
    """
    neutral = with_endpoints(content, NOWHERE, tuple(containers))
    bare: dict[str, Any] = {k: v for k, v in neutral.items() if k not in EXCEPTED_MEMBERS}
    bare["containerDefinitions"] = [_bare_container(c) for c in containers_in(neutral)]
    return canonical(bare)


def _bare_container(container: Mapping[str, Any]) -> dict[str, Any]:
    bare = {k: v for k, v in container.items() if k not in EXCEPTED_CONTAINER_MEMBERS}
    if "environment" in bare:
        bare["environment"] = [
            e for e in bare["environment"] if e.get("name") not in EXCEPTED_VARIABLES
        ]
    return bare


def declared_card_content(graph: Graph, component: Component) -> JsonObject:
    """Return `card_content` of a component as it is declared."""
    content = render(graph, component, NOWHERE, graph.runtime.system_port)
    return card_content(content, dynamo_containers(component).names)


def generation_of(graph: Graph) -> str:
    """Return the generation of the declared workers: ``g`` and 8 hexadecimal digits (SHA-256).

    It depends on the workers' names, roles and content, and neither on counts, places and limits,
    nor on the order of the components.
    """
    parts = {
        c.name: {
            "roles": sorted(c.roles),
            "content": declared_card_content(graph, c),
            "namespace": graph.namespace,
        }
        for c in graph.components
        if c.is_worker and not c.declared_name
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return f"{SUFFIX_START}{hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]}"
