"""Several workers on one instance, where generations are in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.model.ecs.task_definition import containers_in, environment_value
from ecs_dynamo.model.graph import Component, Graph, JsonObject, Role
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.desired.generations.identity import generation_of
from ecs_dynamo.planning.desired.ports import plan_ports
from ecs_dynamo.planning.desired.rendering import render
from tests.helpers.generations import of_generation
from tests.helpers.graphs import component, graph

ENDS = Endpoints("http://10.0.0.9:2379", "nats://10.0.0.8:4222")
BY_VARIABLE = {"command": ["CMD-SHELL", "curl localhost:$DYN_SYSTEM_PORT/health"]}
BY_NUMBER = {"command": ["CMD-SHELL", "curl localhost:8081/health"]}
OTHER = {"command": ["CMD-SHELL", "pgrep python3"]}
NIXL = """python3 -m dynamo.vllm --kv-transfer-config '{"kv_connector":"NixlConnector"}'"""
SIDE_CHANNEL, SYSTEM = "VLLM_NIXL_SIDE_CHANNEL_PORT", "DYN_SYSTEM_PORT"


def worker(
    name: str = "decode",
    mode: str = "host",
    *,
    variables: Mapping[str, str] | None = None,
    generation: str | None = "g1a2b3c4d",
    replicas: int = 1,
    sidecar: dict[str, Any] | None = None,
    **container: Any,
) -> Component:
    role = Role.PREFILL if name == "prefill" else Role.DECODE
    base = component(name, role, mode=mode, replicas=replicas)
    first = {**base.template["containerDefinitions"][0], **container}
    first["environment"] = [
        *first["environment"],
        *({"name": k, "value": v} for k, v in (variables or {}).items()),
    ]
    containers = [first, *([sidecar] if sidecar else [])]
    base = replace(
        base,
        containers=(name,),
        template={**base.template, "containerDefinitions": containers},
    )
    return base if generation is None else of_generation(base, generation)


def of(*components: Component) -> Graph:
    return replace(graph(), components=components)


def content_of(declared: Graph, item: Component) -> JsonObject:
    return render(declared, item, ENDS, plan_ports(declared).system_ports[item.name])


def host_ports(content: JsonObject) -> set[int]:
    containers = containers_in(content)
    return {m["hostPort"] for c in containers for m in c.get("portMappings", ())}


@pytest.mark.parametrize("replicas", [1, 2, 4, 8])
@pytest.mark.parametrize("check", [BY_VARIABLE, BY_NUMBER, OTHER, None])
def test_in_host_mode_every_replica_chooses_its_system_port(
    replicas: int, check: dict[str, Any] | None
) -> None:
    keys: dict[str, Any] = {"healthCheck": check} if check else {}
    item = worker(replicas=replicas, **keys)
    declared = of(item)
    ports = plan_ports(declared)
    content = content_of(declared, item)
    assert ports.distinct_instances == frozenset()
    assert ports.turns == {}
    assert environment_value(content, SYSTEM) == "0"
    assert host_ports(content) == set()
    kept = check if check is OTHER else None
    assert containers_in(content)[0].get("healthCheck") == kept
    notes = " ".join(ports.notes)
    assert "each replica chooses its system port" in notes
    words = {None: "no container health check", OTHER["command"][1]: "of the task definition"}
    text = check["command"][1] if check else None
    assert words.get(text, "and is left out; the daemon checks every replica itself") in notes
    assert ("counted, not distinguished" in notes) == (replicas > 1)


@pytest.mark.parametrize("mode", ["awsvpc", "bridge"])
@pytest.mark.parametrize("replicas", [1, 8])
def test_in_other_modes_the_system_port_and_its_check_stay(mode: str, replicas: int) -> None:
    item = worker(mode=mode, replicas=replicas, healthCheck=BY_VARIABLE, command=[NIXL])
    declared = of(item)
    ports, content = plan_ports(declared), content_of(declared, item)
    assert ports.distinct_instances == frozenset()
    assert environment_value(content, SYSTEM) == "8081"
    assert environment_value(content, SIDE_CHANNEL) is None
    assert host_ports(content) == ({0} if mode == "bridge" else set())
    assert containers_in(content)[0]["healthCheck"] == BY_VARIABLE
    assert "decode: health check of the task definition, beside the daemon's own" in ports.notes


def test_without_generations_nothing_changes() -> None:
    item = worker(generation=None, replicas=4, healthCheck=BY_VARIABLE, command=[NIXL])
    declared = of(item)
    ports, content = plan_ports(declared), content_of(declared, item)
    assert ports.distinct_instances == {"decode"}
    assert environment_value(content, SYSTEM) == "8081"
    assert environment_value(content, SIDE_CHANNEL) is None
    assert containers_in(content)[0]["healthCheck"] == BY_VARIABLE
    assert host_ports(content) == set()
    assert not any("daemon" in note for note in ports.notes)


def test_a_port_that_the_task_definition_fixes_keeps_its_check() -> None:
    item = worker(replicas=4, variables={SYSTEM: "9000"}, healthCheck=BY_VARIABLE)
    declared = of(item)
    ports, content = plan_ports(declared), content_of(declared, item)
    assert ports.distinct_instances == {"decode"}
    assert environment_value(content, SYSTEM) == "9000"
    assert host_ports(content) == {9000}
    assert containers_in(content)[0]["healthCheck"] == BY_VARIABLE
    (note,) = [n for n in ports.notes if "fixed ports" in n]
    assert "(system port 9000): reserved as host ports, placed one per instance" in note


def test_a_check_that_another_container_waits_for_stays() -> None:
    waits = {
        "name": "proxy",
        "image": "proxy",
        "dependsOn": [{"containerName": "decode", "condition": "HEALTHY"}],
    }
    item = worker(replicas=2, healthCheck=BY_VARIABLE, sidecar=waits)
    declared = of(item)
    content = content_of(declared, item)
    assert containers_in(content)[0]["healthCheck"] == BY_VARIABLE
    assert environment_value(content, SYSTEM) == "8081"
    assert host_ports(content) == {8081}
    assert plan_ports(declared).distinct_instances == {"decode"}


def test_the_side_channel_differs_between_components_and_generations() -> None:
    items = [
        worker(name, generation=generation, command=[NIXL])
        for name in ("prefill", "decode")
        for generation in ("g00000001", "g00000002")
    ]
    contents = [content_of(of(item), item) for item in items]
    ports = [environment_value(content, SIDE_CHANNEL) for content in contents]
    assert len({*ports}) == 4
    for content, port in zip(contents, ports, strict=True):
        assert port is not None
        assert 21_000 <= int(port) < 29_000
        assert host_ports(content) == {int(port)}
    # A revision of the same generation, and another count, keep it.
    again = worker("prefill", generation="g00000001", command=[NIXL], replicas=3, image="other")
    assert environment_value(content_of(of(again), again), SIDE_CHANNEL) == ports[0]
    assert plan_ports(of(again)).distinct_instances == {"prefill"}


def test_a_side_channel_of_its_own_is_no_part_of_the_generation() -> None:
    plain = of(worker(generation=None, command=[NIXL]), worker("prefill", generation=None))
    generation = generation_of(plain)
    expanded = of(*(of_generation(c, generation) for c in plain.components))
    assert generation_of(expanded) == generation


def test_a_command_that_chooses_its_ports_and_identifies_itself_packs_without_a_reservation() -> (
    None
):
    chosen = f"export {SIDE_CHANNEL}=$((5600 + 8 * N)); export DYN_STABLE_ROUTING_ID=$ID; {NIXL}"
    item = worker(replicas=8, command=[chosen])
    declared = of(item)
    ports, content = plan_ports(declared), content_of(declared, item)
    assert ports.distinct_instances == frozenset()
    assert environment_value(content, SIDE_CHANNEL) is None
    assert host_ports(content) == set()
    assert not any("fixed ports" in n or "distinguished" in n for n in ports.notes)


def test_the_maximum_of_scaling_counts() -> None:
    scaling = ScalingSpec.model_validate({"min": 1, "max": 8})
    item = replace(worker(variables={"DYN_TCP_RPC_PORT": "7000"}), scaling=scaling)
    assert plan_ports(of(item)).distinct_instances == {"decode"}


FIXED = {
    "nothing": ("python3 -m dynamo.vllm", {}, 0),
    "side channel": (NIXL, {SIDE_CHANNEL: "5600"}, 5600),
    "side channel by default": (NIXL, {}, None),
    "exporter": (
        "python3 -m dynamo.vllm",
        {
            "NIXL_TELEMETRY_ENABLE": "y",
            "NIXL_TELEMETRY_EXPORTER": "prometheus",
            "NIXL_TELEMETRY_PROMETHEUS_PORT": "19090",
        },
        19090,
    ),
    "metrics": ("python3 -m dynamo.vllm", {"DYN_FORWARDPASS_METRIC_PORT": "20380"}, 20380),
    "requests": ("python3 -m dynamo.vllm", {"DYN_TCP_RPC_PORT": "7000"}, 7000),
    "events": (
        """python3 -m dynamo.vllm --kv-events-config '{"publisher":"zmq","endpoint":"tcp://*:5557"}'""",
        {},
        5557,
    ),
}
"""Ways to fix a port, with the port; None stands for a default that may be replaced."""

workers = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["host", "bridge", "awsvpc"]),
        "replicas": st.integers(1, 8),
        "fixed": st.sampled_from(sorted(FIXED)),
        "system": st.sampled_from([None, "0", "8081", "9000"]),
        "check": st.sampled_from([None, BY_VARIABLE, BY_NUMBER, OTHER]),
        "generation": st.sampled_from(["g00000001", "g00000002"]),
    }
)


def listens_at(content: JsonObject, fixed: str) -> set[int]:
    """The ports of its host at which a replica listens, apart from those that it chooses."""
    port = FIXED[fixed][2]
    text = environment_value(content, SIDE_CHANNEL) or "5600" if port is None else str(port)
    return {int(text), int(environment_value(content, SYSTEM) or 0)} - {0}


@given(st.lists(workers, min_size=1, max_size=4))
def test_no_two_replicas_that_may_share_an_instance_share_a_fixed_port(
    declarations: list[dict[str, Any]],
) -> None:
    items = []
    for number, item in enumerate(declarations):
        command, variables, _ = FIXED[item["fixed"]]
        system = {} if item["system"] is None else {SYSTEM: item["system"]}
        check: dict[str, Any] = {"healthCheck": item["check"]} if item["check"] else {}
        items.append(
            worker(
                f"w{number}",
                item["mode"],
                variables={**variables, **system},
                generation=item["generation"],
                replicas=item["replicas"],
                command=[command],
                **check,
            )
        )
    declared = of(*items)
    apart = plan_ports(declared).distinct_instances
    contents = [content_of(declared, item) for item in items]
    hosted = [n for n, item in enumerate(declarations) if item["mode"] == "host"]
    for first, second in combinations_with_replacement(hosted, 2):
        if first == second and (items[first].replicas == 1 or items[first].name in apart):
            continue
        ports, others = (listens_at(contents[n], declarations[n]["fixed"]) for n in (first, second))
        both = host_ports(contents[first]) & host_ports(contents[second])
        assert not ports & others or both, (declarations[first], declarations[second])
        assert first != second or not ports & others


@given(st.lists(workers, min_size=2, max_size=4))
def test_the_ports_of_a_component_do_not_depend_on_those_of_others(
    declarations: list[dict[str, Any]],
) -> None:
    items = [
        worker(f"w{n}", item["mode"], replicas=item["replicas"], generation=item["generation"])
        for n, item in enumerate(declarations)
    ]
    for item in items:
        assert content_of(of(item), item) == content_of(of(*items), item)
