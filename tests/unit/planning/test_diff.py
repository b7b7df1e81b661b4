"""`plan` shows everything that changes, removals too, and nothing that does not."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.model.plan import RegisterTaskDefinition, UpdateService
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.service_settings import DeploymentLimits, LoadBalancer, ServiceSettings
from ecs_dynamo.model.snapshot import Revision
from ecs_dynamo.model.spec.service import NetworkSpec
from ecs_dynamo.planning import describe, plan
from ecs_dynamo.planning.describe import (
    content_diff,
    service_diff,
)
from ecs_dynamo.planning.desired.canonical import (
    canonical,
    means_the_same,
)
from tests.helpers.convergence import converged
from tests.helpers.graphs import graph

BEFORE: dict[str, Any] = {
    "family": "x",
    "networkMode": "host",
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [
        {
            "name": "app",
            "image": "example.com/app:1",
            "environment": [
                {"name": "KEEP", "value": "1"},
                {"name": "OLD_FLAG", "value": "on"},
            ],
            "command": ["serve", "--fast", "--port", "8000"],
            "ulimits": [{"name": "memlock", "softLimit": -1, "hardLimit": -1}],
            "linuxParameters": {"sharedMemorySize": 8192},
            "healthCheck": {"command": ["CMD", "true"], "interval": 30},
            "portMappings": [{"containerPort": 8000}],
        },
        {"name": "side", "image": "example.com/side:1", "essential": False},
    ],
}
APP = "containerDefinitions[app]"


def app(content: dict[str, Any]) -> dict[str, Any]:
    matches: dict[str, Any] = content["containerDefinitions"][0]
    return matches


def described(content: dict[str, Any]) -> dict[str, Any]:
    """Return ``content`` with ECS's additions, as DescribeTaskDefinition answers."""
    result = copy.deepcopy(content)
    result |= {"volumes": [], "placementConstraints": [], "enableFaultInjection": False}
    for container in result["containerDefinitions"]:
        container.setdefault("cpu", 0)
        container.setdefault("essential", True)
        for key in ("environment", "mountPoints", "volumesFrom", "portMappings", "systemControls"):
            container.setdefault(key, [])
        container["environment"] = container["environment"][::-1]
        for mapping in container["portMappings"]:
            mapping |= {"hostPort": mapping["containerPort"], "protocol": "tcp"}
        if check := container.get("healthCheck"):
            container["healthCheck"] = {"interval": 30, "timeout": 5, "retries": 3, **check}
    return result


def test_every_removal_is_named() -> None:
    after = copy.deepcopy(BEFORE)
    del app(after)["ulimits"], app(after)["linuxParameters"], app(after)["healthCheck"]
    app(after)["environment"].pop()
    app(after)["command"].remove("--fast")
    app(after)["portMappings"] = []
    after["containerDefinitions"].pop()
    assert content_diff(described(BEFORE), after) == [
        f"- {APP}.command[1]: --fast",
        f"- {APP}.environment[OLD_FLAG].value: on",
        f"- {APP}.healthCheck.command[0]: CMD",
        f"- {APP}.healthCheck.command[1]: true",
        f"- {APP}.linuxParameters.sharedMemorySize: 8192",
        f"- {APP}.portMappings[8000]",
        f"- {APP}.ulimits[memlock].hardLimit: -1",
        f"- {APP}.ulimits[memlock].softLimit: -1",
        "- containerDefinitions[side]: the container of example.com/side:1",
    ]


def test_additions_and_changes_are_named() -> None:
    after = copy.deepcopy(BEFORE)
    app(after)["environment"][0]["value"] = "2"
    app(after)["image"] = "example.com/app:2"
    after["containerDefinitions"].append({"name": "new", "image": "n:1", "essential": False})
    assert content_diff(described(BEFORE), after) == [
        f"- {APP}.environment[KEEP].value: 1",
        f"+ {APP}.environment[KEEP].value: 2",
        f"- {APP}.image: example.com/app:1",
        f"+ {APP}.image: example.com/app:2",
        "+ containerDefinitions[new].essential: False",
        "+ containerDefinitions[new].image: n:1",
    ]


def test_what_ecs_adds_is_not_shown() -> None:
    assert content_diff(described(BEFORE), BEFORE) == []
    assert content_diff(BEFORE, described(BEFORE)) == []


@pytest.mark.parametrize(
    ("item", "other"),
    [
        ({"cpu": "256"}, {"cpu": ".25 vCPU"}),
        ({"cpu": "256"}, {"cpu": "0.25vcpu"}),
        ({"cpu": "2048"}, {"cpu": "2 vCPU"}),
        ({"memory": "512"}, {"memory": "0.5 GB"}),
        ({"memory": "30720"}, {"memory": "30GB"}),
        ({"requiresCompatibilities": ["EC2", "FARGATE"]},
         {"requiresCompatibilities": ["FARGATE", "EC2"]}),
        ({"pidMode": None}, {}),
    ],
)  # fmt: skip
def test_equal_values_written_differently_are_no_change(
    item: dict[str, Any], other: dict[str, Any]
) -> None:
    assert content_diff(item, other) == []
    assert means_the_same(item, other)


