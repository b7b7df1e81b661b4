"""Rules of volumes and mount points."""

from __future__ import annotations

from typing import Any, Final

from ecs_dynamo.config.ecs_rules.base import (
    ANSWER,
    API,
    NAME,
    Breach,
    Breaches,
    Content,
    Rule,
    shown,
)

_KINDS: Final = (
    "host",
    "dockerVolumeConfiguration",
    "efsVolumeConfiguration",
    "s3filesVolumeConfiguration",
    "fsxWindowsFileServerVolumeConfiguration",
)


def _volumes(content: Content) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = content.template.get("volumes", [])
    return volumes


def _volume_names(content: Content) -> set[str]:
    return {str(v.get("name")) for v in _volumes(content)}


def _name(content: Content) -> Breaches:
    for index, volume in enumerate(_volumes(content)):
        name = volume.get("name")
        if not NAME.fullmatch(str(name or "")):
            yield Breach(("volumes", index), {"found": shown(name)})


def _name_twice(content: Content) -> Breaches:
    names: set[str] = set()
    for index, volume in enumerate(_volumes(content)):
        name = str(volume.get("name"))
        if name in names:
            yield Breach(("volumes", index, "name"), {"found": shown(name)})
        names.add(name)


def _kinds(content: Content) -> Breaches:
    for index, volume in enumerate(_volumes(content)):
        kinds = [key for key in _KINDS if volume.get(key)]
        if len(kinds) > 1:
            yield Breach(("volumes", index), {"found": " and ".join(kinds)})


def _unknown(content: Content) -> Breaches:
    known = sorted(_volume_names(content))
    for path, mount, _ in content.entries("mountPoints"):
        name = mount.get("sourceVolume")
        if name not in known:
            remedy = f"write one of {', '.join(known)}" if known else "add it under volumes"
            yield Breach(path, {"found": shown(name), "remedy": remedy})


def _no_path(content: Content) -> Breaches:
    for path, mount, _ in content.entries("mountPoints"):
        if not str(mount.get("containerPath") or "").startswith("/"):
            yield Breach(path, {"found": shown(mount.get("containerPath"))})


def _unknown_source(content: Content) -> Breaches:
    known = content.names()
    for path, entry, container in content.entries("volumesFrom"):
        source = entry.get("sourceContainer")
        if source not in known or source == container["name"]:
            yield Breach(path, {"found": shown(source)})


def _at_launch(content: Content) -> Breaches:
    for index, volume in enumerate(_volumes(content)):
        if volume.get("configuredAtLaunch"):
            yield Breach(
                ("volumes", index, "configuredAtLaunch"), {"found": shown(volume.get("name"))}
            )


def _efs(content: Content) -> Any:
    for index, volume in enumerate(_volumes(content)):
        efs = volume.get("efsVolumeConfiguration")
        if efs:
            yield ("volumes", index, "efsVolumeConfiguration"), efs


def _efs_root(content: Content) -> Breaches:
    for path, efs in _efs(content):
        point = efs.get("authorizationConfig", {}).get("accessPointId")
        if point and efs.get("rootDirectory", "/") != "/":
            yield Breach((*path, "rootDirectory"), {"found": shown(efs["rootDirectory"])})


def _efs_encryption(content: Content) -> Breaches:
    for path, efs in _efs(content):
        grants = efs.get("authorizationConfig", {})
        needs_encryption = grants.get("accessPointId") or grants.get("iam") == "ENABLED"
        if needs_encryption and efs.get("transitEncryption") != "ENABLED":
            yield Breach(path)


def _efs_port(content: Content) -> Breaches:
    for path, efs in _efs(content):
        port = efs.get("transitEncryptionPort")
        encrypted = efs.get("transitEncryption") == "ENABLED"
        if port is not None and (not encrypted or not 1 <= port <= 65_535):
            yield Breach((*path, "transitEncryptionPort"), {"found": port})


