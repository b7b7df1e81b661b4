"""The rights of one graph: exact, scoped, and the shipped documents are what is rendered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecs_dynamo.config import load_graph
from ecs_dynamo.model.capacity_spec import (
    AutoScalingGroupSpec,
    CapacityProviderItem,
    CapacitySpec,
)
from ecs_dynamo.planning.iam import render_iam
from tests.unit.config.test_load import ENVIRON, ROOT

EXAMPLE = ROOT / "examples" / "qwen-disagg" / "ecs-dynamo.yaml"
ACCOUNT = "123456789012"


def documents(lock_table: str | None = "ecs-dynamo") -> dict[str, Any]:
    graph = load_graph(EXAMPLE, ENVIRON).graph
    return dict(render_iam(graph, "us-east-1", ACCOUNT, lock_table, "ecs-dynamo"))


def statements(name: str, **more: Any) -> dict[str, Any]:
    return {s["Sid"]: s for s in documents(**more)[name]["Statement"]}


def test_the_shipped_documents_are_those_of_the_example() -> None:
    """`ecs-dynamo iam render -f examples/qwen-disagg/ecs-dynamo.yaml -o iam` with both options."""
    for name, document in documents().items():
        assert json.loads((ROOT / "iam" / name).read_text()) == document, name


def test_writes_are_bound_to_the_graph() -> None:
    found = statements("daemon-task-role.json")
    tag = {"aws:ResourceTag/ecs-dynamo:graph": "qwen"}
    assert found["ChangeOwnServices"]["Condition"] == {"StringEquals": tag}
    assert (
        f"arn:aws:ecs:us-east-1:{ACCOUNT}:service/dynamo-GPU/qwen-frontend"
        in (found["ChangeOwnServices"]["Resource"])
    )
    passed = found["PassRolesToTasks"]
    assert passed["Condition"]["StringEquals"]["iam:PassedToService"] == "ecs-tasks.amazonaws.com"
    assert passed["Resource"] == [
        f"arn:aws:iam::{ACCOUNT}:role/dynamo-task",
        f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole",
    ]
    for statement in found.values():
        writes = [
            a
            for a in statement["Action"]
            if not a.split(":")[1].startswith(("Describe", "List", "Get"))
            # IAM knows neither resource nor tag for this one (Service Authorization Reference).
            and a != "ecs:DeregisterTaskDefinition"
        ]
        assert not writes or statement["Resource"] != ["*"], statement
    assert "Lease" not in statements("daemon-task-role.json", lock_table=None)


def test_secrets_are_named_one_by_one(tmp_path: Path) -> None:
    found = statements("execution-role.json")
    secret = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:ngc_nvcr_access*"
    assert found["ReadSecrets"]["Resource"] == [secret]
    assert "ReadParameters" not in found
    assert "logs:PutLogEvents" in found["WriteLogs"]["Action"]


def test_capacity_has_rights_only_where_the_graph_declares_it() -> None:
    base = load_graph(EXAMPLE, ENVIRON).graph
    plain = json.dumps(render_iam(base, "us-east-1", ACCOUNT)["daemon-task-role.json"])
    assert "autoscaling:" not in plain
    assert "CapacityProvider" not in plain
    groups = (AutoScalingGroupSpec(name="gpu", cluster="dynamo-GPU", max=3),)
    prefill = replace(
        base.component("prefill"), capacity_providers=(CapacityProviderItem(name="spot"),)
    )
    others = tuple(c for c in base.components if c.name != "prefill")
    sized = replace(
        base, components=(*others, prefill), capacity=CapacitySpec(auto_scaling_groups=groups)
    )
    policy = render_iam(sized, "us-east-1", ACCOUNT)["daemon-task-role.json"]
    found = {s["Sid"]: s for s in policy["Statement"]}
    assert found["SizeAutoScalingGroups"]["Resource"] == [
        f"arn:aws:autoscaling:us-east-1:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/gpu"
    ]
    assert found["ReadCapacityProviders"]["Resource"] == [
        f"arn:aws:ecs:us-east-1:{ACCOUNT}:capacity-provider/spot"
    ]
    assert found["DrainEmptyInstances"]["Resource"] == [
        f"arn:aws:ecs:us-east-1:{ACCOUNT}:container-instance/dynamo-GPU/*"
    ]
    assert found["TagDrainedInstances"]["Condition"] == {
        "StringEquals": {"aws:RequestTag/ecs-dynamo:graph": base.name}
    }
