"""The EFS volume of etcd or NATS in its task definition.

NATS does not lock its store, and two servers with one store would destroy it. A component with a
volume is therefore stopped before it is replaced (minimumHealthyPercent 0, maximumPercent 100). In
between it does not serve, as after any loss of a single replica.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from pydantic.alias_generators import to_camel

from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.config.task_definitions.prepare import (
    TaskDefinition,
)
from ecs_dynamo.model.dynamo.containers import is_log_router
from ecs_dynamo.model.ecs.task_definition import (
    CONTAINERS,
    command_line,
    container_ports,
    variable_value,
)
from ecs_dynamo.model.graph import CLIENT_PORTS, Role
from ecs_dynamo.model.spec.infrastructure import VolumeSpec
from ecs_dynamo.model.spec.rollout import RolloutSpec

VOLUME_NAME: Final = "ecs-dynamo-data"
_OPTIONS: Final = {
    Role.ETCD: re.compile(r"(?:^|\s)--?data-dir(?:=|\s+)(\S+)"),
    Role.NATS: re.compile(r"(?:^|\s)--?(?:sd|store_dir)(?:=|\s+)(\S+)"),
}
_SERVERS: Final = {
    Role.ETCD: re.compile(r"(?:^|[\s/])etcd(?:$|[\s:@])"),
    Role.NATS: re.compile(r"(?:^|[\s/])nats(?:-server)?(?:$|[\s:@])"),
}
"""Names of the server in an image or a command."""
_CONFIG_FILE: Final = {
    Role.ETCD: re.compile(r"(?:^|\s)--?config-file\b"),
    Role.NATS: re.compile(r"(?:^|\s)(?:-c|--config)\b"),
}
_REMEDY: Final = {
    Role.ETCD: "add --data-dir=/etcd-data to its command",
    Role.NATS: "add -sd and /data to its command",
}


def serving_container(content: Mapping[str, Any], role: Role) -> int:
    """Return the index of the container that runs etcd or NATS.

    It is the container that maps the port of ``role``; if there is none, the one whose command or
    image names the server; otherwise the first that is not a log router.
    """
    containers = content[CONTAINERS]
    for index, container in enumerate(containers):
        if CLIENT_PORTS[role] in container_ports(container):
            return index
    for index, container in enumerate(containers):
        text = f"{container.get('image', '')} {command_line(container)}"
        if _SERVERS[role].search(text) and not is_log_router(container):
            return index
    return next((i for i, c in enumerate(containers) if not is_log_router(c)), 0)


def data_directory(container: Mapping[str, Any], role: Role) -> str | None:
    """Return the data directory in the container's command or, for etcd, its environment."""
    option = _OPTIONS[role].search(command_line(container))
    if option is not None:
        return option[1]
    return variable_value(container, "ETCD_DATA_DIR") if role is Role.ETCD else None


def single_task(rollout: RolloutSpec) -> RolloutSpec:
    """Return ``rollout`` with limits that never allow a second task beside the first."""
    return rollout.model_copy(update={"minimum_healthy_percent": 0, "maximum_percent": 100})


def check_single_task(
    rollout: RolloutSpec, why: str, path: FieldPath, document: Document, report: Report
) -> None:
    """Reject declared limits that allow a second task. ``why`` completes the message."""
    required = single_task(rollout)
    for field in ("minimum_healthy_percent", "maximum_percent"):
        declared, value = getattr(rollout, field), getattr(required, field)
        if field in rollout.model_fields_set and declared != value:
            key = to_camel(field)
            message = f"{key} {declared} allows two tasks at once, but {why}"
            report.error(document, (*path, key), message, f"remove it; its value is {value}")


def mount_volume(
    content: Mapping[str, Any],
    role: Role,
    volume: VolumeSpec,
    definition: TaskDefinition,
    report: Report,
) -> dict[str, Any]:
    """Return ``content`` with the volume mounted at the data directory; problems are reported."""
    template: dict[str, Any] = copy.deepcopy(dict(content))
    index = serving_container(template, role)
    container = template[CONTAINERS][index]
    path = _mount_path(container, index, role, volume, definition, report)
    if path is None:
        return template
    volumes = template.setdefault("volumes", [])
    if any(v.get("name") == VOLUME_NAME for v in volumes):
        where = definition.at("volumes")
        message = f"the volume name {VOLUME_NAME} is reserved for infrastructure.{role}.volume"
        report.error(definition.document, where, message, "rename it")
    volumes.append(
        {"name": VOLUME_NAME, "efsVolumeConfiguration": _efs_configuration(volume)},
    )
    container.setdefault("mountPoints", []).append(
        {"sourceVolume": VOLUME_NAME, "containerPath": path, "readOnly": False}
    )
    return template


def _mount_path(
    container: Mapping[str, Any],
    index: int,
    role: Role,
    volume: VolumeSpec,
    definition: TaskDefinition,
    report: Report,
) -> str | None:
    where = definition.at(CONTAINERS, index, "command")
    data = data_directory(container, role)
    if (
        data is None
        and volume.path is not None
        and _CONFIG_FILE[role].search(command_line(container))
    ):
        data = volume.path  # The directory is in a file in the image, which cannot be checked.
    if data is None or not data.startswith("/"):
        why = f"its command has the relative {data}" if data else "its command names no directory"
        message = f"the data of {role} would not be on the volume: {why}"
        report.error(definition.document, where, message, _REMEDY[role])
        return None
    path = volume.path or data
    if not PurePosixPath(data).is_relative_to(path):
        message = f"the data of {role} is at {data}, which is not on the volume at {path}"
        report.error(definition.document, where, message, f"set volume.path to {data}")
        return None
    used = {m.get("containerPath") for m in container.get("mountPoints", ())}
    if path in used:
        where = definition.at(CONTAINERS, index, "mountPoints")
        message = f"another volume is mounted at {path}"
        report.error(definition.document, where, message, "remove that mount point")
        return None
    return path


def _efs_configuration(volume: VolumeSpec) -> dict[str, Any]:
    configuration: dict[str, Any] = {
        "fileSystemId": volume.file_system_id,
        "transitEncryption": "ENABLED" if volume.transit_encryption else "DISABLED",
    }
    if volume.root_directory is not None:
        configuration["rootDirectory"] = volume.root_directory
    if volume.access_point_id is not None or volume.iam:
        authorization: dict[str, str] = {"iam": "ENABLED" if volume.iam else "DISABLED"}
        if volume.access_point_id is not None:
            authorization["accessPointId"] = volume.access_point_id
        configuration["authorizationConfig"] = authorization
    return configuration
