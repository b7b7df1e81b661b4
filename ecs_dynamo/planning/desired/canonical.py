"""One form for task definitions that mean the same, to compare them and to show what differs.

ECS stores sizes in one unit (``.25 vCPU`` becomes ``256``) and adds defaults and empty lists when
it describes a revision (ECS API reference, TaskDefinition and ContainerDefinition), and users may
write both or neither. In this form such differences are gone, and entries of lists that ECS takes
for sets are found by their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ecs_dynamo.model.graph import JsonObject, network_mode_of

_CPU: Final = re.compile(r"\s*(\d*\.?\d+)\s*v?cpu\s*", re.IGNORECASE)
_MEMORY: Final = re.compile(r"\s*(\d*\.?\d+)\s*gb\s*", re.IGNORECASE)

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "containerDefinitions": ("name",),
    "environment": ("name",),
    "secrets": ("name",),
    "secretOptions": ("name",),
    "properties": ("name",),
    "ulimits": ("name",),
    "volumes": ("name",),
    "portMappings": ("containerPort", "containerPortRange", "protocol"),
    "mountPoints": ("containerPath",),
    "volumesFrom": ("sourceContainer",),
    "dependsOn": ("containerName",),
    "extraHosts": ("hostname",),
    "systemControls": ("namespace",),
    "resourceRequirements": ("type",),
    "environmentFiles": ("value",),
    "devices": ("hostPath", "containerPath"),
    "tmpfs": ("containerPath",),
    "inferenceAccelerators": ("deviceName",),
    "placementConstraints": ("type", "expression"),
}
"""What tells the entries of RegisterTaskDefinition's lists apart; their order means nothing."""
_SETS: Final = frozenset({"requiresCompatibilities", "add", "drop", "permissions", "mountOptions"})
"""Lists of words whose order means nothing."""
_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "containerDefinitions": {"essential": True, "cpu": 0, "versionConsistency": "enabled"},
    "portMappings": {"protocol": "tcp", "hostPort": 0},
    "healthCheck": {"interval": 30, "timeout": 5, "retries": 3, "startPeriod": 0},
    "efsVolumeConfiguration": {"rootDirectory": "/", "transitEncryption": "DISABLED"},
    "authorizationConfig": {"iam": "DISABLED"},
}
"""Values that ECS takes where none is given, by the member that holds them."""


class Named(dict[str, Any]):
    """A list's entries by what tells them apart."""


def canonical(content: JsonObject) -> dict[str, Any]:
    """``content`` (a RegisterTaskDefinition request or what ECS tells of a revision) in the one
    form. Pure."""
    made: dict[str, Any] = _structure(dict(content), "", network_mode_of(content))
    made.setdefault("networkMode", network_mode_of(content))
    if "cpu" in made:
        made["cpu"] = _size(made["cpu"], _CPU)
    if "memory" in made:
        made["memory"] = _size(made["memory"], _MEMORY)
    return made


def means_the_same(one: JsonObject, other: JsonObject) -> bool:
    """Whether two task definitions are the same to ECS."""
    return canonical(one) == canonical(other)


def _size(value: Any, unit: re.Pattern[str]) -> str:
    """A task's size in CPU units or MiB, 1,024 of which are a vCPU or a GB."""
    text = str(value).strip()
    found = unit.fullmatch(text)
    if found is not None:
        return f"{float(found[1]) * 1024:g}" if float(found[1]) < 1e6 else text
    return str(int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else text


def _structure(value: Mapping[str, Any], holder: str, mode: str) -> dict[str, Any]:
    defaults = dict(_DEFAULTS.get(holder, {}))
    if holder == "portMappings" and mode != "bridge" and "containerPort" in value:
        defaults["hostPort"] = value["containerPort"]  # The only one that these modes have.
    made: dict[str, Any] = {}
    for key, item in value.items():
        if item is None or (key in defaults and item == defaults[key]):
            continue
        if item is False and defaults.get(key) is not True:
            continue  # Every boolean of the request but `essential` is false where it is not given.
        found = _value(item, key, mode)
        if found not in ({}, []):
            made[key] = found
    return made


def _value(value: Any, key: str, mode: str) -> Any:
    if isinstance(value, Mapping):
        return _structure(value, key, mode)
    if isinstance(value, list | tuple):
        if key in _SETS:
            return sorted(value, key=str)
        return _entries(value, key, mode)
    return value


def _entries(items: list[Any] | tuple[Any, ...], key: str, mode: str) -> Any:
    if key not in _KEYS or not all(isinstance(item, Mapping) for item in items):
        return [_value(item, key, mode) for item in items]
    named = Named()
    for item in items:
        entry = _structure(item, key, mode)
        words = [str(entry.pop(k)) for k in _KEYS[key] if k in entry]
        name = ", ".join(words)
        if name in named:  # ECS decides which of them counts: leave that to it.
            return [_structure(item, key, mode) for item in items]
        named[name] = entry
    return named
