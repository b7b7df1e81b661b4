"""Task definitions that violate rules of volumes, mount points, and ephemeral storage."""

from __future__ import annotations

from typing import Any

from tests.unit.definitions.builders import Json, container, ec2, fargate
from tests.unit.definitions.invalid.base import (
    FIRST,
    InvalidDefinition,
    awsvpc,
    changed,
    with_container,
)


def _with_efs(**members: Any) -> Json:
    return ec2(
        mode="awsvpc",
        volumes=[{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1", **members}}],
    )


STORAGE: list[InvalidDefinition] = [
    InvalidDefinition("volume-name", changed(ec2(), volumes=[{"name": "a b"}]), "volumes[0]"),
    InvalidDefinition("volume-name", changed(ec2(), volumes=[{"host": {}}]), "volumes[0]"),
    InvalidDefinition(
        "volume-names-unique",
        changed(ec2(), volumes=[{"name": "v"}, {"name": "v"}]),
        "volumes[1].name",
    ),
    InvalidDefinition(
        "volume-kind",
        changed(
            ec2(),
            volumes=[
                {
                    "name": "v",
                    "host": {"sourcePath": "/a"},
                    "efsVolumeConfiguration": {"fileSystemId": "fs-1"},
                }
            ],
        ),
        "volumes[0]",
    ),
    with_container(
        ec2,
        "mountPoints[0]",
        "volume-unknown",
        mountPoints=[{"sourceVolume": "models", "containerPath": "/models"}],
    ),
    InvalidDefinition(
        "mount-path",
        changed(ec2(container(mountPoints=[{"sourceVolume": "v"}])), volumes=[{"name": "v"}]),
        f"{FIRST}.mountPoints[0]",
    ),
    with_container(
        ec2, "volumesFrom[0]", "volumes-from-unknown", volumesFrom=[{"sourceContainer": "other"}]
    ),
    InvalidDefinition(
        "volume-configured-at-launch",
        awsvpc(
            container(mountPoints=[{"sourceVolume": "scratch", "containerPath": "/scratch"}]),
            volumes=[{"name": "scratch", "configuredAtLaunch": True}],
        ),
        "volumes[0].configuredAtLaunch",
    ),
    InvalidDefinition(
        "efs-root-directory",
        _with_efs(
            rootDirectory="/x",
            transitEncryption="ENABLED",
            authorizationConfig={"accessPointId": "fsap-1"},
        ),
        "volumes[0].efsVolumeConfiguration.rootDirectory",
    ),
    InvalidDefinition(
        "efs-encryption",
        _with_efs(authorizationConfig={"iam": "ENABLED"}),
        "volumes[0].efsVolumeConfiguration",
    ),
    InvalidDefinition(
        "efs-port",
        _with_efs(transitEncryptionPort=2049),
        "volumes[0].efsVolumeConfiguration.transitEncryptionPort",
    ),
    InvalidDefinition(
        "docker-autoprovision",
        changed(
            ec2(),
            volumes=[{"name": "v", "dockerVolumeConfiguration": {"autoprovision": True}}],
        ),
        "volumes[0].dockerVolumeConfiguration.autoprovision",
    ),
    *(
        InvalidDefinition(
            "ephemeral-storage",
            changed(fargate(), ephemeralStorage={"sizeInGiB": size}),
            "ephemeralStorage.sizeInGiB",
        )
        for size in (20, 201)
    ),
    InvalidDefinition(
        "ephemeral-storage-on-ec2",
        changed(ec2(), ephemeralStorage={"sizeInGiB": 30}),
        "ephemeralStorage",
    ),
]
