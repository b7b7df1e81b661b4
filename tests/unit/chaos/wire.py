"""The snapshot's values in the shapes of AWS's responses: the inverse of `aws.convert`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ecs_dynamo.aws.service_settings import update_parameters
from ecs_dynamo.model.service import (
    Deployment,
    Service,
)
from ecs_dynamo.model.service_settings import ServiceSettings
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


def _deployment(one: Deployment, settings: ServiceSettings) -> Json:
    network = one.network if one.network is not None else settings.network
    parameters = update_parameters(replace(settings, network=network))
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
        networkConfiguration=parameters.get("networkConfiguration"),
        serviceConnectConfiguration=parameters.get("serviceConnectConfiguration"),
    )


def service(one: Service, rolled_back_at: float | None, now: float) -> Json:
    """An entry of DescribeServices, with its tags."""
    events = [
        {"id": str(i), "message": m, "createdAt": when(now)} for i, m in enumerate(one.events)
    ]
    if rolled_back_at is not None:
        text = f"(service {one.name}) rolling back to deployment ecs-svc/1."
        events.append({"id": "rb", "message": text, "createdAt": when(rolled_back_at)})
    settings = update_parameters(one.settings)
    for request_only in ("forceNewDeployment", "serviceConnectConfiguration"):
        settings.pop(request_only, None)
    return settings | _only(
        serviceArn=one.arn,
        serviceName=one.name,
        clusterArn=f"arn:cluster/{one.cluster}",
        status=one.status,
        desiredCount=one.desired,
        runningCount=one.running,
        pendingCount=one.pending,
        taskDefinition=one.task_definition_arn,
        deployments=[_deployment(d, one.settings) for d in one.deployments],
        tags=tags(one.tags),
        events=events,
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
