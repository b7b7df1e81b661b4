"""Policies fit into IAM's limits, for large graphs and for several graphs of one daemon."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecs_dynamo.iam.render import (
    Documents,
    render_iam,
    task_role_trust,
)
from ecs_dynamo.iam.statements import (
    MANAGED_POLICY_SIZE,
    Arns,
    document,
    size_of,
    split,
    statement,
)
from ecs_dynamo.model.graph import Graph
from tests.rights.policy import AccessRequest, decide
from tests.rights.widest import ACCOUNT, widest

REGION = "us-east-1"
INLINE_SIZE = 10_240
"""Characters of all inline policies of a role together (IAM user guide, "IAM and STS quotas")."""


def wide(services: int, name: str = "qwen") -> Graph:
    """A graph that needs every right, with as many services; images, logs and secrets of each."""
    base = widest()
    prefill = base.component("prefill")
    documents = list(base.components)
    while len(documents) < services:
        number = len(documents)
        (container, *others) = prefill.template["containerDefinitions"]
        group = f"/ecs/dynamo/prefill-{number}"
        options = {"awslogs-group": group, "awslogs-create-group": "true"}
        container = {
            **container,
            "image": f"111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/dynamo-{number}:1",
            "secrets": [{"name": "A", "valueFrom": f"/plain/{number}"}],
            "logConfiguration": {"logDriver": "awslogs", "options": options},
        }
        content = {**prefill.template, "containerDefinitions": [container, *others]}
        documents.append(replace(prefill, name=f"prefill-{number}", template=content))
    named = [replace(c, service=f"{name}-{c.name}", family=f"{name}-{c.name}") for c in documents]
    return replace(base, name=name, components=tuple(named))


def of_role(documents: Documents, name: str) -> list[Mapping[str, Any]]:
    pattern = re.compile(rf"{name}(-\d+)?\.json")
    return [d for n, d in documents.items() if pattern.fullmatch(n)]


ROLES = ("daemon-task-role", "doctor", "execution-role", "instance-role")


@pytest.mark.parametrize("graphs", [1, 2, 5])
@pytest.mark.parametrize("services", [4, 10])
def test_every_policy_fits(graphs: int, services: int) -> None:
    every = [wide(services, f"graph-{n}") for n in range(graphs)]
    documents = render_iam(every, REGION, ACCOUNT, "leases", "events")
    for name in ROLES:
        policies = of_role(documents, name)
        assert policies
        for item in policies:
            assert size_of(item) <= MANAGED_POLICY_SIZE, name
        assert sum(map(size_of, policies)) <= INLINE_SIZE, name
        for item in policies:
            sids = [s["Sid"] for s in item["Statement"]]
            assert len(set(sids)) == len(sids)
            assert all(re.fullmatch(r"[A-Za-z0-9]+", sid) for sid in sids)


def test_the_daemons_policies_do_not_grow_with_the_number_of_graphs() -> None:
    two, ten = (
        of_role(
            render_iam([wide(10, f"g{n}") for n in range(count)], REGION, ACCOUNT, "l", "q"),
            "daemon-task-role",
        )
        for count in (2, 10)
    )
    assert two == ten
    item = of_role(render_iam(wide(10, "g0"), REGION, ACCOUNT, "l", "q"), "daemon-task-role")
    assert sum(map(size_of, two)) <= sum(map(size_of, item))


def asked(action: str, resource: str, **context: str) -> AccessRequest:
    return AccessRequest(
        f"ecs:{action}",
        f"arn:aws:ecs:{REGION}:{ACCOUNT}:{resource}",
        {k.replace("_", "/") + ":graph": [v] for k, v in context.items()},
    )


def test_several_graphs_are_bound_to_their_clusters_and_to_the_ownership_tag() -> None:
    documents = render_iam([wide(4, "a"), wide(4, "b")], REGION, ACCOUNT, "leases", "events")
    own = of_role(documents, "daemon-task-role")
    tag, asks = "aws:ResourceTag_ecs-dynamo", "aws:RequestTag_ecs-dynamo"
    for name in ("a", "b"):
        for request in (
            asked("CreateService", f"service/dynamo-GPU/{name}-decode", **{asks: name}),
            asked("UpdateService", f"service/dynamo-GPU/{name}-decode", **{tag: name}),
            asked("TagResource", f"service/dynamo-GPU/{name}-decode", **{tag: name}),
            asked("RegisterTaskDefinition", f"task-definition/{name}-decode:*", **{asks: name}),
            asked("UpdateTaskProtection", "task/dynamo-GPU/1", **{tag: name}),
            asked("StopTask", "task/dynamo-GPU/1", **{tag: name}),
        ):
            assert decide(own, request).allowed, request
        item = AccessRequest(
            "dynamodb:UpdateItem",
            f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/leases",
            {"dynamodb:LeadingKeys": [name]},
        )
        assert decide(own, item).allowed
    for request in (
        # Without the tag, or in another cluster.
        asked("UpdateService", "service/dynamo-GPU/a-decode"),
        asked("CreateService", "service/dynamo-GPU/a-decode"),
        asked("UpdateService", "service/other/a-decode", **{tag: "a"}),
        asked("UpdateTaskProtection", "task/dynamo-GPU/1"),
        asked("StopTask", "task/dynamo-GPU/1"),
        asked("StopTask", "task/other/1", **{tag: "a"}),
    ):
        assert not decide(own, request).allowed, request


def test_one_graph_is_bound_to_its_name() -> None:
    own = of_role(render_iam([wide(4, "a")], REGION, ACCOUNT, "leases"), "daemon-task-role")
    tag = "aws:ResourceTag_ecs-dynamo"
    update = asked("UpdateService", "service/dynamo-GPU/a-decode", **{tag: "a"})
    assert decide(own, update).allowed
    for service, owner in (("a-decode", "b"), ("b-decode", "a")):
        other = asked("UpdateService", f"service/dynamo-GPU/{service}", **{tag: owner})
        assert not decide(own, other).allowed


@given(st.lists(st.integers(1, 60), max_size=12), st.integers(400, 900))
@example([25], 438)  # A part fits until its statement has its number.
def test_splitting_loses_nothing(counts: list[int], limit: int) -> None:
    whole = document(
        statement(f"S{n}", ["ecs:X"], [f"arn:aws:ecs:r:a:x/{n}/{i:03}" for i in range(count)])
        for n, count in enumerate(counts)
    )
    rendered = split("x.json", whole, limit)
    assert list(rendered) == ["x.json", *(f"x-{n}.json" for n in range(2, len(rendered) + 1))]
    assert all(size_of(item) <= limit for item in rendered.values())

    def rights(documents: Any) -> set[tuple[str, str]]:
        return {
            (s["Action"][0], resource)
            for d in documents
            for s in d["Statement"]
            for resource in s["Resource"]
        }

    assert rights(rendered.values()) == rights([whole])


def test_a_short_role_name_is_a_whole_arn() -> None:
    """ECS takes "short name or full Amazon Resource Name"; IAM takes no resource that is none."""
    base = widest()
    short = tuple(
        replace(c, template={**c.template, "taskRoleArn": "dynamo-task"}) for c in base.components
    )
    documents = render_iam(replace(base, components=short), "cn-north-1", ACCOUNT)
    for name, sid in (("daemon-task-role", "PassRolesToTasks"), ("doctor", "ReadRoles")):
        (allowing,) = (
            s for d in of_role(documents, name) for s in d["Statement"] if s["Sid"] == sid
        )
        assert f"arn:aws-cn:iam::{ACCOUNT}:role/dynamo-task" in allowing["Resource"]
        assert all(r.startswith("arn:") for r in allowing["Resource"])


def test_trust() -> None:
    (china,) = render_iam(widest(), "cn-north-1", ACCOUNT)["trust-ec2.json"]["Statement"]
    assert china["Principal"]["Service"] == ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"]
    (task,) = task_role_trust(Arns("cn-north-1", ACCOUNT))["Statement"]
    assert task["Condition"] == {
        "ArnLike": {"aws:SourceArn": f"arn:aws-cn:ecs:cn-north-1:{ACCOUNT}:*"},
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
    }
