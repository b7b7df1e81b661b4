"""Checks and normalisation of task definitions by RegisterTaskDefinition.

The checks follow the API reference. Messages are worded as ECS words them wherever a public
transcript shows its wording. As in ECS, the first violation is reported. No code is shared with the
`validate` command, which must find the same violations independently.
"""

from __future__ import annotations

import copy

from ecs_dynamo.local.registration import containers, fargate, limits, network, storage
from ecs_dynamo.local.registration.names import check_names
from ecs_dynamo.local.registration.units import cpu_units, memory_mib
from ecs_dynamo.local.wire.protocol import Json, client_error

__all__ = ["admit", "compatibilities"]


def admit(request: Json) -> Json:
    """Return the task definition as ECS stores it: with sizes in units, and with defaults.

    Raises EcsError for the first violation.
    """
    content = copy.deepcopy(request)
    check_names(content)
    if _is_managed(content) and "EC2" not in content["requiresCompatibilities"]:
        # The default for Managed Instances (developer guide, "Task definition parameters" for
        # them).
        content.setdefault("networkMode", "awsvpc")
    _normalise_sizes(content)
    containers.check(content)
    limits.check(content)
    network.check(content)
    storage.check(content)
    if "FARGATE" in content.get("requiresCompatibilities", ()):
        fargate.check(content)
    _add_defaults(content)
    return content


def compatibilities(content: Json) -> list[str]:
    """Return what a task definition can run on, which ECS reports in ``compatibilities``."""
    result = ["EC2"]
    if fargate.fits(content):
        result.append("FARGATE")
    if _is_managed(content):
        result.append("MANAGED_INSTANCES")
    return result


def _is_managed(content: Json) -> bool:
    return "MANAGED_INSTANCES" in (content.get("requiresCompatibilities") or ())


def _normalise_sizes(request: Json) -> None:
    """Convert task sizes to units, for example ``.25 vCPU`` to 256 and ``0.5 GB`` to 512."""
    for key, parse in (("cpu", cpu_units), ("memory", memory_mib)):
        if key not in request:
            continue
        units = parse(str(request[key]))
        if units is None:
            raise client_error(f"Invalid '{key}' setting for task.")
        request[key] = str(units)


def _add_defaults(request: Json) -> None:
    """Add the members that ECS returns even if the request omits them."""
    same_ports = request.get("networkMode") in ("host", "awsvpc")
    for container in request["containerDefinitions"]:
        for key in ("environment", "mountPoints", "volumesFrom", "portMappings"):
            container.setdefault(key, [])
        container.setdefault("essential", True)
        container.setdefault("cpu", 0)
        for mapping in container["portMappings"]:
            mapping.setdefault("protocol", "tcp")
            if same_ports and "containerPort" in mapping:
                mapping["hostPort"] = mapping["containerPort"]
