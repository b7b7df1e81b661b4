"""Every member that CreateService is sent is compared in each pass, and changed or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, cast

import pytest

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.execute.executor import Executor
from ecs_dynamo.aws.observe.convert import to_service
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.aws.service_settings import CODECS, to_settings
from ecs_dynamo.model.conditions import ConditionReason, ConditionType
from ecs_dynamo.model.plan import (
    ChangeMembership,
    CreateService,
    Endpoints,
    Memory,
    Plan,
    RegisterTaskDefinition,
    RevisionRef,
    TagService,
    UpdateService,
)
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.model.service import (
    Service,
)
from ecs_dynamo.model.service_settings import (
    RULES,
    DeploymentLimits,
    LoadBalancer,
    PlacementConstraint,
    PlacementStrategy,
    PublishedPort,
    ServiceConnect,
    ServiceSettings,
)
from ecs_dynamo.model.spec.capacity import (
    CapacityProviderItem,
)
from ecs_dynamo.model.spec.service import (
    NetworkSpec,
)
from ecs_dynamo.planning import plan
from tests.helpers.changed_services import TARGET, declared, planned, updates, with_settings
from tests.helpers.convergence import converged, run_pass

Check = Callable[[Plan], bool]


MEMBERS: Mapping[str, tuple[Any, Check]] = {
    "launch_type": (
        "FARGATE",
        lambda p: (
            not updates(p)
            and any(
                c.type is ConditionType.DEGRADED
                and c.reason == ConditionReason.LAUNCH_TYPE_FIXED
                and c.status
                and "declare launchType FARGATE" in c.message
                for c in p.conditions
            )
        ),
    ),
    "capacity_providers": (
        (CapacityProviderItem(name="gpu"),),
        lambda p: (
            updates(p)[0].settings.capacity_providers == () and updates(p)[0].revision is not None
        ),
    ),
    "limits": (
        DeploymentLimits(maximum_percent=150),
        lambda p: updates(p)[0].settings.limits == DeploymentLimits(),
    ),
    "network": (
        NetworkSpec(subnets=("subnet-x",), security_groups=("sg-1",)),
        lambda p: updates(p)[0].settings.network is not None and updates(p)[0].revision is not None,
    ),
    "placement_constraints": (
        (PlacementConstraint("distinctInstance"),),
        lambda p: updates(p)[0].settings.placement_constraints == (),
    ),
    "placement_strategy": (
        (),
        lambda p: updates(p)[0].settings.placement_strategy is not None,
    ),
    "load_balancers": (
        (),
        lambda p: (
            updates(p)[0].settings.load_balancers == (TARGET,)
            and updates(p)[0].revision is not None
        ),
    ),
    "availability_zone_rebalancing": (
        True,
        lambda p: (
            updates(p)[0].settings.availability_zone_rebalancing is False
            and updates(p)[0].revision is None
        ),
    ),
    "health_check_grace_seconds": (
        0,
        lambda p: (
            updates(p)[0].settings.health_check_grace_seconds == 1800
            and updates(p)[0].revision is None
        ),
    ),
    "enable_execute_command": (
        True,
        lambda p: (
            updates(p)[0].settings.enable_execute_command is False
            and updates(p)[0].revision is None
        ),
    ),
    "tags_reach_tasks": (False, lambda p: updates(p)[0].settings.tags_reach_tasks is True),
}
"""Member of the settings -> another observed value, and what the plan does about it."""


OTHERS = {"service_registry", "service_connect"}
"""Members whose difference is tested in tests/unit/planning/test_names.py."""


def test_every_member_has_a_rule_a_codec_and_a_test() -> None:
    members = {member.name for member in fields(ServiceSettings)}
    assert members == RULES.keys() == CODECS.keys() == MEMBERS.keys() | OTHERS


@pytest.mark.parametrize("member", MEMBERS)
def test_what_was_changed_by_hand_is_changed_back_or_refused(member: str) -> None:
    declared_graph = declared()
    ecs, memory = converged(declared_graph)
    assert not planned(declared_graph, ecs, memory, lambda s: s).actions
    value, check = MEMBERS[member]
    outcome = planned(declared_graph, ecs, memory, lambda s: with_settings(s, **{member: value}))
    assert check(outcome), outcome.actions


def test_the_replica_count_and_tags_that_were_changed_by_hand_are_changed_back() -> None:
    declared_graph = declared()
    ecs, memory = converged(declared_graph)
    outcome = planned(declared_graph, ecs, memory, lambda s: replace(s, desired=7))
    assert updates(outcome)[0].desired == 1
    tags = {"ecs-dynamo:graph": "g", "team": "other", "by-hand": "stays"}
    outcome = planned(declared_graph, ecs, memory, lambda s: replace(s, tags=tags))
    matches = [
        (a.set_tags, a.remove_tags)
        for a in outcome.actions
        if isinstance(a, TagService) and a.purpose is ActionPurpose.DECLARED_TAGS
    ]
    assert matches == [({"team": "llm"}, ())]


def test_another_revision_is_rolled_out() -> None:
    declared_graph = declared()
    ecs, memory = converged(declared_graph)
    content = {**declared_graph.component("frontend").template, "cpu": "512"}
    outcome = plan(declared(template=content), ecs.snapshot(), memory, ecs.clock)
    assert [type(a) for a in outcome.actions if a.component == "frontend"][-2:] == [
        RegisterTaskDefinition,
        UpdateService,
    ]


def test_a_table_member_missing_from_describe_services_is_not_compared() -> None:
    """A value that ECS (or an emulation of it) does not report is unknown, not different."""
    declared_graph = declared()
    ecs, memory = converged(declared_graph)
    unknown = dict.fromkeys(
        (
            "launch_type",
            "load_balancers",
            "limits",
            "health_check_grace_seconds",
            "placement_strategy",
            "tags_reach_tasks",
        )
    )
    assert not planned(declared_graph, ecs, memory, lambda s: with_settings(s, **unknown)).actions


async def test_the_executor_sends_no_member_that_is_not_compared() -> None:
    sent: dict[str, Any] = {}

    class Recording:
        async def call(self, _: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
            sent[operation] = parameters
            return {"services": [{"serviceArn": "arn:s", "status": "ACTIVE", "tags": OWNER}]}

    async def never(_: ChangeMembership) -> bool:
        raise AssertionError

    executor = Executor(cast(Aws, Recording()), "g", GraphCache(), lambda: 0.0, never)
    base = CreateService(
        component="frontend",
        reason="",
        cluster="c",
        service="s",
        revision=RevisionRef("f", "x", "arn:td:1"),
        desired=1,
        settings=FULL,
        tags={"a": "b"},
    )
    members: set[str] = set()
    provided = replace(
        FULL, launch_type=None, capacity_providers=(CapacityProviderItem(name="gpu"),)
    )
    for action in (base, replace(base, settings=provided)):
        (result,) = await executor.execute(replace(NO_PLAN, actions=(action,)))
        assert result.ok, result.error
        members |= sent["CreateService"].keys()
    encoded = [CODECS[n].encode(v) for s in (FULL, provided) for n, v in s.members.items()]
    assert members == {key for parameters in encoded for key in parameters} | {
        *("cluster", "serviceName", "clientToken", "taskDefinition", "desiredCount", "tags")
    }
    (changed_to,) = await executor.execute(
        replace(
            NO_PLAN,
            actions=(
                UpdateService(
                    component="frontend",
                    reason="",
                    cluster="c",
                    service="s",
                    settings=ServiceSettings(load_balancers=(), tags_reach_tasks=True),
                ),
            ),
        )
    )
    assert changed_to.ok
    assert sent["UpdateService"] == {
        "cluster": "c",
        "service": "s",
        "loadBalancers": [],
        "enableECSManagedTags": True,
        "propagateTags": "SERVICE",
    }


FULL = ServiceSettings(
    launch_type="EC2",
    capacity_providers=(),
    service_registry="arn:r",
    service_connect=ServiceConnect("n", (PublishedPort("p", "d", "e", 1),)),
    load_balancers=(TARGET,),
    network=NetworkSpec(subnets=("s",), security_groups=("g",)),
    limits=DeploymentLimits(),
    availability_zone_rebalancing=False,
    health_check_grace_seconds=0,
    placement_strategy=(PlacementStrategy("spread", "instanceId"),),
    placement_constraints=(PlacementConstraint("distinctInstance"),),
    tags_reach_tasks=True,
    enable_execute_command=True,
)


OWNER = [{"key": "ecs-dynamo:graph", "value": "g"}]


NO_PLAN = Plan("g", (), (), (), Endpoints(), (), {}, (), Memory(0.0))


def test_what_describe_services_tells_is_compared() -> None:
    raw: dict[str, Any] = {
        "serviceArn": "arn:s",
        "serviceName": "s",
        "launchType": "EC2",
        "loadBalancers": [
            {"targetGroupArn": "arn:tg", "containerName": "frontend", "containerPort": 8000},
            {"loadBalancerName": "classic", "containerName": "frontend", "containerPort": 1},
        ],
        "enableECSManagedTags": False,
        "propagateTags": "NONE",
        "deploymentConfiguration": {
            "deploymentCircuitBreaker": {"enable": True, "rollback": False}
        },
    }
    matches = to_service(raw, "c").settings
    assert matches.load_balancers == (TARGET, LoadBalancer("classic", "frontend", 1))
    assert (matches.launch_type, matches.tags_reach_tasks) == ("EC2", False)
    assert matches.limits == DeploymentLimits(rolls_back=False)
    assert to_service({"serviceArn": "a", "serviceName": "s"}, "c").settings.load_balancers is None
    del raw["deploymentConfiguration"]["deploymentCircuitBreaker"]["rollback"]
    assert to_service(raw, "c").settings.limits == DeploymentLimits()


@pytest.mark.parametrize(
    ("reported", "reach"),
    [
        ({"enableECSManagedTags": False, "propagateTags": "SERVICE"}, False),
        ({"enableECSManagedTags": True, "propagateTags": "NONE"}, False),
        ({"enableECSManagedTags": True, "propagateTags": "SERVICE"}, True),
        ({}, True),  # Not reported.
    ],
)
def test_tags_reach_tasks_only_where_they_are_propagated_and_managed(
    reported: dict[str, Any], reach: bool
) -> None:
    assert to_settings(reported).tags_reach_tasks is reach


@pytest.mark.parametrize("arn", [None, "arn:other"])
def test_a_target_group_is_changed_in_order_and_removed(arn: str | None) -> None:
    before = declared()
    ecs, memory = converged(before)
    after = declared(target_group_arn=arn)
    outcome = run_pass(ecs, after, memory)
    (update,) = updates(outcome)
    assert update.settings.load_balancers == (
        (replace(TARGET, target_group_arn=arn),) if arn else ()
    )
    assert "target group differs" in update.reason
    settled = plan(after, ecs.snapshot(), outcome.memory, ecs.clock)
    assert not updates(settled)


def test_a_target_group_waits_for_what_rolls_before_the_frontend() -> None:
    before = declared(target_group_arn=None)
    ecs, memory = converged(before)
    after = declared()
    decode = after.component("decode")
    content = {**decode.template, "cpu": "512"}
    parts = [replace(c, template=content) if c is decode else c for c in after.components]
    outcome = plan(replace(after, components=tuple(parts)), ecs.snapshot(), memory, ecs.clock)
    assert not updates(outcome)
    assert [a.component for a in outcome.actions if isinstance(a, UpdateService)] == ["decode"]


def test_target_groups_of_etcd_and_nats_are_left_alone() -> None:
    declared_graph = declared()
    ecs, memory = converged(declared_graph)
    observed = ecs.snapshot()
    part = observed.components["etcd-nats"]
    assert isinstance(part.service, Service)
    other = replace(part, service=with_settings(part.service, load_balancers=(TARGET,)))
    observed = replace(observed, components={**observed.components, "etcd-nats": other})
    assert not plan(declared_graph, observed, memory, ecs.clock).actions


def test_declared_tags_reach_services_and_leave_them() -> None:
    ecs, memory = converged(declared())
    ecs.services["g-frontend"].tags["by-hand"] = "stays"
    for tags in ({"team": "ml", "cost": "7"}, {"cost": "7"}, {}):
        declared_graph = replace(declared(), tags=tags)
        outcome = run_pass(ecs, declared_graph, memory)
        memory = outcome.memory
        assert {a.purpose for a in outcome.actions if isinstance(a, TagService)} == {
            ActionPurpose.DECLARED_TAGS
        }
        assert all(isinstance(a, TagService) for a in outcome.actions)
        assert len(outcome.actions) == len(declared_graph.components)
        for service in ecs.services.values():
            user = {k: v for k, v in service.tags.items() if not k.startswith("ecs-dynamo:")}
            assert user.pop("by-hand", "stays") == "stays"
            assert user == tags
        assert ecs.services["g-frontend"].tags["by-hand"] == "stays"
        assert not plan(declared_graph, ecs.snapshot(), memory, ecs.clock).actions
