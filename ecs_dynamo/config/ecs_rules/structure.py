"""Rules of names, images, environment variables, secrets and roles."""

from __future__ import annotations

import re
from typing import Any, Final

from ecs_dynamo.config.ecs_rules.base import (
    ANSWER,
    API,
    GUIDE,
    NAME,
    Breach,
    Breaches,
    Content,
    Rule,
    numeric,
    shown,
)
from ecs_dynamo.model.ecs.task_definition import CONTAINERS

MAX_CONTAINERS: Final = 10
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#-]{0,254}")
_DIGEST: Final = re.compile(r"sha256:[0-9A-Fa-f]{64}")
_ROLE: Final = re.compile(
    r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}|[\w+=,.@-]{1,64}", re.ASCII
)
_S3_OBJECT: Final = re.compile(r"arn:aws[a-z-]*:s3:::[^/]+/.+")


def _family(content: Content) -> Breaches:
    family = content.template.get("family")
    if isinstance(family, str) and not NAME.fullmatch(family):
        yield Breach(("family",), {"found": shown(family)})


def _no_containers(content: Content) -> Breaches:
    if content.template.get(CONTAINERS) == []:
        yield Breach((CONTAINERS,))


def _missing(key: str) -> Any:
    def check(content: Content) -> Breaches:
        for path, container in content.containers():
            if container.get(key) in (None, ""):
                yield Breach((*path, key))

    return check


def _twice(content: Content) -> Breaches:
    names: set[str] = set()
    for path, container in content.containers():
        name = container.get("name")
        if isinstance(name, str) and name:
            if name in names:
                yield Breach((*path, "name"), {"found": shown(name)})
            names.add(name)


STRUCTURE: Final = (
    Rule(
        "family",
        API + "RegisterTaskDefinition.family",
        "a family takes up to 255 letters, digits, hyphens and underscores, found {found}",
        "rename it (is this an unfilled placeholder?)",
        _family,
    ),
    Rule(
        "containers-required",
        ANSWER + "Container list cannot be empty.",
        "a task definition needs at least one container",
        "add a container",
        _no_containers,
    ),
    Rule(
        "container-name-required",
        ANSWER + "Container.name should not be null or empty.",
        "a container needs its name",
        "add it",
        _missing("name"),
    ),
    Rule(
        "container-image-required",
        ANSWER + "Container.image should not be null or empty.",
        "a container needs its image",
        "add it",
        _missing("image"),
    ),
    Rule(
        "container-names-unique",
        ANSWER + "Container names must be unique within a task definition",
        "two containers are called {found}",
        "rename one of them",
        _twice,
    ),
)
"""The rules on which later steps of loading rely; they are checked as soon as a file is read."""


def _too_many(content: Content) -> Breaches:
    count = len(content.names())
    if count > MAX_CONTAINERS:
        yield Breach((CONTAINERS,), {"found": count, "most": MAX_CONTAINERS})


def _container_name(content: Content) -> Breaches:
    for path, container in content.containers():
        if not NAME.fullmatch(str(container["name"])):
            yield Breach((*path, "name"), {"found": shown(container["name"])})


def _image(content: Content) -> Breaches:
    for path, container in content.containers():
        repository, at, digest = str(container["image"]).partition("@")
        valid = _REPOSITORY.fullmatch(repository) and (not at or _DIGEST.fullmatch(digest))
        if not valid:
            yield Breach((*path, "image"), {"found": shown(container["image"])})


def _essential(content: Content) -> Breaches:
    if not any(container.get("essential", True) for _, container in content.containers()):
        yield Breach((CONTAINERS,))


def _nameless(key: str) -> Any:
    def check(content: Content) -> Breaches:
        for path, entry, _ in content.entries(key):
            if not entry.get("name"):
                yield Breach(path)

    return check


def _environment_names(content: Content) -> Breaches:
    for path, entry, _ in content.entries("environment"):
        if "=" in str(entry.get("name", "")):
            yield Breach((*path, "name"), {"found": shown(entry["name"])})


def _secret_names(content: Content) -> Breaches:
    for path, container in content.containers():
        taken = {e.get("name") for e in container.get("environment", ())}
        for index, entry in enumerate(container.get("secrets", ())):
            name = entry.get("name")
            if name and name in taken:
                yield Breach((*path, "secrets", index), {"found": name})
            taken.add(name)


def _secret_sources(content: Content) -> Breaches:
    for path, entry, _ in content.entries("secrets"):
        if not entry.get("valueFrom"):
            yield Breach(path, {"found": entry.get("name")})


def _needs_execution_role(content: Content) -> Breaches:
    if content.template.get("executionRoleArn"):
        return
    for path, container in content.containers():
        log = container.get("logConfiguration", {})
        for where, what in (
            ((*path, "secrets"), container.get("secrets")),
            ((*path, "repositoryCredentials"), container.get("repositoryCredentials")),
            ((*path, "logConfiguration", "secretOptions"), log.get("secretOptions")),
        ):
            if what:
                yield Breach(where, {"what": where[-1]})


def _roles(content: Content) -> Breaches:
    for key in ("taskRoleArn", "executionRoleArn"):
        role = content.template.get(key)
        if role is not None and not _ROLE.fullmatch(str(role)):
            yield Breach((key,), {"found": shown(role)})