@pytest.mark.parametrize(
    ("item", "other"),
    [
        ({"cpu": "256"}, {"cpu": "512"}),
        ({"cpu": ".25 vCPU"}, {"cpu": ".5 vCPU"}),
        ({"memory": "1 GB"}, {"memory": "1000"}),
        ({"cpu": "9" * 400 + " vCPU"}, {"cpu": "256"}),
        # An empty variable is there; one that is not named is not.
        (
            {"containerDefinitions": [{"name": "a", "environment": [{"name": "A", "value": ""}]}]},
            {"containerDefinitions": [{"name": "a"}]},
        ),
        # In bridge mode a host port is chosen; elsewhere it is the container's.
        (
            {"containerDefinitions": [{"name": "a", "portMappings": [{"containerPort": 1}]}]},
            {
                "containerDefinitions": [
                    {"name": "a", "portMappings": [{"containerPort": 1, "hostPort": 1}]}
                ]
            },
        ),
        (
            {"containerDefinitions": [{"name": "a", "essential": False}]},
            {"containerDefinitions": [{"name": "a"}]},
        ),
        (
            {"containerDefinitions": [{"name": "a", "command": ["x", "y"]}]},
            {"containerDefinitions": [{"name": "a", "command": ["y", "x"]}]},
        ),
    ],
)
def test_what_differs_to_ecs_is_a_change(item: dict[str, Any], other: dict[str, Any]) -> None:
    assert content_diff(item, other)
    assert content_diff(other, item)
    assert not means_the_same(item, other)


def test_two_entries_of_one_name_are_left_to_ecs() -> None:
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    item = {"containerDefinitions": [{"name": "a", "environment": twice}]}
    other = {"containerDefinitions": [{"name": "a", "environment": twice[::-1]}]}
    assert not means_the_same(item, other)
    assert content_diff(item, other)


def test_no_secret_is_shown() -> None:
    def content(value: str, url: str) -> dict[str, Any]:
        entries = [{"name": "HF_TOKEN", "value": value}, {"name": "URL", "value": url}]
        return {"containerDefinitions": [{"name": "a", "environment": entries}]}

    lines = content_diff(
        content("hush-1", "nats://u:hush-2@h"), content("hush-3", "nats://u:hush-4@h")
    )
    assert len(lines) == 4
    assert "hush" not in " ".join(lines)
    gone = content_diff(content("hush-1", "x"), {"containerDefinitions": [{"name": "a"}]})
    assert "hush" not in " ".join(gone)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "value", "environment", "portMappings", "containerPort", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)
CONTENT = st.dictionaries(st.sampled_from(["containerDefinitions", "cpu", "volumes", "x"]), JSON)


@given(CONTENT, CONTENT)
def test_a_diff_is_empty_just_where_both_mean_the_same(
    item: dict[str, Any], other: dict[str, Any]
) -> None:
    assert (content_diff(item, other) == []) == means_the_same(item, other)
    assert canonical(item) == canonical(copy.deepcopy(item))


# In a plan ------------------------------------------------------------------------------------


def test_another_way_to_write_a_value_rolls_nothing() -> None:
    def sized(cpu: str) -> Any:
        declared = graph()
        parts = tuple(
            replace(c, template={**c.template, "cpu": cpu}) if c.name == "decode" else c
            for c in declared.components
        )
        return replace(declared, components=parts)

    ecs, memory = converged(sized("256"))
    assert not plan(sized(".25 vCPU"), ecs.snapshot(), memory, ecs.clock).actions
    result = plan(sized(".5 vCPU"), ecs.snapshot(), memory, ecs.clock)
    assert any(isinstance(a, RegisterTaskDefinition) for a in result.actions)
    lines = describe(result, ecs.snapshot())
    assert "    - cpu: 256" in lines
    assert "    + cpu: 512" in lines


def test_a_revision_that_is_there_already_is_shown_too() -> None:
    declared = graph()
    ecs, memory = converged(declared)
    observed = ecs.snapshot()
    part = observed.components["decode"]
    assert isinstance(part.service, Service)
    current = part.revisions[part.service.task_definition_arn]
    other = copy.deepcopy(dict(current.content))
    other["containerDefinitions"][0]["image"] = "dynamo:by-hand"
    running = Revision(
        "arn:td/g-decode:9", "g-decode", 9, other, {"ecs-dynamo:fingerprint": "0" * 16}
    )
    moved = replace(
        part,
        service=replace(part.service, task_definition_arn=running.arn),
        revisions={**part.revisions, running.arn: running},
    )
    observed = replace(observed, components={**observed.components, "decode": moved})
    result = plan(declared, observed, memory, ecs.clock)
    assert not any(isinstance(a, RegisterTaskDefinition) for a in result.actions)
    lines = describe(result, observed)
    assert "    - containerDefinitions[decode].image: dynamo:by-hand" in lines
    assert "    + containerDefinitions[decode].image: dynamo:1" in lines


def test_what_an_update_changes_of_a_service_is_shown() -> None:
    ecs, _ = converged(graph())
    service = ecs.snapshot().components["decode"].service
    assert isinstance(service, Service)
    update = UpdateService(
        component="decode",
        reason="",
        cluster="c",
        service="s",
        settings=ServiceSettings(
            network=NetworkSpec(subnets=("subnet-1", "subnet-2"), security_groups=()),
            load_balancers=(LoadBalancer("arn:tg", "app", 8000),),
            capacity_providers=(),
            placement_strategy=(),
            placement_constraints=(),
            limits=DeploymentLimits(maximum_percent=150, circuit_breaker=False),
        ),
    )
    lines = service_diff(service, update)
    assert "+ network.subnets[1]: subnet-2" in lines
    assert "- network.securityGroups[0]: sg-1" in lines
    assert "+ targetGroups[0]: arn:tg at app:8000" in lines
    assert "- rollout.maximumPercent: 200" in lines
    assert "+ rollout.maximumPercent: 150" in lines
    assert "+ rollout.circuitBreaker: False" in lines
    without = replace(service, settings=service.settings.without("network"))
    assert "+ network.securityGroups" not in " ".join(service_diff(without, update))
    assert not any("assignPublicIp" in line for line in service_diff(without, update))
    assert "- placement.strategy[0]: spread attribute:ecs.availability-zone" in lines
