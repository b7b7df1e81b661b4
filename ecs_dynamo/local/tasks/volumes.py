"""The folders of this machine that replace volumes of tasks.

EFS file systems and host folders of an instance outlive tasks. A volume without a source, and one
that is configured at launch, has the lifetime of its task.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ecs_dynamo.local.state.entities import Task
from ecs_dynamo.local.wire.protocol import Json


def _below(folder: Path, path: str) -> Path:
    """Return ``path`` below ``folder``, which it cannot leave."""
    return folder.joinpath(*(part for part in Path(path).parts if part not in ("/", "..")))


def volume_folders(task: Task, directory: Path) -> dict[str, Path]:
    """Return the folder of each volume of a task, by name, below the server's ``directory``."""
    folders: dict[str, Path] = {}
    for volume in task.definition.content.get("volumes", ()):
        name = str(volume["name"])
        efs = volume.get("efsVolumeConfiguration")
        source = volume.get("host", {}).get("sourcePath")
        if efs is not None:
            root = directory / "efs" / str(efs["fileSystemId"])
            access_point = efs.get("authorizationConfig", {}).get("accessPointId")
            folders[name] = (
                root / access_point
                if access_point
                else _below(root / "root", efs.get("rootDirectory", "/"))
            )
        elif source:
            host = task.instance.ec2_id if task.instance is not None else task.id
            folders[name] = _below(directory / "hosts" / host, source)
        else:
            folders[name] = directory / task.id / "volumes" / name
    return folders


def mounts_of(container: Json, folders: Mapping[str, Path]) -> tuple[tuple[str, Path], ...]:
    """Return (path in the container, folder) for each mount point of a container."""
    return tuple(
        (str(m["containerPath"]), folders[m["sourceVolume"]])
        for m in container.get("mountPoints", ())
    )
