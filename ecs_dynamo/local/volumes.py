"""Volumes of tasks: which folder of the machine stands for each.

EFS file systems and an instance's own folders outlive tasks; a volume without a source lives as
long as its task. Checks and messages are those of RegisterTaskDefinition (ECS API reference, Volume
and EFSVolumeConfiguration).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ecs_dynamo.local.protocol import Json, client_error
from ecs_dynamo.local.state import Task


def check_volumes(request: Json) -> None:
    """ECS's rules of a task definition's volumes and mount points."""
    names = [v.get("name") for v in request.get("volumes", ())]
    if len(set(names)) != len(names):
        raise client_error("Volume.name should be unique.")
    for volume in request.get("volumes", ()):
        efs = volume.get("efsVolumeConfiguration")
        if efs is None:
            continue
        grants = efs.get("authorizationConfig", {})
        encrypted = efs.get("transitEncryption", "DISABLED") == "ENABLED"
        point = grants.get("accessPointId")
        if point and efs.get("rootDirectory", "/") != "/":
            raise client_error(
                "The root directory must be omitted or set to / when an access point is specified."
            )
        if not encrypted and (point or grants.get("iam") == "ENABLED"):
            raise client_error("Transit encryption must be enabled with EFS authorization.")
    for container in request["containerDefinitions"]:
        for mount in container.get("mountPoints", ()):
            if mount.get("sourceVolume") not in names:
                raise client_error(f"Unknown volume '{mount.get('sourceVolume')}'.")


def _below(folder: Path, path: str) -> Path:
    return folder.joinpath(*(part for part in Path(path).parts if part not in ("/", "..")))


def volume_folders(task: Task, directory: Path) -> dict[str, Path]:
    """The folder of each of the task's volumes, by name; ``directory`` is the server's own."""
    found: dict[str, Path] = {}
    for volume in task.definition.content.get("volumes", ()):
        name = str(volume["name"])
        efs = volume.get("efsVolumeConfiguration")
        source = volume.get("host", {}).get("sourcePath")
        if efs is not None:
            root = directory / "efs" / str(efs["fileSystemId"])
            point = efs.get("authorizationConfig", {}).get("accessPointId")
            found[name] = (
                root / point if point else _below(root / "root", efs.get("rootDirectory", "/"))
            )
        elif source:
            host = task.instance.ec2_id if task.instance is not None else task.id
            found[name] = _below(directory / "hosts" / host, source)
        else:
            found[name] = directory / task.id / "volumes" / name
    return found


def mounts_of(container: Json, folders: Mapping[str, Path]) -> tuple[tuple[str, Path], ...]:
    """(path in the container, folder) of each of its mount points."""
    return tuple(
        (str(m["containerPath"]), folders[m["sourceVolume"]])
        for m in container.get("mountPoints", ())
    )
