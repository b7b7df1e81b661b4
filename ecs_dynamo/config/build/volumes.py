"""The EFS volume of etcd or NATS, put into its task definition.

NATS does not lock its store and two servers on one would ruin it, so a component with a volume is
replaced by stopping first (minimumHealthyPercent 0, maximumPercent 100): the price is the time
without it, which there is at any loss of a single replica.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.config.task_definitions.prepare import (
    CONTAINERS,
    TaskDefinition,
)
from ecs_dynamo.model.dynamo.containers import is_log_router
from ecs_dynamo.model.graph import ETCD_CLIENT_PORT, NATS_CLIENT_PORT, Role
from ecs_dynamo.model.spec.infrastructure import VolumeSpec
from ecs_dynamo.model.spec.rollout import RolloutSpec

VOLUME_NAME: Final = "ecs-dynamo-data"
_PORTS: Final = {Role.ETCD: ETCD_CLIENT_PORT, Role.NATS: NATS_CLIENT_PORT}
_OPTIONS: Final = {
    Role.ETCD: re.compile(r"(?:^|\s)--?data-dir(?:=|\s+)(\S+)"),
    Role.NATS: re.compile(r"(?:^|\s)--?(?:sd|store_dir)(?:=|\s+)(\S+)"),
}
_SERVERS: Final = {
    Role.ETCD: re.compile(r"(?:^|[\s/])etcd(?:$|[\s:@])"),
    Role.NATS: re.compile(r"(?:^|[\s/])nats(?:-server)?(?:$|[\s:@])"),
}
"""How an image or a command names the server."""
_CONFIG_FILE: Final = {
    Role.ETCD: re.compile(r"(?:^|\s)--?config-file\b"),
    Role.NATS: re.compile(r"(?:^|\s)(?:-c|--config)\b"),
}
_REMEDY: Final = {
    Role.ETCD: "add --data-dir=/etcd-data to its command",
    Role.NATS: "add -sd and /data to its command",
}


def serving_container(content: Mapping[str, Any], role: Role) -> int:
    """Index of the container that runs etcd or NATS.

    The one that maps the port of ``role``; where none does, the one whose command or image names
    the server; else the first that is not a log router.
    """
    containers = content[CONTAINERS]
    for index, container in enumerate(containers):
        ports = {m.get("containerPort") for m in container.get("portMappings", ())}
        if _PORTS[role] in ports:
            return index
    for index, container in enumerate(containers):
        text = f"{container.get('image', '')} {command_line(container)}"
        if _SERVERS[role].search(text) and not is_log_router(container):
            return index
    return next((i for i, c in enumerate(containers) if not is_log_router(c)), 0)


def data_directory(container: Mapping[str, Any], role: Role) -> str | None:
    """Where the container's command (or, for etcd, its environment) says that the data is."""
    found = _OPTIONS[role].search(command_line(container))
    if found is not None:
        return found[1]
    for entry in container.get("environment", ()):
        if role is Role.ETCD and entry.get("name") == "ETCD_DATA_DIR":
            return str(entry.get("value", ""))
    return None


def command_line(container: Mapping[str, Any]) -> str:
    """Entry point and command as one text, to look for options in."""
    return " ".join((*container.get("entryPoint", ()), *container.get("command", ())))


def alone(rollout: RolloutSpec) -> RolloutSpec:
    """The limits with which there is never a second task beside the first."""
    return rollout.model_copy(update={"minimum_healthy_percent": 0, "maximum_percent": 100})


def check_alone(
    rollout: RolloutSpec, why: str, place: FieldPath, document: Document, report: Report
) -> None:
    """Refuse limits that someone set and that ``why`` can not be had with."""
    for field, key, needed in (
        ("minimum_healthy_percent", "minimumHealthyPercent", 0),
        ("maximum_percent", "maximumPercent", 100),
    ):
        if field in rollout.model_fields_set and getattr(rollout, field) != needed:
            message = f"{key} {getattr(rollout, field)} lets two tasks run at once, but {why}"
            report.error(document, (*place, key), message, f"remove it (it is {needed} then)")


def mount_volume(
    content: Mapping[str, Any],
    role: Role,
    volume: VolumeSpec,
    definition: TaskDefinition,
    report: Report,
) -> dict[str, Any]:
    """``content`` with the volume mounted where the data is; what is wrong is reported."""
    made: dict[str, Any] = copy.deepcopy(dict(content))
    index = serving_container(made, role)
    container = made[CONTAINERS][index]
    path = _mount_path(container, index, role, volume, definition, report)
    if path is None:
        return made
    volumes = made.setdefault("volumes", [])
    if any(v.get("name") == VOLUME_NAME for v in volumes):
        where = definition.at("volumes")
        message = f"the volume name {VOLUME_NAME} is kept for infrastructure.{role}.volume"
        report.error(definition.document, where, message, "rename it")
    volumes.append(
        {"name": VOLUME_NAME, "efsVolumeConfiguration": _efs_configuration(volume)},
    )
    container.setdefault("mountPoints", []).append(
        {"sourceVolume": VOLUME_NAME, "containerPath": path, "readOnly": False}
    )
    return made


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
        data = volume.path  # Said in a file within the image: it is taken on trust.
    if data is None or not data.startswith("/"):
        found = f"its command has the relative {data}" if data else "its command names none"
        message = f"the data of {role} would not be on the volume: {found}"
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
        message = f"something is mounted at {path} already"
        report.error(definition.document, where, message, "remove that mount point")
        return None
    return path


def _efs_configuration(volume: VolumeSpec) -> dict[str, Any]:
    made: dict[str, Any] = {
        "fileSystemId": volume.file_system_id,
        "transitEncryption": "ENABLED" if volume.transit_encryption else "DISABLED",
    }
    if volume.root_directory is not None:
        made["rootDirectory"] = volume.root_directory
    if volume.access_point_id is not None or volume.iam:
        authorization: dict[str, str] = {"iam": "ENABLED" if volume.iam else "DISABLED"}
        if volume.access_point_id is not None:
            authorization["accessPointId"] = volume.access_point_id
        made["authorizationConfig"] = authorization
    return made
