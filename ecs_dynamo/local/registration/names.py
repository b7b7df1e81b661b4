"""Checks of names (of the family, containers, images, and roles) and of enumerated values."""

from __future__ import annotations

import string
from typing import Any

from ecs_dynamo.local.wire.protocol import Json, client_error, service_model

_NAME = frozenset(string.ascii_letters + string.digits + "-_")
_IMAGE = _NAME | frozenset(":./#")
_ROLE = frozenset(string.ascii_letters + string.digits + "+=,.@-_/")


def check_names(request: Json) -> None:
    """Check names and enumerated values. Raises EcsError for the first violation."""
    if not _consists_of(_NAME, request["family"]):
        raise client_error("Family contains invalid characters.")
    for key in ("taskRoleArn", "executionRoleArn"):
        if key in request and not _is_role(request[key]):
            raise client_error("Role is not valid")
    containers = request["containerDefinitions"]
    if not containers:
        raise client_error("Container list cannot be empty.")
    if len(containers) > 10:
        raise client_error("Too many containers.")
    for container in containers:
        _check_container(container)
    names = [c["name"] for c in containers]
    if len(set(names)) < len(names):
        raise client_error("Container names must be unique within a task definition.")
    _check_enumerations(
        request, service_model().operation_model("RegisterTaskDefinition").input_shape
    )


def _check_container(container: Json) -> None:
    if not container.get("name"):
        raise client_error("Container.name should not be null or empty.")
    if not _consists_of(_NAME, container["name"]):
        raise client_error("Container.name contains invalid characters.")
    image = container.get("image")
    if not image:
        raise client_error("Container.image should not be null or empty.")
    name, at, digest = image.partition("@")
    algorithm, _, value = digest.partition(":")
    hexadecimal = len(value) == 64 and set(value) <= set(string.hexdigits)
    if (
        not _consists_of(_IMAGE, name)
        or not name[0].isalnum()
        or (at and (algorithm != "sha256" or not hexadecimal))
    ):
        raise client_error("Container.image contains invalid characters.")


def _consists_of(allowed: frozenset[str], text: str) -> bool:
    return 1 <= len(text) <= 255 and set(text) <= allowed


def _is_role(text: str) -> bool:
    if not text.startswith("arn:"):
        return 1 <= len(text) <= 64 and set(text) <= _ROLE - {"/"}
    parts = text.split(":", 5)
    if len(parts) < 6 or parts[2:4] != ["iam", ""] or not parts[1].startswith("aws"):
        return False
    account, path = parts[4], parts[5]
    valid_account = len(account) == 12 and account.isdigit()
    kind, _, name = path.partition("/")
    return valid_account and kind == "role" and bool(name) and set(name) <= _ROLE


def _check_enumerations(value: Any, shape: Any) -> None:
    """Check values of enumerations, which botocore's validation leaves to the service."""
    kind = shape.type_name
    if kind == "structure":
        for key, item in value.items():
            # "Amazon ECS treats any other specified value as tcp" (PortMapping.protocol).
            if key != "protocol":
                _check_enumerations(item, shape.members[key])
    elif kind == "list":
        for item in value:
            _check_enumerations(item, shape.member)
    elif kind == "string" and value not in shape.metadata.get("enum", [value]):
        raise client_error(f"{value} is not a valid value of {shape.name}.")
