"""The fingerprint and the canonical form of task definitions, for comparisons.

ECS stores sizes in one unit (``.25 vCPU`` becomes ``256``) and adds defaults and empty lists when
it describes a revision (ECS API reference, TaskDefinition and ContainerDefinition), and users may
write both or neither. The canonical form is free of such differences, and entries of lists whose
order means nothing to ECS are keyed by their names.
"""

from __future__ import annotations

import hashlib
import json
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
"""Members that identify an entry of RegisterTaskDefinition's lists; their order means nothing."""
_SETS: Final = frozenset({"requiresCompatibilities", "add", "drop", "permissions", "mountOptions"})
"""Lists of words whose order means nothing."""
_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "containerDefinitions": {"essential": True, "cpu": 0, "versionConsistency": "enabled"},
    "portMappings": {"protocol": "tcp", "hostPort": 0},
    "healthCheck": {"interval": 30, "timeout": 5, "retries": 3, "startPeriod": 0},
    "efsVolumeConfiguration": {"rootDirectory": "/", "transitEncryption": "DISABLED"},
    "authorizationConfig": {"iam": "DISABLED"},
}
"""ECS's default values, by the member that contains them."""


def fingerprint(content: JsonObject) -> str:
    """Return 16 hex digits of SHA-256 over ``content`` as JSON (sorted keys, no white space).

    It is computed from rendered content, and kept as a tag on the revision. It is never computed
    from what ECS returns: ECS adds and normalizes fields, so that digest would always differ.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Named(dict[str, Any]):
    """The entries of a list, keyed by the members that identify them."""


def canonical(content: JsonObject) -> dict[str, Any]:
    """Return the canonical form of ``content``.

    ``content`` is a RegisterTaskDefinition request or a revision as ECS describes it.
    """
    form: dict[str, Any] = _structure(dict(content), "", network_mode_of(content))
    form.setdefault("networkMode", network_mode_of(content))
    if "cpu" in form:
        form["cpu"] = _size(form["cpu"], _CPU)
    if "memory" in form:
        form["memory"] = _size(form["memory"], _MEMORY)
    return form


def means_the_same(content: JsonObject, other: JsonObject) -> bool:
    """Return whether two task definitions are equal for ECS."""
    return canonical(content) == canonical(other)


def _size(value: Any, unit: re.Pattern[str]) -> str:
    """Return a task's size in CPU units or MiB; 1,024 of them are one vCPU or one GB."""
    text = str(value).strip()
    match = unit.fullmatch(text)
    if match is not None:
        return f"{float(match[1]) * 1024:g}" if float(match[1]) < 1e6 else text
    return str(int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else text


def _structure(value: Mapping[str, Any], holder: str, mode: str) -> dict[str, Any]:
    defaults = dict(_DEFAULTS.get(holder, {}))
    if holder == "portMappings" and mode != "bridge" and "containerPort" in value:
        defaults["hostPort"] = value["containerPort"]  # These modes allow no other host port.
    form: dict[str, Any] = {}
    for key, item in value.items():
        if item is None or (key in defaults and item == defaults[key]):
            continue
        if item is False and defaults.get(key) is not True:
            continue  # Every boolean of the request except `essential` defaults to false.
        inner = _value(item, key, mode)
        if inner not in ({}, []):
            form[key] = inner
    return form


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
        if name in named:  # ECS decides which of the duplicates counts, so all are kept.
            return [_structure(item, key, mode) for item in items]
        named[name] = entry
    return named
