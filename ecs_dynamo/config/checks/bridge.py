"""Check for Dynamo processes that cannot reach each other because of bridge networking.

A Dynamo process registers the address that it detects and ports that it chooses. In bridge mode
these belong to its container, on a network that exists on its own container instance only (ECS
developer guide, "Amazon ECS task networking options"). No port mapping leads there, and tasks with
their own network interface (awsvpc) cannot connect to it, even from the same instance. Measured on
Dynamo 1.6.1 (``docs/dynamo-protocol.md``, "Bridge networking"):

- On request plane tcp, frontends connect to each worker. If they cannot, every request is answered
  with 503 or 500, although the workers are registered and the model is listed.
- On either request plane, a worker connects back to the frontend to deliver its answer. If it
  cannot, requests are never answered.
- On event plane zmq, frontends and planners connect to each worker that publishes. If they cannot,
  nothing fails, but routers do not know what is cached.

Read in 1.6.1's source: engines transfer KV caches from prefill to decode between their own
addresses, on either request plane (``VLLM_NIXL_SIDE_CHANNEL_HOST`` in ``dynamo/vllm/args.py``, the
bootstrap address in ``dynamo/sglang/_disagg.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ecs_dynamo.config.build.components import BuiltComponent
from ecs_dynamo.config.reading.document import Document
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.dynamo.containers import declared_port
from ecs_dynamo.model.dynamo.variables import SYSTEM_PORT_VARIABLE
from ecs_dynamo.model.ecs.constraint_expressions import instances_of
from ecs_dynamo.model.ecs.task_definition import CONTAINERS, environment_value
from ecs_dynamo.model.graph import Component, NetworkMode, Role
from ecs_dynamo.model.spec.graph import GraphSpec
from ecs_dynamo.model.spec.service import LaunchType

_ROUTERS: Final = frozenset({Role.FRONTEND})
_READERS: Final = frozenset({Role.FRONTEND, Role.PLANNER})
_WORKERS: Final = frozenset({Role.PREFILL, Role.DECODE, Role.WORKER})
_PIN: Final = (
    "name one instance for all of them, under placement.constraints: "
    "{type: memberOf, expression: ec2InstanceId == i-...}"
)
_BROKER: Final = ("DYN_ZMQ_BROKER_URL", "DYN_ZMQ_BROKER_ENABLED")


def check_bridges(
    spec: GraphSpec, components: list[BuiltComponent], document: Document, report: Report
) -> None:
    """Reject bridge networking that cuts components off from each other."""
    for built in components:
        component = built.component
        if component.is_infrastructure or component.network_mode is not NetworkMode.BRIDGE:
            continue
        _Checker(spec, built, [other.component for other in components], report).run()
        if component.is_worker:
            _check_system_port(spec, built, document, report)


def _check_system_port(
    spec: GraphSpec, built: BuiltComponent, document: Document, report: Report
) -> None:
    """Require a fixed system port of a worker: the daemon queries it, so ECS must map it."""
    component = built.component
    declared = declared_port(component)
    if (spec.runtime.system_port if declared is None else declared) != 0:
        return
    message = (
        f"{component.name}: a worker in bridge mode that chooses its system port "
        f"({SYSTEM_PORT_VARIABLE} 0) cannot be matched with its registration, because ECS maps "
        "declared ports only"
    )
    remedy = "set one, such as 8081; in bridge mode each container has its own ports"
    index = int(built.path[1])
    if declared is None:
        report.error(document, ("runtime", "systemPort"), message, remedy)
    elif SYSTEM_PORT_VARIABLE in spec.components[index].env:
        report.error(document, (*built.path, "env", SYSTEM_PORT_VARIABLE), message, remedy)
    else:
        path = built.definition.at(CONTAINERS, built.dynamo[0], "environment")
        report.error(built.definition.document, path, message, remedy)


class _Checker:
    def __init__(
        self, spec: GraphSpec, built: BuiltComponent, others: list[Component], report: Report
    ) -> None:
        self.spec = spec
        self.built = built
        self.component = built.component
        self.others = others
        self.report = report
        written = "networkMode" in built.component.template
        self.prefix = f"{self.component.name}: networkMode bridge" + (
            "" if written else " (ECS's default)"
        )

    def run(self) -> None:
        roles = self.component.roles
        if roles & _WORKERS:
            self._worker()
        if Role.FRONTEND in roles:
            self._frontend()
            if roles & _WORKERS:
                self._rollout()

    def _worker(self) -> None:
        request = self._variable("DYN_REQUEST_PLANE") or self.spec.runtime.request_plane
        event = self._variable("DYN_EVENT_PLANE") or self.spec.runtime.event_plane
        routers, peers = self._with(_ROUTERS), self._with(self._kv_peers())
        if request == "tcp" and (cut := self._cut_off([*routers, *peers])):
            self._error(
                "and requestPlane tcp: Dynamo's workers register their container's own address, "
                f"which only its own instance reaches, not {cut}",
                f"use networkMode host or awsvpc, or requestPlane and eventPlane nats; or {_PIN}",
            )
            return
        brokered = any(self._variable(name) for name in _BROKER)
        if event == "zmq" and not brokered and (cut := self._cut_off(self._with(_READERS))):
            self._warn(
                "and eventPlane zmq: its events about KV cache and load are published at its "
                f"container's own address, which only its own instance reaches, not {cut}; "
                "routers therefore do not know what is cached",
                f"use eventPlane nats, or networkMode host or awsvpc; or {_PIN}",
            )
        if cut := self._cut_off(peers):
            self._warn(
                "and prefill separate from decode: engines transfer KV caches between their "
                f"containers' own addresses, which only its own instance reaches, not {cut}",
                f"use networkMode host or awsvpc; or {_PIN}",
            )

    def _frontend(self) -> None:
        if cut := self._cut_off(self._with(_WORKERS)):
            self._error(
                "of a frontend: Dynamo's workers answer by a connection to its container's own "
                f"address, which only its own instance reaches, not {cut}",
                f"use networkMode host or awsvpc; or {_PIN}",
            )

    def _rollout(self) -> None:
        """Warn of a task with both sides: during a rollout two of it may run on two instances."""
        component = self.component
        surges = component.limits.maximum_percent > 100
        if _is_single(component) and surges and not _is_pinned(component):
            self._warn(
                "of a frontend with a worker: during a rollout the old and the new task may be on "
                "two instances, and neither can reach the other's container",
                f"set rollout.maximumPercent to 100; or {_PIN}",
            )

    def _kv_peers(self) -> frozenset[Role]:
        """Return the roles with which the worker exchanges KV caches."""
        if Role.PREFILL in self.component.roles:
            return frozenset({Role.DECODE, Role.WORKER})
        return frozenset({Role.PREFILL})

    def _with(self, roles: frozenset[Role]) -> list[Component]:
        return [c for c in self.others if c.roles & roles]

    def _variable(self, name: str) -> str | None:
        names = [self.built.containers[index]["name"] for index in self.built.dynamo]
        return environment_value(self.component.template, name, names)

    def _cut_off(self, others: Iterable[Component]) -> str:
        """Return which of ``others`` may run on other instances, in words; empty if none may."""
        reasons = {c.name: why for c in others if (why := _why_apart(self.component, c))}
        return ", ".join(f"{name} ({why})" for name, why in reasons.items())

    def _error(self, what: str, remedy: str) -> None:
        definition = self.built.definition
        path = definition.at("networkMode")
        self.report.error(definition.document, path, f"{self.prefix} {what}", remedy)

    def _warn(self, what: str, remedy: str) -> None:
        definition = self.built.definition
        path = definition.at("networkMode")
        self.report.warn(definition.document, path, f"{self.prefix} {what}", remedy)


def _why_apart(component: Component, other: Component) -> str | None:
    """Return why replicas of two components may run on different instances; None if they cannot.

    The containers of a task share its instance, so a component with a single replica can always
    reach itself.
    """
    if other.launch_type is LaunchType.FARGATE:
        return "on Fargate"
    if other.network_mode is NetworkMode.AWSVPC:
        return "awsvpc, with a network interface of its own"
    if component.name == other.name and _is_single(component):
        return None
    own, others = _instances(component), _instances(other)
    if others is None:
        return "on any instance"
    if not _is_pinned(other):
        return f"on {' or '.join(sorted(others)) or 'none'}"
    if component.cluster != other.cluster:
        return f"on {next(iter(others))} of {other.cluster}"
    return f"on {next(iter(others))}" if own != others else None


def _is_single(component: Component) -> bool:
    return max(component.replicas, component.scaling.max if component.scaling else 0) <= 1


def _is_pinned(component: Component) -> bool:
    instances = _instances(component)
    return instances is not None and len(instances) == 1


def _instances(component: Component) -> frozenset[str] | None:
    """Return the EC2 instances that the placement constraints allow; None if they allow any."""
    texts = [
        *(c.expression for c in component.settings.placement_constraints or ()),
        *(c.get("expression") for c in component.template.get("placementConstraints", ())),
    ]
    known = [ids for text in texts if text and (ids := instances_of(text)) is not None]
    return frozenset.intersection(*known) if known else None
