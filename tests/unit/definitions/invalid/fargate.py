"""Task definitions that violate rules of the restrictions of Fargate."""

from __future__ import annotations

from tests.unit.definitions.builders import LOGS, container, ec2, fargate
from tests.unit.definitions.invalid.base import (
    FIRST,
    InvalidDefinition,
    changed,
    linux,
    with_container,
    without_role,
)

FARGATE: list[InvalidDefinition] = [
    with_container(fargate, "stopTimeout", "fargate-stopTimeout", stopTimeout=121),
    with_container(fargate, "stopTimeout", "fargate-stopTimeout", stopTimeout=1),
    with_container(fargate, "startTimeout", "fargate-startTimeout", startTimeout=121),
    InvalidDefinition(
        "fargate-size-required", {k: v for k, v in fargate().items() if k != "cpu"}, "cpu"
    ),
    InvalidDefinition(
        "fargate-size-required", {k: v for k, v in fargate().items() if k != "memory"}, "memory"
    ),
    InvalidDefinition("fargate-cpu", changed(fargate(), cpu="128"), "cpu"),
    InvalidDefinition("fargate-cpu", changed(fargate(), cpu="32 vCPU"), "cpu"),
    InvalidDefinition("fargate-memory", changed(fargate(), cpu="1 vCPU", memory="16 GB"), "memory"),
    InvalidDefinition("fargate-memory", changed(fargate(), cpu="1024", memory="16384"), "memory"),
    InvalidDefinition("fargate-memory", changed(fargate(), cpu="8192", memory="17408"), "memory"),
    InvalidDefinition("fargate-cpu-sum", fargate(container(cpu=257)), "cpu"),
    InvalidDefinition(
        "fargate-network-mode", changed(fargate(), networkMode="host"), "networkMode"
    ),
    InvalidDefinition(
        "fargate-network-mode",
        changed(ec2(), cpu="256", memory="512", requiresCompatibilities=["EC2", "FARGATE"]),
        "networkMode",
    ),
    InvalidDefinition(
        "fargate-placementConstraints",
        changed(
            fargate(),
            placementConstraints=[{"type": "memberOf", "expression": "attribute:a == b"}],
        ),
        "placementConstraints",
    ),
    InvalidDefinition("fargate-ipcMode", changed(fargate(), ipcMode="host"), "ipcMode"),
    InvalidDefinition("fargate-pid-mode", changed(fargate(), pidMode="host"), "pidMode"),
    with_container(fargate, "privileged", "fargate-privileged", privileged=True),
    with_container(
        fargate,
        "dockerSecurityOptions",
        "fargate-dockerSecurityOptions",
        dockerSecurityOptions=["no-new-privileges"],
    ),
    *(
        with_container(fargate, f"linuxParameters.{key}", f"fargate-{key}", **linux(**{key: value}))
        for key, value in (
            ("devices", [{"hostPath": "/dev/x"}]),
            ("sharedMemorySize", 64),
            ("maxSwap", 0),
            ("swappiness", 0),
        )
    ),
    InvalidDefinition(
        "fargate-sourcePath",
        changed(fargate(), volumes=[{"name": "m", "host": {"sourcePath": "/mnt"}}]),
        "volumes[0].host.sourcePath",
    ),
    InvalidDefinition(
        "fargate-dockerVolumeConfiguration",
        changed(fargate(), volumes=[{"name": "m", "dockerVolumeConfiguration": {"scope": "task"}}]),
        "volumes[0].dockerVolumeConfiguration",
    ),
    with_container(
        fargate,
        "resourceRequirements[0]",
        "fargate-gpu",
        resourceRequirements=[{"type": "GPU", "value": "1"}],
    ),
    with_container(
        fargate,
        "linuxParameters.capabilities.add[0]",
        "fargate-capability",
        **linux(capabilities={"add": ["IPC_LOCK"]}),
    ),
    with_container(
        fargate,
        "logConfiguration.logDriver",
        "fargate-log-driver",
        logConfiguration={"logDriver": "json-file"},
    ),
    InvalidDefinition(
        "fargate-log-role",
        without_role(fargate(container(logConfiguration=LOGS))),
        f"{FIRST}.logConfiguration.logDriver",
    ),
    InvalidDefinition(
        "fargate-image-role",
        without_role(
            fargate(container(image="123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1"))
        ),
        f"{FIRST}.image",
    ),
    with_container(
        fargate,
        "logConfiguration",
        "fargate-stream-prefix",
        logConfiguration={
            "logDriver": "awslogs",
            "options": {"awslogs-group": "g", "awslogs-region": "us-east-1"},
        },
    ),
    with_container(
        fargate,
        "firelensConfiguration.options.config-file-type",
        "fargate-router-file",
        firelensConfiguration={
            "type": "fluentbit",
            "options": {"config-file-type": "s3", "config-file-value": "arn:aws:s3:::b/c.conf"},
        },
    ),
]
