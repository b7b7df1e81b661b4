"""Checks of each component's tasks: settings that ECS or Dynamo would refuse or handle badly.

ECS reports most of them only when a service is created, in a service event. Here they are reported
before anything is changed. Facts about Dynamo are of 1.6.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ecs_dynamo.config.build.components import BuiltComponent
from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.ecs.task_definition import (
    CONTAINERS,
    command_line,
    command_words,
    container_ports,
)
from ecs_dynamo.model.graph import CLIENT_PORTS, NATS_CLIENT_PORT, NetworkMode, Role
from ecs_dynamo.model.redaction import is_secret_name
from ecs_dynamo.model.spec.graph import GraphSpec
from ecs_dynamo.model.spec.service import LaunchType

_ENGINE: Final = re.compile(r"\bdynamo\.(vllm|sglang|trtllm|mocker)\b")
_MODE: Final = re.compile(r"--(disaggregation-mode|is-prefill-worker|is-decode-worker)\b")
_TAG_OR_DIGEST: Final = re.compile(r"(?::(?P<tag>[^/:@]+))?(?P<digest>@.+)?$")


def check_tasks(
    spec: GraphSpec, components: list[BuiltComponent], document: Document, report: Report
) -> None:
    """Check every component's template against its launch type, network mode and role."""
    for built in components:
        _Checker(spec, built, document, report).run()


