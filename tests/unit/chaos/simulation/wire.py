"""Snapshot values in the shapes of AWS's answers, the inverse of `aws.observe.convert`."""

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
    """Return UTC seconds as botocore parses timestamps."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def tags(items: Mapping[str, str]) -> list[Json]:
    return [{"key": key, "value": value} for key, value in items.items()]


def _only(**members: Any) -> Json:
    """Return the members without those that are None, which AWS leaves out."""
    return {k: v for k, v in members.items() if v is not None}


def _deployment(deployment: Deployment, settings: ServiceSettings) -> Json:
    network = deployment.network if deployment.network is not None else settings.network
    parameters = update_parameters(replace(settings, network=network))
    return _only(
        id=deployment.id,
        status=deployment.status,
        taskDefinition=deployment.task_definition_arn,
        desiredCount=deployment.desired,
        runningCount=deployment.running,
        pendingCount=deployment.pending,
        failedTasks=deployment.failed,
        rolloutState=deployment.rollout_state,
        createdAt=when(deployment.created_at),
        networkConfiguration=parameters.get("networkConfiguration"),
        serviceConnectConfiguration=parameters.get("serviceConnectConfiguration"),
    )


def service(item: Service, rolled_back_at: float | None, now: float) -> Json:
    """Return an entry of DescribeServices, with its tags."""
    events = [
        {"id": str(i), "message": m, "createdAt": when(now)} for i, m in enumerate(item.events)
    ]
    if rolled_back_at is not None:
        text = f"(service {item.name}) rolling back to deployment ecs-svc/1."
        events.append({"id": "rb", "message": text, "createdAt": when(rolled_back_at)})
    settings = update_parameters(item.settings)
    for request_only in ("forceNewDeployment", "serviceConnectConfiguration"):
        settings.pop(request_only, None)
    return settings | _only(
        serviceArn=item.arn,
        serviceName=item.name,
        clusterArn=f"arn:cluster/{item.cluster}",
        status=item.status,
        desiredCount=item.desired,
        runningCount=item.running,
        pendingCount=item.pending,
        taskDefinition=item.task_definition_arn,
        deployments=[_deployment(d, item.settings) for d in item.deployments],
        tags=tags(item.tags),
        events=events,
    )


def task(observed: Task, service_name: str, *, awsvpc: bool) -> Json:
    """Return an entry of DescribeTasks."""
    attachments = []
    if awsvpc:
        details = [{"name": "privateIPv4Address", "value": observed.private_ip}]
        attachments = [{"type": "ElasticNetworkInterface", "details": details}]
    crashed = observed.stop_code == "EssentialContainerExited"
    container = _only(
        name="main",
        lastStatus=observed.last_status,
        healthStatus=observed.health,
        exitCode=1 if crashed else None,
    )
    return _only(
        taskArn=observed.arn,
        taskDefinitionArn=observed.task_definition_arn,
        lastStatus=observed.last_status,
        desiredStatus=observed.desired_status,
        healthStatus=observed.health,
        group=f"service:{service_name}",
        containerInstanceArn=observed.container_instance_arn,
        attachments=attachments,
        containers=[container],
        createdAt=when(observed.created_at),
        startedAt=when(observed.started_at),
        stoppedAt=when(observed.stopped_at),
        stopCode=observed.stop_code,
        stoppedReason=observed.stopped_reason,
        startedBy=observed.deployment,
    )


def revision(observed: Revision) -> Json:
    """Return the member ``taskDefinition`` of an answer."""
    return {
        **observed.content,
        "taskDefinitionArn": observed.arn,
        "family": observed.family,
        "revision": observed.number,
        "status": "ACTIVE" if observed.active else "INACTIVE",
        "registeredAt": when(observed.registered_at or 0.0),
        "compatibilities": ["EC2", "FARGATE"],
        "requiresAttributes": [],
    }


def container_instance(instance: ContainerInstance) -> Json:
    """Return an entry of DescribeContainerInstances."""

    def resources(gpus: int, cpu: int, memory: int) -> list[Json]:
        ids = [f"g{n}" for n in range(gpus)]
        return [
            {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": memory},
            {"name": "GPU", "type": "STRINGSET", "stringSetValue": ids},
            {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22"]},
        ]

    free = (instance.gpus_free, instance.cpu_free, instance.memory_free)
    return {
        "containerInstanceArn": instance.arn,
        "ec2InstanceId": ec2_id(instance.arn),
        "status": instance.status,
        "agentConnected": instance.agent_connected,
        "registeredResources": resources(instance.gpus, 8192, 16384),
        "remainingResources": resources(*free),
        "attributes": [{"name": "ecs.availability-zone", "value": "us-west-2a"}],
        "runningTasksCount": instance.tasks,
        "pendingTasksCount": 0,
    }


def ec2_id(arn: str) -> str:
    """Return the EC2 id of a container instance of the simulation."""
    return f"i-{int(arn.rpartition('/')[2]):017x}"
