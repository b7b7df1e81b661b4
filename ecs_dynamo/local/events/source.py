"""ECS's events on EventBridge, found by comparing the state with what was published before.

The shapes are from the ECS developer guide, "Amazon ECS events". Only events increment the version
of a task or a container instance; events of services have no version. No event reports the health
of a task. The event of a deployment names its cluster only in the service's ARN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ecs_dynamo.local.events.bus import EventBus, timestamp
from ecs_dynamo.local.placement.resources import RemainingResources
from ecs_dynamo.local.placement.selection import NO_INSTANCE
from ecs_dynamo.local.state.descriptions import instance_description, task_description
from ecs_dynamo.local.state.entities import Instance, Service, Task
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.wire.protocol import Json

SOURCE = "aws.ecs"
TASK_CHANGE = "ECS Task State Change"
INSTANCE_CHANGE = "ECS Container Instance State Change"
DEPLOYMENT_CHANGE = "ECS Deployment State Change"
SERVICE_ACTION = "ECS Service Action"

_TIMES = ("createdAt", "startedAt", "stoppingAt", "stoppedAt", "registeredAt")


def _event_detail(description: Json) -> Json:
    """Return a description as events contain it.

    Empty members, health, and tags are omitted, and times are text.
    """
    detail = {
        k: v for k, v in description.items() if v is not None and k not in ("healthStatus", "tags")
    }
    for name in _TIMES:
        if name in detail:
            detail[name] = timestamp(detail[name])
    return detail


@dataclass(slots=True)
class EventSource:
    """Publishes the changes of the state. ``remaining`` returns what an instance has left."""

    state: State
    bus: EventBus
    remaining: Callable[[Instance], RemainingResources]
    _published_tasks: dict[str, Any] = field(default_factory=dict)
    _published_instances: dict[str, tuple[Instance, Any]] = field(default_factory=dict)
    _published_deployments: dict[str, str] = field(default_factory=dict)
    _published_actions: set[str] = field(default_factory=set)

    def publish_changes(self) -> None:
        """Publish an event for each change since the last call."""
        for task in list(self.state.tasks.values()):
            self._publish_task(task)
        for instance in list(self.state.instances.values()):
            self._publish_instance(instance)
        for arn in self._published_instances.keys() - {
            i.arn for i in self.state.instances.values()
        }:
            instance, _ = self._published_instances.pop(arn)
            instance.status, instance.agent_connected = "INACTIVE", False
            self._put_instance(instance)
        for service in list(self.state.services.values()):
            self._publish_service(service)
        self._published_tasks = {
            k: v for k, v in self._published_tasks.items() if k in self.state.tasks
        }

    def publish_interruption_warning(self, instance: Instance) -> None:
        """Publish EC2's warning, two minutes before it interrupts a Spot Instance."""
        self.bus.put(
            "aws.ec2",
            "EC2 Spot Instance Interruption Warning",
            [f"arn:aws:ec2:{instance.zone}:instance/{instance.ec2_id}"],
            {"instance-id": instance.ec2_id, "instance-action": "terminate"},
            self.state.now(),
        )

    def _put(self, detail_type: str, resource: str, detail: Json) -> None:
        self.bus.put(SOURCE, detail_type, [resource], detail, self.state.now())

    def _publish_task(self, task: Task) -> None:
        containers = tuple((c.last_status, c.exit_code) for c in task.containers)
        state = (task.last_status, task.desired_status, task.stop_code, containers)
        if self._published_tasks.get(task.id) == state:
            return
        self._published_tasks[task.id] = state
        task.version += 1
        detail = _event_detail(task_description(self.state, task, []))
        detail["containers"] = [_event_detail(c) for c in detail["containers"]]
        self._put(TASK_CHANGE, task.arn, detail | {"updatedAt": timestamp(self.state.now())})

    def _publish_instance(self, instance: Instance) -> None:
        tasks = frozenset(t.id for t in self.state.tasks_on_instance(instance))
        state = (instance.status, instance.agent_connected, tasks)
        if self._published_instances.get(instance.arn) != (instance, state):
            self._published_instances[instance.arn] = (instance, state)
            self._put_instance(instance)

    def _put_instance(self, instance: Instance) -> None:
        instance.version += 1
        now = timestamp(self.state.now())
        detail = _event_detail(
            instance_description(self.state, instance, self.remaining(instance), [])
        )
        cluster = self.state.arn(f"cluster/{instance.cluster}")
        self._put(INSTANCE_CHANGE, instance.arn, detail | {"clusterArn": cluster, "updatedAt": now})

    def _publish_service(self, service: Service) -> None:
        for deployment in service.deployments:
            if self._published_deployments.get(deployment.id) == deployment.rollout_state:
                continue
            self._published_deployments[deployment.id] = deployment.rollout_state
            failed = deployment.rollout_state == "FAILED"
            detail = {
                "eventType": "ERROR" if failed else "INFO",
                "eventName": f"SERVICE_DEPLOYMENT_{deployment.rollout_state}",
                "deploymentId": deployment.id,
                "updatedAt": timestamp(deployment.updated_at),
                "reason": deployment.rollout_reason,
            }
            self._put(DEPLOYMENT_CHANGE, service.arn, detail)
        for event in reversed(service.events):
            if event["id"] in self._published_actions:
                continue
            self._published_actions.add(event["id"])
            action = _service_action(event["message"])
            if action is not None:
                context = {
                    "clusterArn": self.state.arn(f"cluster/{service.cluster}"),
                    "createdAt": timestamp(event["createdAt"]),
                }
                self._put(SERVICE_ACTION, service.arn, action | context)


def _service_action(message: str) -> Json | None:
    """Return the service action event for the message of a service event, if there is one."""
    if "has reached a steady state" in message:
        return {"eventType": "INFO", "eventName": "SERVICE_STEADY_STATE"}
    if NO_INSTANCE in message:
        reason = message.partition("Reason: ")[2].split(". ")[0]
        name = "SERVICE_TASK_PLACEMENT_FAILURE"
        return {"eventType": "ERROR", "eventName": name, "reason": reason}
    return None
