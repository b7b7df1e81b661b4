"""Descriptions of entities, as the API returns them."""

from __future__ import annotations

from ecs_dynamo.local.placement.resources import RemainingResources
from ecs_dynamo.local.registration import compatibilities
from ecs_dynamo.local.state.entities import (
    Cluster,
    ContainerState,
    Deployment,
    Instance,
    Service,
    Task,
    TaskDefinition,
)
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.wire.protocol import ROOT_ARN, Json

AGENT_VERSION = "1.106.2"
"""The agent version of every instance, a release of 2026."""


def cluster_description(state: State, cluster: Cluster, include: list[str]) -> Json:
    tasks = [t for t in state.tasks.values() if t.cluster == cluster.name]
    return {
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": cluster.status,
        "registeredContainerInstancesCount": sum(
            1 for i in state.instances.values() if i.cluster == cluster.name
        ),
        "runningTasksCount": sum(1 for t in tasks if t.last_status == "RUNNING"),
        "pendingTasksCount": sum(1 for t in tasks if t.last_status in ("PENDING", "PROVISIONING")),
        "activeServicesCount": sum(
            1 for s in state.services.values() if s.cluster == cluster.name and s.status == "ACTIVE"
        ),
        "statistics": [],
        "settings": cluster.settings,
        "capacityProviders": cluster.capacity_providers,
        "defaultCapacityProviderStrategy": cluster.default_strategy,
        "tags": cluster.tags if "TAGS" in include else [],
    }


def definition_description(definition: TaskDefinition) -> Json:
    content = {k: v for k, v in definition.content.items() if k != "tags"}
    shape: Json = {
        **content,
        "taskDefinitionArn": definition.arn,
        "family": definition.family,
        "revision": definition.revision,
        "status": definition.status,
        "networkMode": definition.network_mode,
        "volumes": content.get("volumes", []),
        "placementConstraints": content.get("placementConstraints", []),
        "compatibilities": compatibilities(content),
        "registeredAt": definition.registered_at,
        "registeredBy": ROOT_ARN,
    }
    if definition.deregistered_at is not None:
        shape["deregisteredAt"] = definition.deregistered_at
    return shape


def _deployment_description(state: State, service: Service, deployment: Deployment) -> Json:
    tasks = [t for t in state.service_tasks(service) if t.deployment == deployment.id]
    return {
        "id": deployment.id,
        "status": deployment.status,
        "taskDefinition": deployment.definition.arn,
        "desiredCount": deployment.desired
        if deployment.status == "PRIMARY"
        else deployment.retained,
        "runningCount": sum(1 for t in tasks if t.last_status == "RUNNING"),
        "pendingCount": sum(
            1 for t in tasks if t.alive and t.last_status in ("PROVISIONING", "PENDING")
        ),
        "failedTasks": deployment.failed_tasks,
        "createdAt": deployment.created_at,
        "updatedAt": deployment.updated_at,
        "launchType": None if deployment.strategy else service.request.get("launchType", "EC2"),
        "capacityProviderStrategy": deployment.strategy,
        "networkConfiguration": deployment.network,
        "serviceConnectConfiguration": deployment.service_connect,
        "rolloutState": deployment.rollout_state,
        "rolloutStateReason": deployment.rollout_reason,
    }


def service_description(state: State, service: Service, include: list[str]) -> Json:
    tasks = state.service_tasks(service)
    request = service.request
    active = service.status == "ACTIVE"
    fargate = request.get("launchType") == "FARGATE"
    return {
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": state.arn(f"cluster/{service.cluster}"),
        "status": service.status,
        "desiredCount": service.desired,
        "runningCount": sum(1 for t in tasks if t.last_status == "RUNNING"),
        "pendingCount": sum(
            1 for t in tasks if t.alive and t.last_status in ("PROVISIONING", "PENDING")
        ),
        "launchType": None
        if request.get("capacityProviderStrategy")
        else request.get("launchType", "EC2"),
        "platformVersion": "LATEST" if fargate else None,
        "taskDefinition": service.primary.definition.arn,
        "deploymentConfiguration": {
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
            "deploymentCircuitBreaker": {"enable": False, "rollback": False},
            **request.get("deploymentConfiguration", {}),
        },
        "deployments": [_deployment_description(state, service, d) for d in service.deployments]
        if active
        else [],
        "events": list(service.events),
        "createdAt": service.created_at,
        "createdBy": ROOT_ARN,
        "loadBalancers": request.get("loadBalancers", []),
        "serviceRegistries": request.get("serviceRegistries", []),
        "placementConstraints": request.get("placementConstraints", []),
        "placementStrategy": request.get("placementStrategy", []),
        "networkConfiguration": request.get("networkConfiguration"),
        "capacityProviderStrategy": request.get("capacityProviderStrategy", []),
        "schedulingStrategy": request.get("schedulingStrategy", "REPLICA"),
        "deploymentController": request.get("deploymentController", {"type": "ECS"}),
        "enableECSManagedTags": request.get("enableECSManagedTags", False),
        "propagateTags": request.get("propagateTags", "NONE"),
        "enableExecuteCommand": request.get("enableExecuteCommand", False),
        "healthCheckGracePeriodSeconds": request.get("healthCheckGracePeriodSeconds", 0),
        "availabilityZoneRebalancing": request.get("availabilityZoneRebalancing", "DISABLED"),
        "tags": service.tags if "TAGS" in include else [],
    }


