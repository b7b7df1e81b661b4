"""What RegisterTaskDefinition does before it takes a task definition: it checks and normalises.

The checks are those of the API reference; the messages are ECS's own where public transcripts show
them. Checks stop at the first fault, as ECS does. Nothing is shared with `validate`, which must
find the same faults by itself.
"""

from __future__ import annotations

import copy

from ecs_dynamo.local.registration import containers, fargate, limits, network, storage
from ecs_dynamo.local.registration.names import check_names
from ecs_dynamo.local.registration.units import cpu_units, memory_mib
from ecs_dynamo.local.wire.protocol import Json, client_error

__all__ = ["admit", "compatibilities"]


def admit(request: Json) -> Json:
    """The request as ECS keeps it: sizes in units, defaults filled in. Raises EcsError."""
    made = copy.deepcopy(request)
    check_names(made)
    if _is_managed(made) and "EC2" not in made["requiresCompatibilities"]:
        # The default for Managed Instances (developer guide, their task definition parameters).
        made.setdefault("networkMode", "awsvpc")
    _normalise_sizes(made)
    containers.check(made)
    limits.check(made)
    network.check(made)
    storage.check(made)
    if "FARGATE" in made.get("requiresCompatibilities", ()):
        fargate.check(made)
    _fill_in(made)
    return made


def compatibilities(content: Json) -> list[str]:
    """What a task definition could run on, which ECS reports whatever was asked for."""
    found = ["EC2"]
    if fargate.fits(content):
        found.append("FARGATE")
    if _is_managed(content):
        found.append("MANAGED_INSTANCES")
    return found


def _is_managed(content: Json) -> bool:
    return "MANAGED_INSTANCES" in (content.get("requiresCompatibilities") or ())


def _normalise_sizes(request: Json) -> None:
    """ECS answers ``.25 vCPU`` with 256 and ``0.5 GB`` with 512."""
    for key, read in (("cpu", cpu_units), ("memory", memory_mib)):
        if key not in request:
            continue
        units = read(str(request[key]))
        if units is None:
            raise client_error(f"Invalid '{key}' setting for task.")
        request[key] = str(units)


def _fill_in(request: Json) -> None:
    """ECS answers with these even where they were left out."""
    shared = request.get("networkMode") in ("host", "awsvpc")
    for container in request["containerDefinitions"]:
        for key in ("environment", "mountPoints", "volumesFrom", "portMappings"):
            container.setdefault(key, [])
        container.setdefault("essential", True)
        container.setdefault("cpu", 0)
        for mapping in container["portMappings"]:
            mapping.setdefault("protocol", "tcp")
            if shared and "containerPort" in mapping:
                mapping["hostPort"] = mapping["containerPort"]