class _Checker:
    def __init__(
        self, spec: GraphSpec, built: BuiltComponent, document: Document, report: Report
    ) -> None:
        self.spec = spec
        self.built = built
        self.component = built.component
        self.declared = built.declared_in(spec)
        """The component in the graph file; None for the infrastructure."""
        self.template: Mapping[str, Any] = built.component.template
        self.document = document
        self.report = report

    def run(self) -> None:
        self._network()
        self._launch_type()
        self._execute_command()
        for index, container in enumerate(self.built.containers):
            self._image(index, container)
            self._plain_secrets(index, container)
        if self.component.is_infrastructure:
            self._infrastructure_ports()
        else:
            self._frontend_port()
            self._worker_mode()
        if Role.NATS in self.component.roles:
            self._nats_options()

    def _error(self, message: str, remedy: str, *path: str | int) -> None:
        """Report an error in the task definition's file."""
        self.report.error(
            self.built.definition.document, self.built.definition.at(*path), message, remedy
        )

    def _warn(self, message: str, remedy: str, *path: str | int) -> None:
        self.report.warn(
            self.built.definition.document, self.built.definition.at(*path), message, remedy
        )

    def _graph_error(self, message: str, remedy: str, path: FieldPath) -> None:
        self.report.error(self.document, path, message, remedy)

    def _plain_secrets(self, index: int, container: Mapping[str, Any]) -> None:
        for entry in container.get("environment", ()):
            name = str(entry.get("name", ""))
            if entry.get("value") and is_secret_name(name):
                uses_env = index in self.built.dynamo and not self.component.is_infrastructure
                self._warn(
                    f"{name} is in plain text: anyone who may describe the task definition can see "
                    "it",
                    f"store it and write {name}: ${{secret:NAME}} under env"
                    if uses_env
                    else 'store it and write "value": "${secret:NAME}" here',
                    *(CONTAINERS, index, "environment"),
                )

    def _network(self) -> None:
        mode, name = self.component.network_mode, self.component.name
        if mode is NetworkMode.AWSVPC:
            if not self.component.network.subnets:
                message = f"{name} has networkMode awsvpc, which needs subnets"
                self._graph_error(message, "set network.subnets", (*self._place(), "network"))
            elif not self.component.network.security_groups:
                self.report.warn(
                    self.document,
                    (*self._place(), "network"),
                    f"{name} has no security groups: the VPC's default one is used",
                    "set network.securityGroups; Dynamo's tasks need all TCP between them",
                )
            if self.component.network.assign_public_ip and (
                self.component.launch_type is LaunchType.EC2
            ):
                message = f"{name}: ECS assigns public IPs to Fargate tasks only"
                self._graph_error(
                    message, "remove assignPublicIp", (*self._place(), "network", "assignPublicIp")
                )

    def _place(self) -> FieldPath:
        """Return the path of the mapping that declares the component's network."""
        own = self.declared is not None and self.declared.network is not None
        return self.built.path if own else ()

    def _launch_type(self) -> None:
        """Check that the task definition is compatible with the component's capacity.

        The instances of a capacity provider are those of an Auto Scaling group (EC2) or Managed
        Instances (service model, Compatibility). Only ECS knows which of the two.
        """
        allowed = self.template.get("requiresCompatibilities", ())
        launch, providers = self.component.launch_type, self.component.capacity_providers
        fitting = {launch.value}
        if providers and launch is LaunchType.EC2:
            fitting.add("MANAGED_INSTANCES")
        if not allowed or not fitting.isdisjoint(allowed):
            return
        needed = f"the task definition's requiresCompatibilities {', '.join(allowed)}"
        if providers:
            place: FieldPath = (*self.built.path, "capacityProviders")
            runs_on = "Fargate" if launch is LaunchType.FARGATE else "EC2 or Managed Instances"
            declared = f"capacityProviders {', '.join(p.name for p in providers)} run on {runs_on}"
            remedy = "name other capacityProviders, or change requiresCompatibilities"
        else:
            part = ("infrastructure",) if self.component.is_infrastructure else self.built.path
            written = "launch_type" in (self.declared or self.spec.infrastructure).model_fields_set
            place = (*part, "launchType") if written else part
            declared = f"launchType {launch.value}{'' if written else ' (the default)'}"
            remedy = "change one of them"
            if "MANAGED_INSTANCES" in allowed:
                remedy = "declare capacityProviders: Managed Instances need one"
        self._graph_error(f"{declared}: this does not fit {needed}", remedy, place)

    def _execute_command(self) -> None:
        """Require a task role for ECS Exec.

        Without one ECS answers "a valid taskRoleArn is not being used".
        """
        if self.component.settings.enable_execute_command and not self.template.get("taskRoleArn"):
            self._error(
                f"{self.component.name} has enableExecuteCommand, which ECS rejects for a task "
                "definition without taskRoleArn",
                "set taskRoleArn to a role that allows ssmmessages:CreateControlChannel, "
                "CreateDataChannel, OpenControlChannel and OpenDataChannel, or remove "
                "enableExecuteCommand",
                "taskRoleArn",
            )

    def _image(self, index: int, container: Mapping[str, Any]) -> None:
        image = str(container.get("image", ""))
        match = _TAG_OR_DIGEST.search(image)
        if match is None or match["digest"] or match["tag"] not in (None, "latest"):
            return
        message = f"the image {image} is not pinned: replicas may run different versions"
        remedy = "name a version or a digest"
        own = self.declared is not None and self.declared.image is not None
        if own and index in self.built.dynamo:
            self.report.warn(self.document, (*self.built.path, "image"), message, remedy)
        else:
            self._warn(message, remedy, CONTAINERS, index, "image")

    def _ports(self) -> set[int]:
        return {port for container in self.built.containers for port in container_ports(container)}

    def _infrastructure_ports(self) -> None:
        for role, port in CLIENT_PORTS.items():
            if role in self.component.roles and port not in self._ports():
                message = f"no container maps port {port}, at which {role} serves"
                self._error(message, f"add containerPort {port} to its portMappings", CONTAINERS)

    def _frontend_port(self) -> None:
        port = self.spec.runtime.frontend_port
        if not self.component.is_frontend or port in self._ports():
            return
        bridge = self.component.network_mode is NetworkMode.BRIDGE
        if bridge or self.component.settings.load_balancers:
            reason = "bridge networking" if bridge else "targetGroupArn"
            message = f"no container maps the frontend's port {port}, which {reason} needs"
            remedy = f"add containerPort {port} to its portMappings, or set runtime.frontendPort"
            self._error(message, remedy, CONTAINERS, self.built.dynamo[0], "portMappings")

    def _worker_mode(self) -> None:
        """Check that the command of a prefill or decode worker sets its mode (Dynamo 1.6.1)."""
        if not self.component.roles & {Role.PREFILL, Role.DECODE}:
            return
        for index, container in enumerate(self.built.containers):
            text = command_line(container)
            if _ENGINE.search(text) and not _MODE.search(text):
                role = "prefill" if Role.PREFILL in self.component.roles else "decode"
                self._warn(
                    f"{self.component.name}: its command starts an aggregated worker; Dynamo does "
                    "not serve a model with it while there are prefill workers beside it",
                    f"add --disaggregation-mode {role}",
                    *(CONTAINERS, index, "command"),
                )

    def _nats_options(self) -> None:
        for index, container in enumerate(self.built.containers):
            if NATS_CLIENT_PORT not in container_ports(container):
                continue
            words = [
                word for text in command_words(container) for word in text.replace(",", " ").split()
            ]
            at = (CONTAINERS, index, "command")
            configured = words and any(w in ("-c", "--config", "-config") for w in words)
            if not configured and not {"-js", "--js", "-jetstream", "--jetstream"} & set(words):
                message = "NATS runs without JetStream, which Dynamo's event and KV stores use"
                self._warn(message, 'add "-js" to its command', *at)
            if {"--trace", "-V", "-DV", "-trace"} & set(words):
                message = "NATS traces every message: slow, and requests end up in the logs"
                self._warn(message, "remove it", *at)
