"""Checks of volumes, mount points, and ephemeral storage."""

from __future__ import annotations

import re

from ecs_dynamo.local.wire.protocol import Json, client_error

_SOURCES = (
    "host",
    "dockerVolumeConfiguration",
    "efsVolumeConfiguration",
    "s3filesVolumeConfiguration",
    "fsxWindowsFileServerVolumeConfiguration",
)


def check(request: Json) -> None:
    """Check volumes and ephemeral storage. Raises EcsError for the first violation."""
    volumes = request.get("volumes", [])
    names = [v.get("name", "") for v in volumes]
    if len(set(names)) < len(names):
        raise client_error("Volume.name should be unique.")
    for volume in volumes:
        _check_volume(volume)
    _check_mount_points(request, set(names))
    at_launch = [v["name"] for v in volumes if v.get("configuredAtLaunch")]
    if len(at_launch) > 1:
        raise client_error("Only one volume can be configured at launch.")
    mounted = {
        m.get("sourceVolume")
        for c in request["containerDefinitions"]
        for m in c.get("mountPoints", ())
    }
    if unused := [name for name in at_launch if name not in mounted]:
        raise client_error(
            f"Volumes [{', '.join(unused)}] are not referenced by any of the containers"
        )
    compatibilities = request.get("requiresCompatibilities", ())
    if (
        "ephemeralStorage" in request
        and "EC2" in compatibilities
        and "FARGATE" not in compatibilities
    ):
        raise client_error("Tasks using the EC2 launch type do not support EphemeralStorage")
    size = request.get("ephemeralStorage", {}).get("sizeInGiB", 21)
    if size < 21:
        raise client_error("EphemeralStorage size should be at least 21")
    if size > 200:
        raise client_error("EphemeralStorage size should be at most 200")


def _check_volume(volume: Json) -> None:
    if not re.fullmatch(r"[\w-]{1,255}", volume.get("name", ""), re.ASCII):
        raise client_error("Volume.name contains invalid characters.")
    if sum(1 for key in _SOURCES if volume.get(key)) > 1:
        raise client_error("Only one volume type can be specified.")
    docker = volume.get("dockerVolumeConfiguration", {})
    if docker.get("autoprovision") and docker.get("scope", "task") == "task":
        raise client_error("'autoprovision' is only valid for volumes with the scope shared.")
    efs = volume.get("efsVolumeConfiguration")
    if efs is None:
        return
    authorization = efs.get("authorizationConfig", {})
    encrypted = efs.get("transitEncryption", "DISABLED") == "ENABLED"
    access_point = authorization.get("accessPointId")
    if access_point and efs.get("rootDirectory", "/") != "/":
        raise client_error(
            "When using an EFS access point, the root directory must either be set to "
            '"/" or be omitted.'
        )
    if not encrypted and (access_point or authorization.get("iam") == "ENABLED"):
        raise client_error("EFS IAM authorization requires TransitEncryption to be enabled.")
    port = efs.get("transitEncryptionPort")
    if port is not None and not encrypted:
        raise client_error("TransitEncryptionPort requires that TransitEncryption is enabled.")
    if port is not None and not 1 <= port <= 65_535:
        raise client_error("Invalid 'transitEncryptionPort' setting.")


def _check_mount_points(request: Json, names: set[str]) -> None:
    containers = request["containerDefinitions"]
    for container in containers:
        for mount in container.get("mountPoints", ()):
            if mount.get("sourceVolume") not in names:
                raise client_error(f"Unknown volume '{mount.get('sourceVolume')}'.")
            if not mount.get("containerPath", "").startswith("/"):
                raise client_error("MountPoint.containerPath should be an absolute path.")
        for source in container.get("volumesFrom", ()):
            name = source.get("sourceContainer")
            if name not in {c["name"] for c in containers} - {container["name"]}:
                raise client_error(f"Invalid 'volumesFrom' setting. Unknown container: '{name}'")
