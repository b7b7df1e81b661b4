"""Plans as lines of text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.plan import (
    AnyAction,
    ChangeMembership,
    CreateService,
    DeleteService,
    MembershipStep,
    Memory,
    ProtectTasks,
    RetireRevisions,
    RevisionRef,
    SetDesiredCapacity,
    SetInstancesState,
    StopTask,
    TagService,
)
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.model.service_settings import ServiceSettings
from ecs_dynamo.planning import describe, describe_action, plan
from ecs_dynamo.planning.describe import content_diff
from tests.helpers.convergence import (
    converged,
)
from tests.helpers.graphs import (
    graph,
    with_image,
)
from tests.helpers.simulated_ecs import SimulatedEcs


def test_actions_and_plans_read_well() -> None:
    declared = graph()
    ecs, memory = converged(declared)
    result = plan(with_image(declared, "decode", "dynamo:2"), ecs.snapshot(), memory, ecs.clock)
    lines = describe(result, ecs.snapshot())
    assert any(line.startswith("decode: register task definition g-decode") for line in lines)
    assert "    - containerDefinitions[decode].image: dynamo:1" in lines
    assert "    + containerDefinitions[decode].image: dynamo:2" in lines
    assert any(line.startswith("decode: update service g-decode") for line in lines)
    protect = ProtectTasks(component="a", reason="r", cluster="c", tasks=("t", "u"), minutes=5)
    assert describe_action(protect) == "a: protect 2 tasks: r"
    assert describe_action(replace(protect, minutes=None)) == "a: release 2 tasks: r"
    gone = DeleteService(component="a", reason="r", cluster="c", service="s")
    assert describe_action(gone) == "a: delete service s in c: r"
    create = CreateService(
        component="a",
        reason="r",
        cluster="c",
        service="s",
        revision=RevisionRef("f", "x"),
        desired=2,
        settings=ServiceSettings(),
    )
    assert describe_action(create) == "a: create service s x2 in c: r"
    assert content_diff({"a": [1]}, {"a": [1, 2], "b": {"c": 3}}) == ["+ a[1]: 2", "+ b.c: 3"]


def test_a_first_plan_describes_without_a_snapshot() -> None:
    declared = graph()
    result = plan(declared, SimulatedEcs(declared).snapshot(), Memory(0.0), Now.at(0.0))
    lines = describe(result)
    assert any("create service g-etcd-nats" in line for line in lines)
    assert any("wait: frontend: waiting for a ready etcd and NATS" in line for line in lines)


WHERE: dict[str, Any] = {"component": "a", "reason": "r", "cluster": "c"}
GROUP: dict[str, Any] = {"component": "asg", "reason": "r", "group": "asg"}
TAGS: dict[str, Any] = {**WHERE, "service": "s", "set_tags": {"ecs-dynamo:canary": "3 promoted"}}


@pytest.mark.parametrize(
    ("action", "line"),
    [
        (StopTask(**WHERE, service="s", task="arn:task/0123456789", why="w"), "stop task 01234567"),
        (TagService(**TAGS, purpose=ActionPurpose.HOLD), "hold service s"),
        (TagService(**TAGS, purpose=ActionPurpose.DECLARED_TAGS), "tag service s"),
        (
            TagService(**TAGS, purpose=ActionPurpose.RECORD_CANARY),
            "mark service s: canary 3 promoted",
        ),
        (
            RetireRevisions(component="a", reason="r", family="f", arns=("x", "y")),
            "delete 2 old revisions of f",
        ),
        (SetDesiredCapacity(**GROUP, desired=3), "raise Auto Scaling group asg to 3"),
        (
            SetInstancesState(**WHERE, instances=("arn:ci/i1",), status="DRAINING", claim=False),
            "drain container instance i1",
        ),
        (
            SetInstancesState(**WHERE, instances=("arn:ci/i1",), status="ACTIVE"),
            "set 1 instances to ACTIVE",
        ),
        (
            ChangeMembership(
                component="a", reason="r", step=MembershipStep.PROMOTE, servers=(), member=255
            ),
            "promote etcd member ff",
        ),
    ],
)
def test_every_kind_of_action_has_one_line(action: AnyAction, line: str) -> None:
    assert describe_action(action) == f"{action.component}: {line}: r"
