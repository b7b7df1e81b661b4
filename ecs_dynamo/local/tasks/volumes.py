"""Volumes of tasks: which folder of the machine stands for each.

EFS file systems and an instance's own folders outlive tasks; a volume without a source, or one that
is configured at launch, lives as long as its task.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ecs_dynamo.local.state.entities import Task
from ecs_dynamo.local.wire.protocol import Json


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
