"""Conversion of AWS's answers to the snapshot's values. Absent members get the model's default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ecs_dynamo.aws.service_settings import to_network, to_settings
from ecs_dynamo.common.botocore_data import task_definition_output_only
from ecs_dynamo.model.service import (
    Deployment,
    Service,
)
from ecs_dynamo.model.snapshot import (
    Container,
    ContainerInstance,
    Observed,
    PortBinding,
    Revision,
    Task,
    Unknown,
)

Json = Mapping[str, Any]


def epoch(value: datetime | float | None) -> float | None:
    """Return a timestamp as UTC seconds."""
    return value.timestamp() if isinstance(value, datetime) else value


def tags_of(items: Iterable[Json]) -> dict[str, str]:
    """Return ``[{key, value}]`` as a mapping."""
    return {item["key"]: item.get("value", "") for item in items}


def to_deployment(raw: Json) -> Deployment:
    """Convert one entry of a service's ``deployments``."""
    return Deployment(
        id=raw.get("id", ""),
        status=raw.get("status", ""),
        task_definition_arn=raw.get("taskDefinition", ""),
        desired=raw.get("desiredCount", 0),
        running=raw.get("runningCount", 0),
        pending=raw.get("pendingCount", 0),
        failed=raw.get("failedTasks", 0),
        rollout_state=raw.get("rolloutState", "COMPLETED"),
        rollout_reason=raw.get("rolloutStateReason", ""),
        updated_at=epoch(raw.get("updatedAt")),
        created_at=epoch(raw.get("createdAt")),
        network=to_network(raw),
    )


def to_service(raw: Json, cluster: str) -> Service:
    """Convert a DescribeServices entry (with TAGS)."""
    return Service(
        arn=raw["serviceArn"],
        name=raw["serviceName"],
        cluster=cluster,
        status=raw.get("status", "ACTIVE"),
        desired=raw.get("desiredCount", 0),
        running=raw.get("runningCount", 0),
        pending=raw.get("pendingCount", 0),
        task_definition_arn=raw.get("taskDefinition", ""),
        deployments=tuple(to_deployment(d) for d in raw.get("deployments", ())),
        tags=tags_of(raw.get("tags", ())),
        settings=to_settings(raw),
        events=tuple(e.get("message", "") for e in raw.get("events", ())[:20]),
        rolled_back_at=_rolled_back_at(raw.get("events", ())),
    )


def _rolled_back_at(events: Iterable[Json]) -> float | None:
    """Return when ECS last rolled a deployment back, in UTC seconds.

    ECS removes a failed deployment from the list once its tasks are gone, but keeps its events.
    """
    times = [
        at
        for e in events
        if "rolling back to deployment" in e.get("message", "")
        and (at := epoch(e.get("createdAt"))) is not None
    ]
    return max(times, default=None)


def eni_address(raw: Json) -> str | None:
    """Return the private IPv4 address of a task's ENI (awsvpc), once it is attached."""
    for attachment in raw.get("attachments", ()):
        if attachment.get("type") == "ElasticNetworkInterface":
            for detail in attachment.get("details", ()):
                if detail.get("name") == "privateIPv4Address":
                    return str(detail["value"])
    for container in raw.get("containers", ()):
        for interface in container.get("networkInterfaces", ()):
            if address := interface.get("privateIpv4Address"):
                return str(address)
    return None


def _has_eni(raw: Json) -> bool:
    """Whether the task has, or will have, an address of its own (awsvpc)."""
    kinds = (attachment.get("type") for attachment in raw.get("attachments", ()))
    return "ElasticNetworkInterface" in kinds


