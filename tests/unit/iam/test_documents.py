"""The rights of one graph: exact, scoped, and the shipped documents are what is rendered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecs_dynamo.config import load_graph
from ecs_dynamo.iam.render import render_iam
from ecs_dynamo.model.service_settings import ServiceConnect
from ecs_dynamo.model.spec.capacity import (
    AutoScalingGroupSpec,
    CapacityProviderItem,
    CapacitySpec,
)
from tests.helpers.graph_files import ROOT
from tests.helpers.graphs import redeclared
from tests.rights.widest import ACCOUNT, ENVIRON, EXAMPLE, REGISTRY, widest
from tests.unit.rights.test_requests import arn_patterns, is_known


def documents(lease_table: str | None = "ecs-dynamo") -> dict[str, Any]:
    graph = load_graph(EXAMPLE, ENVIRON).graph
    return dict(render_iam(graph, "us-east-1", ACCOUNT, lease_table, "ecs-dynamo"))


def statements(name: str, **more: Any) -> dict[str, Any]:
    return {s["Sid"]: s for s in documents(**more)[name]["Statement"]}


def test_the_shipped_documents_are_those_of_the_example() -> None:
    """`ecs-dynamo iam render -f examples/qwen-disagg/ecs-dynamo.yaml -o iam` with both options."""
    for name, document in documents().items():
        assert json.loads((ROOT / "iam" / name).read_text()) == document, name


def test_writes_are_bound_to_the_graph() -> None:
    by_sid = statements("daemon-task-role.json")
    tag = {"aws:ResourceTag/ecs-dynamo:graph": "qwen"}
    assert by_sid["ChangeOwnServices"]["Condition"] == {"StringEquals": tag}
    # Services and families are named {graph}-{component}.
    services = [
        f"arn:aws:ecs:us-east-1:{ACCOUNT}:service/{cluster}/qwen-*"
        for cluster in ("dynamo-GPU", "dynamo-fargate")
    ]
    assert by_sid["ChangeOwnServices"]["Resource"] == services
    assert by_sid["RegisterRevisions"]["Resource"] == [
        f"arn:aws:ecs:us-east-1:{ACCOUNT}:task-definition/qwen-*:*"
    ]
    passed = by_sid["PassRolesToTasks"]
    assert passed["Condition"]["StringEquals"]["iam:PassedToService"] == "ecs-tasks.amazonaws.com"
    assert passed["Resource"] == [
        f"arn:aws:iam::{ACCOUNT}:role/dynamo-task",
        f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole",
    ]
    for statement in by_sid.values():
        writes = [
            a
            for a in statement["Action"]
            if not a.split(":")[1].startswith(("Describe", "List", "Get"))
            # IAM knows neither resource nor tag for this one (Service Authorization Reference).
            and a != "ecs:DeregisterTaskDefinition"
        ]
        assert not writes or statement["Resource"] != ["*"], statement
    assert "Lease" not in statements("daemon-task-role.json", lease_table=None)


def test_secrets_are_named_one_by_one(tmp_path: Path) -> None:
    by_sid = statements("execution-role.json")
    secret = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:ngc_nvcr_access-??????"
    assert by_sid["ReadSecrets"]["Resource"] == [secret]
    assert "ReadParameters" not in by_sid
    assert "logs:PutLogEvents" in by_sid["WriteLogs"]["Action"]


def test_capacity_has_rights_only_where_the_graph_declares_it() -> None:
    base = load_graph(EXAMPLE, ENVIRON).graph
    plain = json.dumps(render_iam(base, "us-east-1", ACCOUNT)["daemon-task-role.json"])
    assert "autoscaling:" not in plain
    assert "CapacityProvider" not in plain
    groups = (AutoScalingGroupSpec(name="gpu", cluster="dynamo-GPU", max=3),)
    prefill = redeclared(
        base.component("prefill"), capacity_providers=(CapacityProviderItem(name="spot"),)
    )
    others = tuple(c for c in base.components if c.name != "prefill")
    sized = replace(
        base, components=(*others, prefill), capacity=CapacitySpec(auto_scaling_groups=groups)
    )
    policy = render_iam(sized, "us-east-1", ACCOUNT)["daemon-task-role.json"]
    by_sid = {s["Sid"]: s for s in policy["Statement"]}
    assert by_sid["SizeAutoScalingGroups"]["Resource"] == [
        f"arn:aws:autoscaling:us-east-1:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName/gpu"
    ]
    # One that no component names may size the group too: which there are, the cluster tells.
    provider = f"arn:aws:ecs:us-east-1:{ACCOUNT}:capacity-provider"
    assert by_sid["ReadCapacityProviders"]["Resource"] == [f"{provider}/*"]
    assert by_sid["DrainEmptyInstances"]["Resource"] == [
        f"arn:aws:ecs:us-east-1:{ACCOUNT}:container-instance/dynamo-GPU/*"
    ]
    assert by_sid["TagDrainedInstances"]["Condition"] == {
        "StringEquals": {"aws:RequestTag/ecs-dynamo:graph": base.name}
    }
    unsized = replace(sized, capacity=CapacitySpec())
    policy = render_iam(unsized, "us-east-1", ACCOUNT)["daemon-task-role.json"]
    by_sid = {s["Sid"]: s for s in policy["Statement"]}
    assert by_sid["ReadCapacityProviders"]["Resource"] == [f"{provider}/spot"]


def all_statements() -> list[tuple[str, Any]]:
    rendered = render_iam(widest(), "us-east-1", ACCOUNT, "leases", "events")
    return [
        (name, statement)
        for name, document in rendered.items()
        if name.endswith((*ROLE_DOCUMENTS,))
        for statement in document["Statement"]
    ]


ROLE_DOCUMENTS = ("role.json", "doctor.json")
WHOLE_BY_CHOICE = {
    # Bound by ecs:cluster instead; a resource only where a container instance is asked for.
    "ecs:ListTasks",
    # Only its datasets are resources; the metrics that are read are none.
    "cloudwatch:GetMetricData",
}


def test_aws_knows_every_action_resource_and_key_of_every_document() -> None:
    """A condition key or a resource that an action does not know makes the right worthless."""
    actions = set()
    for name, statement in all_statements():
        for action in statement["Action"]:
            actions.add(action)
            where = f"{name} {statement['Sid']} {action}"
            patterns = arn_patterns(action)
            if not patterns or action in WHOLE_BY_CHOICE:
                assert statement["Resource"] == ["*"], where
            else:
                assert "*" not in statement["Resource"], where
                # Possible names of the action's resource types; wildcards match too.
                fits = [r for r in statement["Resource"] if any(p.fullmatch(r) for p in patterns)]
                assert fits, where
            for keys in statement.get("Condition", {}).values():
                for key in keys:
                    assert is_known(key, action), f"{where} {key}"
    assert {"ecr:BatchGetImage", "s3:GetObject", "cloudwatch:GetMetricData"} <= actions


def test_images_files_and_parameters_are_named_one_by_one() -> None:
    document = render_iam(widest(), "us-east-1", ACCOUNT)["execution-role.json"]
    by_sid = {s["Sid"]: s for s in document["Statement"]}
    assert by_sid["PullImages"]["Resource"] == [
        "arn:aws:ecr:eu-west-1:111122223333:repository/team/dynamo"
    ]
    assert by_sid["ReadEnvironmentFiles"]["Resource"] == ["arn:aws:s3:::bucket/a/b.env"]
    assert by_sid["FindBuckets"]["Resource"] == ["arn:aws:s3:::bucket"]
    assert by_sid["ReadParameters"]["Resource"] == [
        f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/{name}"
        for name in ("etcd/password", "etcd/user", "plain")
    ]


def test_several_execution_roles_have_a_document_each() -> None:
    base = load_graph(EXAMPLE, ENVIRON).graph
    first, *rest = base.components
    role = f"arn:aws:iam::{ACCOUNT}:role/infra-execution"
    changed = replace(first, template={**first.template, "executionRoleArn": role})
    documents = render_iam(replace(base, components=(changed, *rest)), "us-east-1", ACCOUNT)
    assert "execution-role.json" not in documents
    infra = json.dumps(documents["execution-role-infra-execution.json"])
    assert "/ecs/dynamo/etcd-nats" in infra
    assert "/ecs/dynamo/prefill" not in infra
    assert "/ecs/dynamo/etcd-nats" not in json.dumps(
        documents["execution-role-ecsTaskExecutionRole.json"]
    )


def test_instances_pull_and_log_for_tasks_without_an_execution_role() -> None:
    base = widest()
    plain = {
        s["Sid"] for s in render_iam(base, "us-east-1", ACCOUNT)["instance-role.json"]["Statement"]
    }
    assert plain == {"Register", "FindEndpoint", "Report"}
    bare = tuple(
        replace(c, template={k: v for k, v in c.template.items() if k != "executionRoleArn"})
        for c in base.components
    )
    document = render_iam(replace(base, components=bare), "us-east-1", ACCOUNT)
    sids = {s["Sid"] for s in document["instance-role.json"]["Statement"]}
    assert {"PullImages", "WriteLogs"} <= sids
    # The infrastructure is on Fargate: no instance logs for it.
    assert "/ecs/dynamo/etcd-nats" not in json.dumps(document["instance-role.json"])


def test_a_volume_with_iam_has_a_task_role() -> None:
    graph = load_graph(EXAMPLE, ENVIRON).graph
    efs = {
        "fileSystemId": "fs-1",
        "authorizationConfig": {"iam": "ENABLED", "accessPointId": "fsap-1"},
    }
    first, *rest = graph.components
    template = {**first.template, "volumes": [{"name": "v", "efsVolumeConfiguration": efs}]}
    graph = replace(graph, components=(replace(first, template=template), *rest))
    policy = render_iam(graph, "us-east-1", ACCOUNT)["infrastructure-task-role.json"]
    (statement,) = policy["Statement"]
    assert statement["Resource"] == [
        f"arn:aws:elasticfilesystem:us-east-1:{ACCOUNT}:file-system/fs-1"
    ]
    assert statement["Condition"]["StringEquals"] == {
        "elasticfilesystem:AccessPointArn": (
            f"arn:aws:elasticfilesystem:us-east-1:{ACCOUNT}:access-point/fsap-1"
        )
    }


def test_names_have_rights_only_where_they_are_read() -> None:
    documents = render_iam(widest(), "us-east-1", ACCOUNT)
    assert "servicediscovery" not in json.dumps(documents["daemon-task-role.json"])
    by_sid = {s["Sid"]: s["Resource"] for s in documents["doctor.json"]["Statement"]}
    space = f"arn:aws:servicediscovery:us-east-1:{ACCOUNT}:namespace/"
    assert by_sid["ReadCloudMapServices"] == [REGISTRY]
    assert by_sid["ReadNamespaces"] == [f"{space}*"]
    assert by_sid["FindNamespaces"] == ["*"]
    base = load_graph(EXAMPLE, ENVIRON).graph
    assert "servicediscovery" not in json.dumps(render_iam(base, "us-east-1", ACCOUNT))

    client = ServiceConnect(f"{space}ns-1")
    components = tuple(redeclared(c, service_connect=client) for c in base.components)
    documents = render_iam(replace(base, components=components), "us-east-1", ACCOUNT)
    by_sid = {s["Sid"]: s["Resource"] for s in documents["doctor.json"]["Statement"]}
    assert by_sid["ReadNamespaces"] == [f"{space}ns-1"]
    assert "FindNamespaces" not in by_sid
    polled = {s["Sid"]: s["Resource"] for s in documents["instance-role.json"]["Statement"]}[
        "Report"
    ]
    assert f"arn:aws:ecs:us-east-1:{ACCOUNT}:task-set/dynamo-GPU/*" in polled


def test_a_daemon_that_replaces_no_lost_replica_has_no_right_to_stop_tasks() -> None:
    graph = load_graph(EXAMPLE, ENVIRON).graph
    off = replace(graph, runtime=graph.runtime.model_copy(update={"replace_lost_replicas": False}))
    for graphs, allowed in (([graph], True), ([off], False), ([off, graph], True)):
        text = json.dumps(render_iam(graphs, "us-east-1", ACCOUNT))
        assert ("ecs:StopTask" in text) == allowed