def task_description(state: State, task: Task, include: list[str]) -> Json:
    content = task.definition.content
    attachments: list[Json] = []
    interfaces: list[Json] = []
    if task.eni is not None:
        status = "DELETED" if task.last_status == "STOPPED" else "ATTACHED"
        details = {
            "subnetId": task.subnet,
            "networkInterfaceId": task.eni,
            "macAddress": "0a:00:00:00:00:01",
            "privateIPv4Address": task.address,
        }
        attachments.append(
            {
                "id": task.id,
                "type": "ElasticNetworkInterface",
                "status": status,
                "details": [{"name": k, "value": str(v)} for k, v in details.items()],
            }
        )
        interfaces.append({"attachmentId": task.id, "privateIpv4Address": task.address})
    return {
        "taskArn": task.arn,
        "clusterArn": state.arn(f"cluster/{task.cluster}"),
        "taskDefinitionArn": task.definition.arn,
        "containerInstanceArn": task.instance.arn if task.instance else None,
        "lastStatus": task.last_status,
        "desiredStatus": task.desired_status,
        "healthStatus": task.health,
        "launchType": task.launch_type,
        "capacityProviderName": task.capacity_provider,
        "group": task.group,
        "startedBy": task.started_by,
        "enableExecuteCommand": task.execute_command,
        "cpu": str(content.get("cpu") or "0"),
        "memory": str(content.get("memory") or "0"),
        "createdAt": task.created_at,
        "startedAt": task.started_at,
        "stoppingAt": task.stopping_at,
        "stoppedAt": task.stopped_at,
        "stopCode": task.stop_code,
        "stoppedReason": task.stopped_reason,
        "connectivity": "CONNECTED",
        "availabilityZone": task.instance.zone if task.instance else f"{state.region}a",
        "version": task.version,
        "overrides": task.overrides,
        "attachments": attachments,
        "containers": [
            {
                "containerArn": c.arn,
                "taskArn": task.arn,
                "name": c.name,
                "image": c.image,
                "lastStatus": c.last_status,
                "healthStatus": c.health,
                "exitCode": c.exit_code,
                "reason": c.reason,
                "networkBindings": c.bindings,
                "networkInterfaces": interfaces,
            }
            for c in task.containers
        ],
        "tags": task.tags if "TAGS" in include else [],
    }


def task_metadata(task: Task) -> Json:
    """Return the metadata of a task, as its containers read it (developer guide, version 4)."""
    return {
        "Cluster": task.cluster,
        "TaskARN": task.arn,
        "Family": task.definition.family,
        "Revision": str(task.definition.revision),
        "DesiredStatus": task.desired_status,
        "KnownStatus": task.last_status,
        "LaunchType": task.launch_type,
        "AvailabilityZone": task.instance.zone if task.instance else None,
        "Containers": [container_metadata(container) for container in task.containers],
    }


def container_metadata(container: ContainerState) -> Json:
    """Return the metadata of a container, as the container itself reads it."""
    return {
        "Name": container.name,
        "Image": container.image,
        "ContainerARN": container.arn,
        "KnownStatus": container.last_status,
    }


def _resources(cpu: int, memory: int, ports: list[int], gpus: int) -> list[Json]:
    return [
        {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
        {"name": "MEMORY", "type": "INTEGER", "integerValue": memory},
        {"name": "PORTS", "type": "STRINGSET", "stringSetValue": [str(p) for p in ports]},
        {"name": "GPU", "type": "STRINGSET", "stringSetValue": [f"gpu-{n}" for n in range(gpus)]},
    ]


def instance_description(
    state: State, instance: Instance, remaining: RemainingResources, include: list[str]
) -> Json:
    tasks = state.tasks_on_instance(instance)
    return {
        "containerInstanceArn": instance.arn,
        "ec2InstanceId": instance.ec2_id,
        "status": instance.status,
        "agentConnected": instance.agent_connected,
        "versionInfo": {"agentVersion": AGENT_VERSION},
        "version": instance.version,
        # Only tasks with the desired status RUNNING count (API reference, ContainerInstance).
        "runningTasksCount": sum(1 for t in tasks if t.last_status == "RUNNING" and t.alive),
        "pendingTasksCount": sum(1 for t in tasks if t.last_status in ("PENDING", "PROVISIONING")),
        "registeredAt": instance.registered_at,
        "registeredResources": _resources(
            instance.cpu, instance.memory, [22, 2375, 2376, 51678, 51679], instance.gpus
        ),
        "remainingResources": _resources(
            remaining.cpu,
            remaining.memory,
            [22, 2375, 2376, 51678, 51679, *sorted(remaining.used_ports)],
            remaining.gpus,
        ),
        "attributes": [
            {"name": name, "value": value} for name, value in instance.all_attributes.items()
        ],
        "attachments": [],
        "capacityProviderName": state.provider_of(instance),
        "tags": instance.tags if "TAGS" in include else [],
    }