def to_task(raw: Json, hosts: Mapping[str, Observed[str | None]], protected: float | None) -> Task:
    """Convert a DescribeTasks entry.

    Without an ENI the task has the address of its container instance, taken from ``hosts``.
    """
    instance = raw.get("containerInstanceArn")
    address: Observed[str | None] = eni_address(raw)
    if address is None and instance and not _has_eni(raw):
        address = hosts.get(instance)
    return Task(
        arn=raw["taskArn"],
        task_definition_arn=raw["taskDefinitionArn"],
        last_status=raw.get("lastStatus", ""),
        desired_status=raw.get("desiredStatus", ""),
        health=raw.get("healthStatus", "UNKNOWN"),
        private_ip=None if isinstance(address, Unknown) else address,
        address_unknown=address.reason if isinstance(address, Unknown) else None,
        container_instance_arn=instance,
        containers=tuple(
            Container(
                name=c.get("name", ""),
                last_status=c.get("lastStatus", ""),
                health=c.get("healthStatus", "UNKNOWN"),
                exit_code=c.get("exitCode"),
                reason=c.get("reason"),
                bindings=tuple(
                    PortBinding(b["containerPort"], b["hostPort"])
                    for b in c.get("networkBindings", ())
                    if "containerPort" in b and "hostPort" in b
                ),
            )
            for c in raw.get("containers", ())
        ),
        created_at=epoch(raw.get("createdAt")),
        started_at=epoch(raw.get("startedAt")),
        stopped_at=epoch(raw.get("stoppedAt")),
        stop_code=raw.get("stopCode"),
        stopped_reason=raw.get("stoppedReason"),
        protected_until=protected,
        deployment=started
        if (started := raw.get("startedBy", "")).startswith("ecs-svc/")
        else None,
        capacity_provider=raw.get("capacityProviderName"),
    )


def to_revision(raw: Json, tags: Iterable[Json]) -> Revision:
    """Convert a DescribeTaskDefinition answer, without the fields that only ECS sets."""
    return Revision(
        arn=raw["taskDefinitionArn"],
        family=raw["family"],
        number=raw["revision"],
        content={k: v for k, v in raw.items() if k not in task_definition_output_only()},
        tags=tags_of(tags),
        registered_at=epoch(raw.get("registeredAt")),
        active=raw.get("status", "ACTIVE") == "ACTIVE",
    )


def _resource(resources: Iterable[Json], name: str) -> Json:
    return next((r for r in resources if r.get("name") == name), {})


def _count(resource: Json) -> int:
    if resource.get("type") == "STRINGSET":
        return len(resource.get("stringSetValue", ()))
    return int(resource.get("integerValue", 0))


def to_container_instance(raw: Json, private_ip: str | None) -> ContainerInstance:
    """Convert a DescribeContainerInstances entry.

    The resource GPU is a STRINGSET of device IDs, and PORTS one of port numbers.
    """
    registered = raw.get("registeredResources", ())
    remaining = raw.get("remainingResources", ())
    attributes = {a["name"]: a.get("value") for a in raw.get("attributes", ())}
    ports = _resource(remaining, "PORTS").get("stringSetValue", ())
    return ContainerInstance(
        arn=raw["containerInstanceArn"],
        ec2_instance_id=raw.get("ec2InstanceId", ""),
        status=raw.get("status", ""),
        agent_connected=raw.get("agentConnected", False),
        private_ip=private_ip,
        instance_type=attributes.get("ecs.instance-type"),
        availability_zone=attributes.get("ecs.availability-zone"),
        gpus=_count(_resource(registered, "GPU")),
        gpus_free=_count(_resource(remaining, "GPU")),
        cpu_free=_count(_resource(remaining, "CPU")),
        memory_free=_count(_resource(remaining, "MEMORY")),
        used_ports=frozenset(int(p) for p in ports),
        cpu=_count(_resource(registered, "CPU")),
        memory=_count(_resource(registered, "MEMORY")),
        tasks=raw.get("runningTasksCount", 0) + raw.get("pendingTasksCount", 0),
        attributes={k: v or "" for k, v in attributes.items()},
        capacity_provider=raw.get("capacityProviderName"),
        tags=tags_of(raw.get("tags", ())),
        agent_version=raw.get("versionInfo", {}).get("agentVersion", ""),
    )
