"""Conversion of answers: what a field becomes, and what an absent one becomes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ecs_dynamo.aws.observe.convert import (
    eni_address,
    epoch,
    tags_of,
    to_container_instance,
    to_deployment,
    to_revision,
    to_service,
    to_task,
)
from ecs_dynamo.model.snapshot import PortBinding, Unknown

TIME = datetime(2026, 1, 1, tzinfo=UTC)
INSTANCE = "arn:aws:ecs:us-east-1:123456789012:container-instance/gpu/i"
ENI = {
    "type": "ElasticNetworkInterface",
    "details": [
        {"name": "subnetId", "value": "subnet-1"},
        {"name": "privateIPv4Address", "value": "10.0.0.7"},
    ],
}


def task(**members: Any) -> dict[str, Any]:
    return {"taskArn": "t", "taskDefinitionArn": "td:1", **members}


def test_timestamps_become_utc_seconds() -> None:
    assert epoch(TIME) == TIME.timestamp()
    assert epoch(12.5) == 12.5
    assert epoch(None) is None


def test_tags_become_a_mapping_and_may_lack_their_value() -> None:
    assert tags_of([{"key": "a", "value": "1"}, {"key": "b"}]) == {"a": "1", "b": ""}


def test_a_service_with_the_least_members() -> None:
    service = to_service({"serviceArn": "a", "serviceName": "s"}, "gpu")
    assert (service.name, service.cluster, service.status) == ("s", "gpu", "ACTIVE")
    assert (service.desired, service.running, service.pending) == (0, 0, 0)
    assert service.deployments == ()
    assert service.rolled_back_at is None


def test_the_newest_rollback_is_read_from_the_events() -> None:
    rollback = "(service s) (deployment d) rolling back to deployment e."
    raw = {
        "serviceArn": "a",
        "serviceName": "s",
        "events": [
            {"message": "(service s) has reached a steady state.", "createdAt": 900.0},
            {"message": rollback, "createdAt": 700.0},
            {"message": rollback, "createdAt": 800.0},
            {"message": rollback},
        ],
    }
    service = to_service(raw, "gpu")
    assert service.rolled_back_at == 800.0
    assert len(service.events) == 4


def test_a_deployment_has_its_own_network() -> None:
    network = {"subnets": ["b", "a"], "securityGroups": ["sg"], "assignPublicIp": "ENABLED"}
    raw = {
        "id": "ecs-svc/1",
        "status": "PRIMARY",
        "taskDefinition": "td:1",
        "failedTasks": 2,
        "createdAt": TIME,
        "networkConfiguration": {"awsvpcConfiguration": network},
    }
    deployment = to_deployment(raw)
    assert deployment.network is not None
    assert deployment.network.subnets == ("b", "a")
    assert deployment.network.assign_public_ip
    assert (deployment.failed, deployment.created_at) == (2, TIME.timestamp())
    assert deployment.rollout_state == "COMPLETED"
    assert to_deployment({}).network is None


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ({"attachments": [ENI]}, "10.0.0.7"),
        ({"attachments": [{"type": "Service Connect"}, ENI]}, "10.0.0.7"),
        ({"attachments": [{**ENI, "details": []}]}, None),
        ({"containers": [{"networkInterfaces": [{"privateIpv4Address": "10.0.0.8"}]}]}, "10.0.0.8"),
        ({}, None),
    ],
)
def test_the_address_of_a_network_interface(raw: dict[str, Any], address: str | None) -> None:
    assert eni_address(raw) == address


def test_a_task_without_an_interface_has_the_address_of_its_instance() -> None:
    on_instance = task(containerInstanceArn=INSTANCE)
    assert to_task(on_instance, {INSTANCE: "10.0.0.1"}, None).private_ip == "10.0.0.1"
    assert to_task(on_instance, {}, None).private_ip is None
    unknown = to_task(on_instance, {INSTANCE: Unknown("throttled")}, None)
    assert (unknown.private_ip, unknown.address_unknown) == (None, "throttled")
    # An interface that is still being attached will have an address of its own.
    attaching = task(containerInstanceArn=INSTANCE, attachments=[{**ENI, "details": []}])
    assert to_task(attaching, {INSTANCE: "10.0.0.1"}, None).private_ip is None


def test_a_task_has_its_containers_bindings_and_deployment() -> None:
    bindings = [{"containerPort": 9090, "hostPort": 32768}, {"containerPortRange": "1-2"}]
    raw = task(
        startedBy="ecs-svc/1",
        lastStatus="RUNNING",
        startedAt=TIME,
        containers=[{"name": "main", "exitCode": 1, "networkBindings": bindings}],
    )
    converted = to_task(raw, {}, 5.0)
    (container,) = converted.containers
    assert container.bindings == (PortBinding(9090, 32768),)
    assert (container.exit_code, container.health) == (1, "UNKNOWN")
    assert (converted.deployment, converted.protected_until) == ("ecs-svc/1", 5.0)
    assert converted.started_at == TIME.timestamp()
    assert to_task(task(startedBy="someone"), {}, None).deployment is None


def test_a_revision_is_without_the_fields_that_ecs_sets() -> None:
    raw = {
        "taskDefinitionArn": "arn:f:3",
        "family": "f",
        "revision": 3,
        "status": "INACTIVE",
        "registeredAt": TIME,
        "registeredBy": "someone",
        "containerDefinitions": [{"name": "main"}],
    }
    revision = to_revision(raw, [{"key": "a", "value": "1"}])
    assert revision.content == {"family": "f", "containerDefinitions": [{"name": "main"}]}
    assert (revision.number, revision.active, revision.tags) == (3, False, {"a": "1"})
    assert revision.registered_at == TIME.timestamp()


def test_an_instance_has_free_and_registered_resources() -> None:
    def resources(gpus: list[str], cpu: int) -> list[dict[str, Any]]:
        return [
            {"name": "GPU", "type": "STRINGSET", "stringSetValue": gpus},
            {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": 1000},
            {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "2376"]},
        ]

    raw = {
        "containerInstanceArn": INSTANCE,
        "ec2InstanceId": "i-1",
        "status": "ACTIVE",
        "registeredResources": resources(["a", "b"], 4096),
        "remainingResources": resources(["b"], 1024),
        "runningTasksCount": 2,
        "pendingTasksCount": 1,
        "attributes": [
            {"name": "ecs.instance-type", "value": "g5.xlarge"},
            {"name": "ecs.capability.x"},
        ],
    }
    instance = to_container_instance(raw, "10.0.0.1")
    assert (instance.gpus, instance.gpus_free) == (2, 1)
    assert (instance.cpu, instance.cpu_free) == (4096, 1024)
    assert instance.used_ports == {22, 2376}
    assert instance.tasks == 3
    assert (instance.instance_type, instance.availability_zone) == ("g5.xlarge", None)
    assert instance.attributes["ecs.capability.x"] == ""
    # An external instance may report neither resources nor attributes.
    bare = to_container_instance({"containerInstanceArn": INSTANCE}, None)
    assert (bare.gpus, bare.cpu_free, bare.used_ports, bare.tasks) == (0, 0, frozenset(), 0)
