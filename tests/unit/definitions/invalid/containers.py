"""Task definitions that violate rules of names, variables, secrets, roles, and dependencies."""

from __future__ import annotations

from tests.unit.definitions.builders import SECRET, Json, container, ec2
from tests.unit.definitions.invalid.base import (
    FIRST,
    SECOND,
    InvalidDefinition,
    bridge,
    changed,
    with_container,
    without_role,
)


def _depends_on(target: str, condition: str) -> Json:
    return {"dependsOn": [{"containerName": target, "condition": condition}]}


CONTAINERS: list[InvalidDefinition] = [
    InvalidDefinition("family", changed(ec2(), family="<your family>"), "family"),
    InvalidDefinition("family", changed(ec2(), family="a" * 256), "family"),
    InvalidDefinition(
        "containers-required", changed(ec2(), containerDefinitions=[]), "containerDefinitions"
    ),
    InvalidDefinition("container-name-required", ec2(container("")), f"{FIRST}.name"),
    InvalidDefinition("container-image-required", ec2(container(image="")), f"{FIRST}.image"),
    InvalidDefinition("container-names-unique", ec2(container(), container()), f"{SECOND}.name"),
    InvalidDefinition(
        "containers-most",
        ec2(*(container(f"c{n}") for n in range(11))),
        "containerDefinitions",
    ),
    InvalidDefinition("container-name", ec2(container("<your task name>")), f"{FIRST}.name"),
    *(
        InvalidDefinition("container-image", ec2(container(image=image)), f"{FIRST}.image")
        for image in (
            "$REGISTRY/app:$TAG",
            "{{ must_env `REPO` }}:1",
            "<IMAGE1_NAME>",
            "example.com/app:1 ",
            "example.com/app@sha256:abc",
            "a" * 256,
        )
    ),
    InvalidDefinition(
        "essential-container", ec2(container(essential=False)), "containerDefinitions"
    ),
    with_container(
        ec2, "environment[0]", "environment-name-required", environment=[{"value": "x"}]
    ),
    with_container(
        ec2,
        "environment[0]",
        "environment-name-required",
        environment=[{"name": "", "value": "x"}],
    ),
    with_container(
        ec2, "environment[0].name", "environment-name", environment=[{"name": "A=B", "value": "x"}]
    ),
    with_container(
        ec2,
        "secrets[0]",
        "secret-name-required",
        secrets=[{"name": "", "valueFrom": SECRET}],
    ),
    with_container(
        ec2,
        "secrets[0]",
        "secret-name-unique",
        environment=[{"name": "DB_PASSWORD", "value": "x"}],
        secrets=[{"name": "DB_PASSWORD", "valueFrom": SECRET}],
    ),
    with_container(
        ec2,
        "secrets[1]",
        "secret-name-unique",
        secrets=[{"name": "A", "valueFrom": SECRET}, {"name": "A", "valueFrom": "/a"}],
    ),
    with_container(ec2, "secrets[0]", "secret-source", secrets=[{"name": "A", "valueFrom": ""}]),
    InvalidDefinition(
        "execution-role-for-secrets",
        without_role(ec2(container(secrets=[{"name": "A", "valueFrom": "/a"}]))),
        f"{FIRST}.secrets",
    ),
    InvalidDefinition(
        "execution-role-for-secrets",
        without_role(ec2(container(repositoryCredentials={"credentialsParameter": SECRET}))),
        f"{FIRST}.repositoryCredentials",
    ),
    InvalidDefinition("role", changed(ec2(), taskRoleArn="arn:aws:iam::1:role/x"), "taskRoleArn"),
    InvalidDefinition("role", changed(ec2(), executionRoleArn="<role>"), "executionRoleArn"),
    with_container(
        ec2,
        "environmentFiles",
        "environment-files-most",
        environmentFiles=[{"type": "s3", "value": f"arn:aws:s3:::b/{n}.env"} for n in range(11)],
    ),
    with_container(
        ec2,
        "environmentFiles[0].value",
        "environment-file",
        environmentFiles=[{"type": "s3", "value": "s3://b/x.env"}],
    ),
    with_container(
        ec2, "dependsOn[0].containerName", "dependency-unknown", **_depends_on("nobody", "START")
    ),
    InvalidDefinition(
        "dependency-essential",
        ec2(container(**_depends_on("init", "SUCCESS")), container("init")),
        f"{FIRST}.dependsOn[0].condition",
    ),
    InvalidDefinition(
        "dependency-essential",
        ec2(container(**_depends_on("init", "COMPLETE")), container("init")),
        f"{FIRST}.dependsOn[0].condition",
    ),
    InvalidDefinition(
        "dependency-health",
        ec2(container(**_depends_on("b", "HEALTHY")), container("b")),
        f"{FIRST}.dependsOn[0].condition",
    ),
    InvalidDefinition(
        "dependency-cycle",
        ec2(container(**_depends_on("b", "START")), container("b", **_depends_on("app", "START"))),
        f"{FIRST}.dependsOn[0].containerName",
    ),
    with_container(
        ec2, "dependsOn[0].containerName", "dependency-cycle", **_depends_on("app", "START")
    ),
    with_container(bridge, "links[0]", "link-unknown", links=["db:x"]),
    InvalidDefinition(
        "link-cycle",
        bridge(container(links=["b"]), container("b", links=["app"])),
        f"{FIRST}.links[0]",
    ),
]
