"""The members of an etcd cluster: one service each, made from one task definition.

What etcd calls itself and whom it joins is ecs-dynamo's to say (`planning.members`), in its
environment, as that works whatever the image's entry point is. etcd refuses to start where a flag
says otherwise, so such flags are refused here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, Final

from ecs_dynamo.config.build.volumes import (
    command_line,
    serving_container,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.config.task_definitions.prepare import (
    CONTAINERS,
    TaskDefinition,
    set_environment,
)
from ecs_dynamo.model.dynamo.etcd_cluster import (
    FROZEN,
    LISTEN,
)
from ecs_dynamo.model.graph import ETCD_PEER_PORT, Role
from ecs_dynamo.model.spec.service import NetworkSpec

NAME: Final = "ETCD_NAME"
_OURS: Final = (NAME, LISTEN, *FROZEN)
_ELSEWHERE: Final = ("config-file", "discovery", "discovery-srv", "force-new-cluster")
"""Flags that say by other means who is in the cluster."""
_PEER_TLS: Final = ("peer-auto-tls", "peer-cert-file")


def _flag(variable: str) -> str:
    return variable.removeprefix("ETCD_").lower().replace("_", "-")


def _has_flag(line: str, flag: str) -> bool:
    return re.search(rf"(?:^|\s)--?{re.escape(flag)}(?:[=\s]|$)", line) is not None


def check_member(definition: TaskDefinition, content: Mapping[str, Any], report: Report) -> None:
    """Report what would keep etcd from joining a cluster as it is told to."""
    index = serving_container(content, Role.ETCD)
    container = content[CONTAINERS][index]
    line = command_line(container)
    for flag in (*(_flag(name) for name in _OURS), *_ELSEWHERE):
        if _has_flag(line, flag):
            where = definition.at(CONTAINERS, index, "command")
            message = f"--{flag} is in the command, but infrastructure.etcd.replicas sets it"
            report.error(definition.document, where, message, "remove it from the command")
    for name in sorted({e.get("name") for e in container.get("environment", ())} & {*_OURS}):
        where = definition.at(CONTAINERS, index, "environment")
        message = f"{name} is set, but infrastructure.etcd.replicas sets it"
        report.error(definition.document, where, message, "remove it")
    if content.get("networkMode") != "awsvpc":
        where = definition.at("networkMode")
        message = "the members of an etcd cluster need an address each"
        report.error(definition.document, where, message, "set networkMode to awsvpc")


def member_template(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """``content`` with what stays the same as long as the place is declared."""
    made: dict[str, Any] = copy.deepcopy(dict(content))
    container = made[CONTAINERS][serving_container(made, Role.ETCD)]
    line = command_line(container)
    variables = {e.get("name") for e in container.get("environment", ())}
    secure = any(
        _has_flag(line, flag) or f"ETCD_{flag.upper().replace('-', '_')}" in variables
        for flag in _PEER_TLS
    )
    scheme = "https" if secure else "http"
    set_environment(container, NAME, name)
    set_environment(container, LISTEN, f"{scheme}://0.0.0.0:{ETCD_PEER_PORT}")
    return made


def spread(network: NetworkSpec, member: int, members: int) -> NetworkSpec:
    """The subnets of one member, so that no two are in the same one while there are enough.

    Each is a service of its own, which ECS does not place apart from the others.
    """
    subnets = network.subnets
    own = subnets[member::members] or subnets[member % max(1, len(subnets)) :][:1]
    return network.model_copy(update={"subnets": own})
