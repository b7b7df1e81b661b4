"""The snapshot's values in the shapes of AWS's responses: the inverse of `aws.convert`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ecs_dynamo.aws.execute.requests import names_request
from ecs_dynamo.model.service import (
    Deployment,
    Service,
)
from ecs_dynamo.model.service_names import ServiceNames
from ecs_dynamo.model.snapshot import (
    ContainerInstance,
    Revision,
    Task,
)

Json = dict[str, Any]


def when(seconds: float | None) -> datetime | None:
    """Convert UTC seconds to a timestamp as botocore returns it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def tags(items: Mapping[str, str]) -> list[Json]:
    return [{"key": key, "value": value} for key, value in items.items()]


def _only(**members: Any) -> Json:
    """Return the members without those that AWS omits when they are empty."""
    return {k: v for k, v in members.items() if v is not None}


def network(subnets: Iterable[str], groups: Iterable[str], *, public: bool) -> Json | None:
    if not (found := list(subnets)):
        return None
    return {
        "awsvpcConfiguration": {
            "subnets": found,
            "securityGroups": list(groups),
            "assignPublicIp": "ENABLED" if public else "DISABLED",
        }
    }


def _deployment(one: Deployment, names: ServiceNames, primary: Json | None) -> Json:
    of = one.network
    here = (
        primary
        if of is None
        else network(of.subnets, of.security_groups, public=of.assign_public_ip)
    )
    connect = names_request(names).get("serviceConnectConfiguration")
    return _only(
        id=one.id,
        status=one.status,
        taskDefinition=one.task_definition_arn,
        desiredCount=one.desired,
        runningCount=one.running,
        pendingCount=one.pending,
        failedTasks=one.failed,
        rolloutState=one.rollout_state,
        createdAt=when(one.created_at),
        networkConfiguration=here,
        serviceConnectConfiguration=connect,
    )


def service(one: Service, rolled_back_at: float | None, now: float) -> Json:
    """An entry of DescribeServices, with its tags."""
    own = network(one.subnets, one.security_groups, public=one.assign_public_ip)
    events = [
        {"id": str(i), "message": m, "createdAt": when(now)} for i, m in enumerate(one.events)
    ]
    if rolled_back_at is not None:
        text = f"(service {one.name}) rolling back to deployment ecs-svc/1."
        events.append({"id": "rb", "message": text, "createdAt": when(rolled_back_at)})
    registries = names_request(one.names).get("serviceRegistries")
    return _only(
        serviceArn=one.arn,
        serviceName=one.name,
        clusterArn=f"arn:cluster/{one.cluster}",
        status=one.status,
        desiredCount=one.desired,
        runningCount=one.running,
        pendingCount=one.pending,
        taskDefinition=one.task_definition_arn,
        launchType=one.launch_type,
        deployments=[_deployment(d, one.names, own) for d in one.deployments],
        deploymentConfiguration=_only(
            minimumHealthyPercent=one.minimum_healthy_percent,
            maximumPercent=one.maximum_percent,
            deploymentCircuitBreaker={
                "enable": one.circuit_breaker,
                "rollback": one.circuit_breaker,
            },
        ),
        networkConfiguration=own,
        tags=tags(one.tags),
        events=events,
        placementStrategy=[_only(type=t, field=f or None) for t, f in one.placement_strategy],
        placementConstraints=[
            _only(type=t, expression=e or None) for t, e in one.placement_constraints
        ],
        loadBalancers=[
            {"targetGroupArn": b.target_group_arn, "containerName": b.container}
            | {"containerPort": b.port}
            for b in one.load_balancers or ()
        ],
        serviceRegistries=registries or [],
        availabilityZoneRebalancing="ENABLED" if one.availability_zone_rebalancing else "DISABLED",
        healthCheckGracePeriodSeconds=one.health_check_grace_seconds,
        enableECSManagedTags=True,
        propagateTags="SERVICE",
    )


def task(one: Task, service_name: str, *, awsvpc: bool) -> Json:
    """An entry of DescribeTasks."""
    attachments = []
    if awsvpc:
        details = [{"name": "privateIPv4Address", "value": one.private_ip}]
        attachments = [{"type": "ElasticNetworkInterface", "details": details}]
    crashed = one.stop_code == "EssentialContainerExited"
    container = _only(
        name="main",
        lastStatus=one.last_status,
        healthStatus=one.health,
        exitCode=1 if crashed else None,
    )
    return _only(
        taskArn=one.arn,
        taskDefinitionArn=one.task_definition_arn,
        lastStatus=one.last_status,
        desiredStatus=one.desired_status,
        healthStatus=one.health,
        group=f"service:{service_name}",
        containerInstanceArn=one.container_instance_arn,
        attachments=attachments,
        containers=[container],
        createdAt=when(one.created_at),
        startedAt=when(one.started_at),
        stoppedAt=when(one.stopped_at),
        stopCode=one.stop_code,
        stoppedReason=one.stopped_reason,
        startedBy=one.deployment,
    )


def revision(one: Revision) -> Json:
    """The member ``taskDefinition`` of an answer."""
    return {
        **one.content,
        "taskDefinitionArn": one.arn,
        "family": one.family,
        "revision": one.number,
        "status": "ACTIVE" if one.active else "INACTIVE",
        "registeredAt": when(one.registered_at or 0.0),
        "compatibilities": ["EC2", "FARGATE"],
        "requiresAttributes": [],
    }


def container_instance(one: ContainerInstance) -> Json:
    """An entry of DescribeContainerInstances."""

    def resources(gpus: int, cpu: int, memory: int) -> list[Json]:
        ids = [f"g{n}" for n in range(gpus)]
        return [
            {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": memory},
            {"name": "GPU", "type": "STRINGSET", "stringSetValue": ids},
            {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22"]},
        ]

    return {
        "containerInstanceArn": one.arn,
        "ec2InstanceId": ec2_id(one.arn),
        "status": one.status,
        "agentConnected": one.agent_connected,
        "registeredResources": resources(one.gpus, 8192, 16384),
        "remainingResources": resources(one.gpus_free, one.cpu_free, one.memory_free),
        "attributes": [{"name": "ecs.availability-zone", "value": "us-west-2a"}],
        "runningTasksCount": one.tasks,
        "pendingTasksCount": 0,
    }


def ec2_id(arn: str) -> str:
    """Return the EC2 id of a container instance of the simulation."""
    return f"i-{int(arn.rpartition('/')[2]):017x}"
