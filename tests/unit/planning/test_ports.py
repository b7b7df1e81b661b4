"""Ports of host mode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ecs_dynamo.model.graph import Component, Role
from ecs_dynamo.planning.desired.ports import plan_ports
from tests.helpers.graphs import (
    component,
    graph,
    template,
)


def with_template(base: Component, **container: Any) -> Component:
    content = template(base.name, base.template["networkMode"], gpus=1)
    content["containerDefinitions"][0].update(container)
    return replace(base, template=content)


def test_host_mode_replicas_never_share_a_port() -> None:
    check = {"command": ["CMD-SHELL", "curl localhost:$DYN_SYSTEM_PORT/health"]}
    fixed = {"command": ["CMD-SHELL", "curl localhost:8081/health"]}
    host: Any = {"mode": "host"}
    declared = replace(
        graph(),
        components=(
            component("etcd-nats", Role.ETCD, Role.NATS),
            component("frontend", Role.FRONTEND, replicas=2, **host),
            component("one", Role.DECODE, **host),
            component("many", Role.PREFILL, replicas=3, **host),
            with_template(component("checked", Role.DECODE, replicas=2, **host), healthCheck=check),
            with_template(component("literal", Role.DECODE, replicas=2, **host), healthCheck=fixed),
            component("vpc", Role.WORKER, replicas=4),
            component("planner", Role.PLANNER, **host),
        ),
    )
    ports = plan_ports(declared)
    assert ports.distinct_instances == {"frontend", "checked", "literal"}
    assert ports.system_ports == {
        "frontend": 8081,
        "one": 8081,
        "many": 0,
        "checked": 8083,
        "literal": 8081,
        "vpc": 8081,
        "planner": 8081,
    }
    notes = " ".join(ports.notes)
    for words in ("frontend: host mode", "many: host mode with up to 3", "checked", "port 8083"):
        assert words in notes
    dynamic = replace(declared, runtime=declared.runtime.model_copy(update={"system_port": 0}))
    assert set(plan_ports(dynamic).system_ports.values()) == {0}


def test_the_replicas_of_one_component_are_nothing_to_the_port_of_another() -> None:
    """Else the other would roll to the port that the running task of the first still holds."""

    def ports(prefill: int, **change: Any) -> dict[str, int]:
        first = component("prefill", Role.PREFILL, mode="host", replicas=prefill)
        second = component("decode", Role.DECODE, mode="host")
        result = plan_ports(replace(graph(), components=(with_template(first, **change), second)))
        return dict(result.system_ports)

    assert ports(1) == {"prefill": 8081, "decode": 8082}
    assert ports(3) == {"prefill": 0, "decode": 8082}
    fixed = {"environment": [{"name": "DYN_SYSTEM_PORT", "value": "9000"}]}
    assert ports(1, **fixed) == {"prefill": 9000, "decode": 8082}
    assert ports(1, environment=[{"name": "DYN_SYSTEM_PORT", "value": "0"}])["decode"] == 8082