def _environment_files(content: Content) -> Breaches:
    for path, entry, _ in content.entries("environmentFiles"):
        value = str(entry.get("value"))
        if not _S3_OBJECT.fullmatch(value) or not value.endswith(".env"):
            yield Breach((*path, "value"), {"found": shown(value)})


def _many_environment_files(content: Content) -> Breaches:
    for path, container in content.containers():
        count = len(container.get("environmentFiles", ()))
        if count > 10:
            yield Breach((*path, "environmentFiles"), {"found": count})


def _constraints(content: Content) -> Breaches:
    constraints = content.template.get("placementConstraints", ())
    if len(constraints) > 10:
        yield Breach(("placementConstraints",), {"found": f"{len(constraints)} of them"})
    for index, constraint in enumerate(constraints):
        if not constraint.get("expression"):
            yield Breach(("placementConstraints", index), {"found": "no expression"})


def _exit_codes(content: Content) -> Breaches:
    for path, container in content.containers():
        codes = container.get("restartPolicy", {}).get("ignoredExitCodes", ())
        if len(codes) > 50:
            yield Breach((*path, "restartPolicy", "ignoredExitCodes"), {"found": len(codes)})


RULES: Final = (
    Rule(
        "containers-most",
        GUIDE + "service quotas (containers of a task definition); Too many containers.",
        "{found} containers are more than the {most} that ECS accepts in a task definition",
        "move some of them to another task definition",
        _too_many,
    ),
    Rule(
        "container-name",
        API + "ContainerDefinition.name",
        "a container's name takes up to 255 letters, digits, hyphens and underscores, "
        "found {found}",
        "rename it (is this an unfilled placeholder?)",
        _container_name,
    ),
    Rule(
        "container-image",
        API + "ContainerDefinition.image; Container.image contains invalid characters.",
        "this cannot be an image: {found}",
        "write repository/image:tag or repository/image@sha256:digest, in at most 255 letters, "
        "digits and - _ : . / # (is this an unfilled placeholder?)",
        _image,
    ),
    Rule(
        "essential-container",
        ANSWER + "Task definition doesn't have any essential container",
        "every container has essential: false, and ECS needs one that is essential",
        "remove essential: false from the task's main container",
        _essential,
    ),
    Rule(
        "environment-name-required",
        API + "KeyValuePair.name",
        "an environment variable needs its name",
        "add its name, or remove the entry",
        _nameless("environment"),
    ),
    Rule(
        "environment-name",
        "Docker's --env option, to which environment maps",
        "the name of an environment variable cannot contain '=', found {found}",
        "write the value under value",
        _environment_names,
    ),
    Rule(
        "secret-name-required",
        API + "Secret.name",
        "a secret needs the name of its environment variable",
        "add its name, or remove the entry",
        _nameless("secrets"),
    ),
    Rule(
        "secret-name-unique",
        ANSWER + "The secret name must be unique and not shared with any new or existing "
        "environment variables set on the container",
        "{found} is declared more than once among environment and secrets",
        "keep the one that is right and remove the other",
        _secret_names,
    ),
    Rule(
        "secret-source",
        API + "Secret.valueFrom",
        "the secret {found} names no source",
        "write the ARN of the secret or the name of the parameter as valueFrom",
        _secret_sources,
    ),
    Rule(
        "execution-role-for-secrets",
        ANSWER + "When you are specifying container secrets, you must also specify a value for "
        "'executionRoleArn'.",
        "{what} are read with the execution role, on EC2 as well, and the task definition has none",
        "add executionRoleArn (see `ecs-dynamo iam render`)",
        _needs_execution_role,
    ),
    Rule(
        "role",
        ANSWER + "Role is not valid; RegisterTaskDefinition.taskRoleArn",
        "this is neither the name nor the ARN of an IAM role: {found}",
        "write arn:aws:iam::<account>:role/<name>",
        _roles,
    ),
    Rule(
        "environment-files-most",
        ANSWER + "The maximum number of environment files was exceeded. Specify ten or less and "
        "try again",
        "{found} environment files are more than the 10 that ECS accepts",
        "merge some of them",
        _many_environment_files,
    ),
    Rule(
        "environment-file",
        API + "ContainerDefinition.environmentFiles; Invalid arn syntax",
        "an environment file is an object in S3 whose name ends in .env, found {found}",
        "write arn:aws:s3:::<bucket>/<path>.env",
        _environment_files,
    ),
    Rule(
        "placement-constraints",
        API + "RegisterTaskDefinition.placementConstraints (10) and Cluster query language",
        "ECS accepts up to 10 placement constraints, each with an expression; found {found}",
        "remove some, or add the expression",
        _constraints,
    ),
    numeric(
        "restart-period",
        "ContainerRestartPolicy.restartAttemptPeriod",
        "restartPolicy",
        "restartAttemptPeriod",
        least=60,
        most=1800,
    ),
    Rule(
        "restart-exit-codes",
        API + "ContainerRestartPolicy.ignoredExitCodes",
        "{found} exit codes are more than the 50 that ECS accepts",
        "remove some",
        _exit_codes,
    ),
)