def _autoprovision(content: Content) -> Breaches:
    for index, volume in enumerate(_volumes(content)):
        docker = volume.get("dockerVolumeConfiguration") or {}
        if docker.get("autoprovision") and docker.get("scope") != "shared":
            yield Breach(("volumes", index, "dockerVolumeConfiguration", "autoprovision"))


def _ephemeral(content: Content) -> Breaches:
    size = content.template.get("ephemeralStorage", {}).get("sizeInGiB")
    if size is not None and not 21 <= size <= 200:
        yield Breach(("ephemeralStorage", "sizeInGiB"), {"found": size})


def _ephemeral_on_ec2(content: Content) -> Breaches:
    needed = content.template.get("requiresCompatibilities", ())
    if content.template.get("ephemeralStorage") and "EC2" in needed and not content.fargate:
        yield Breach(("ephemeralStorage",))


RULES: Final = (
    Rule(
        "volume-name",
        API + "Volume.name",
        "a volume's name takes up to 255 letters, digits, hyphens and underscores, found {found}",
        "rename it",
        _name,
    ),
    Rule(
        "volume-names-unique",
        API + "Volume.name",
        "two volumes are called {found}",
        "rename one of them",
        _name_twice,
    ),
    Rule(
        "volume-kind",
        API + "Volume",
        "a volume has exactly one kind, found {found}",
        "keep one of them",
        _kinds,
    ),
    Rule(
        "volume-unknown",
        ANSWER + "Unknown volume '...'.",
        "there is no volume {found} to mount",
        "{remedy}",
        _unknown,
    ),
    Rule(
        "mount-path",
        API + "MountPoint.containerPath",
        "a mount point needs an absolute containerPath, found {found}",
        "add containerPath",
        _no_path,
    ),
    Rule(
        "volumes-from-unknown",
        ANSWER + "Invalid 'volumesFrom' setting. Unknown container: '...'",
        "there is no other container {found} to take volumes from",
        "write the name of another container",
        _unknown_source,
    ),
    Rule(
        "volume-configured-at-launch",
        API + "Volume.configuredAtLaunch: volumeConfigurations are needed when calling "
        "CreateService",
        "the volume {found} has configuredAtLaunch, for which CreateService needs "
        "volumeConfigurations, and ecs-dynamo passes none",
        "use efsVolumeConfiguration or host.sourcePath, or remove configuredAtLaunch",
        _at_launch,
    ),
    Rule(
        "efs-root-directory",
        ANSWER + 'When using an EFS access point, the root directory must either be set to "/" or '
        "be omitted",
        "an access point has a root directory of its own, found rootDirectory {found}",
        "remove rootDirectory",
        _efs_root,
    ),
    Rule(
        "efs-encryption",
        ANSWER + "EFS IAM authorization requires TransitEncryption to be enabled",
        "an access point or IAM authorization needs encryption in transit",
        "set transitEncryption to ENABLED",
        _efs_encryption,
    ),
    Rule(
        "efs-port",
        ANSWER + "TransitEncryptionPort requires that TransitEncryption is enabled",
        "transitEncryptionPort {found} needs transitEncryption ENABLED and a port of 1 to 65535",
        "set transitEncryption to ENABLED, or remove the port",
        _efs_port,
    ),
    Rule(
        "docker-autoprovision",
        API + "DockerVolumeConfiguration.autoprovision: only used if the scope is shared",
        "autoprovision is for Docker volumes of scope shared",
        "set scope to shared, or remove autoprovision",
        _autoprovision,
    ),
    Rule(
        "ephemeral-storage",
        API + "EphemeralStorage.sizeInGiB; EphemeralStorage size should be at least 21",
        "ECS accepts an ephemeral storage of 21 to 200 GiB, found {found}",
        "write 21 to 200, or remove ephemeralStorage for the 20 GiB that each task has",
        _ephemeral,
    ),
    Rule(
        "ephemeral-storage-on-ec2",
        ANSWER + "Tasks using the EC2 launch type do not support EphemeralStorage",
        "ephemeralStorage is for Fargate",
        "remove it: on EC2 a task uses the instance's disk",
        _ephemeral_on_ec2,
    ),
)
