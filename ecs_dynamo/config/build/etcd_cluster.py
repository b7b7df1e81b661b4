"""The members of an etcd cluster: one service each, built from one task definition.

ecs-dynamo sets the name of each member and the members that it joins, in environment variables,
which work with any entry point of the image. etcd refuses to start if a flag contradicts a
variable, so such flags are refused here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, Final

from ecs_dynamo.config.build.volumes import serving_container
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.config.task_definitions.prepare import (
    TaskDefinition,
    set_environment,
)
from ecs_dynamo.model.dynamo.etcd_cluster import (
    FROZEN,
    LISTEN,
)
from ecs_dynamo.model.ecs.task_definition import CONTAINERS, command_line
from ecs_dynamo.model.graph import ETCD_PEER_PORT, Role
from ecs_dynamo.model.spec.service import NetworkSpec

NAME: Final = "ETCD_NAME"
_SET_BY_ECS_DYNAMO: Final = (NAME, LISTEN, *FROZEN)
_OTHER_MEMBERSHIP: Final = ("config-file", "discovery", "discovery-srv", "force-new-cluster")
"""Flags that set the membership of the cluster by other means."""
_PEER_TLS: Final = ("peer-auto-tls", "peer-cert-file")


def _flag(variable: str) -> str:
    return variable.removeprefix("ETCD_").lower().replace("_", "-")


def _has_flag(line: str, flag: str) -> bool:
    return re.search(rf"(?:^|\s)--?{re.escape(flag)}(?:[=\s]|$)", line) is not None


def check_member(definition: TaskDefinition, content: Mapping[str, Any], report: Report) -> None:
    """Report settings with which etcd could not join the cluster."""
    index = serving_container(content, Role.ETCD)
    container = content[CONTAINERS][index]
    line = command_line(container)
    for flag in (*(_flag(name) for name in _SET_BY_ECS_DYNAMO), *_OTHER_MEMBERSHIP):
        if _has_flag(line, flag):
            where = definition.at(CONTAINERS, index, "command")
            message = f"--{flag} is in the command, but infrastructure.etcd.replicas sets it"
            report.error(definition.document, where, message, "remove it from the command")
    declared = {e.get("name") for e in container.get("environment", ())}
    for name in sorted(declared & {*_SET_BY_ECS_DYNAMO}):
        where = definition.at(CONTAINERS, index, "environment")
        message = f"{name} is set, but infrastructure.etcd.replicas sets it"
        report.error(definition.document, where, message, "remove it")
    if content.get("networkMode") != "awsvpc":
        where = definition.at("networkMode")
        message = "each member of an etcd cluster needs an address of its own"
        report.error(definition.document, where, message, "set networkMode to awsvpc")


def member_template(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return ``content`` with the settings of member ``name`` that never change."""
    template: dict[str, Any] = copy.deepcopy(dict(content))
    container = template[CONTAINERS][serving_container(template, Role.ETCD)]
    line = command_line(container)
    variables = {e.get("name") for e in container.get("environment", ())}
    secure = any(
        _has_flag(line, flag) or f"ETCD_{flag.upper().replace('-', '_')}" in variables
        for flag in _PEER_TLS
    )
    scheme = "https" if secure else "http"
    set_environment(container, NAME, name)
    set_environment(container, LISTEN, f"{scheme}://0.0.0.0:{ETCD_PEER_PORT}")
    return template


def member_network(network: NetworkSpec, member: int, members: int) -> NetworkSpec:
    """Return the network of one member. No two members share a subnet if there are enough.

    Each member is a service of its own, which ECS does not spread with the others.
    """
    subnets = network.subnets
    own = subnets[member::members] or subnets[member % max(1, len(subnets)) :][:1]
    return network.model_copy(update={"subnets": own})
