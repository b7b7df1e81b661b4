"""ECS's own events: what changed since the last look, as EventBridge tells it.

Shapes are those of the ECS developer guide, "Amazon ECS events". The versions of a task and of a
container instance grow with each event, and here alone; service events have none. No event tells of
a task's health, and a deployment's event names its cluster in the service's ARN alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ecs_dynamo.local.events.bus import EventBus, instant
from ecs_dynamo.local.placement.resources import Room
from ecs_dynamo.local.placement.selection import NO_INSTANCE
from ecs_dynamo.local.state.descriptions import instance_shape, task_shape
from ecs_dynamo.local.state.entities import Instance, Service, Task
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.wire.protocol import Json

SOURCE = "aws.ecs"
TASK = "ECS Task State Change"
INSTANCE = "ECS Container Instance State Change"
DEPLOYMENT = "ECS Deployment State Change"
ACTION = "ECS Service Action"

_TIMES = ("createdAt", "startedAt", "stoppingAt", "stoppedAt", "registeredAt")


def _told(shape: Json) -> Json:
    """A description as events have it: no empty fields, times as text, nothing of health."""
    told = {k: v for k, v in shape.items() if v is not None and k not in ("healthStatus", "tags")}
    for name in _TIMES:
        if name in told:
            told[name] = instant(told[name])
    return told


@dataclass(slots=True)
class EventSource:
    """Compares the state with what was told before. ``room`` is what an instance has left."""

    state: State
    bus: EventBus
    room: Callable[[Instance], Room]
    _tasks: dict[str, Any] = field(default_factory=dict)
    _instances: dict[str, tuple[Instance, Any]] = field(default_factory=dict)
    _deployments: dict[str, str] = field(default_factory=dict)
    _actions: set[str] = field(default_factory=set)

    def look(self) -> None:
        """Tell what has changed."""
        for task in list(self.state.tasks.values()):
            self._task(task)
        for instance in list(self.state.instances.values()):
            self._instance(instance)
        for gone in self._instances.keys() - {i.arn for i in self.state.instances.values()}:
            instance, _ = self._instances.pop(gone)
            instance.status, instance.agent_connected = "INACTIVE", False
            self._tell_instance(instance)
        for service in list(self.state.services.values()):
            self._service(service)
        self._tasks = {k: v for k, v in self._tasks.items() if k in self.state.tasks}

    def interruption(self, instance: Instance) -> None:
        """EC2's warning, two minutes before it takes a spot instance back."""
        self.bus.put(
            "aws.ec2",
            "EC2 Spot Instance Interruption Warning",
            [f"arn:aws:ec2:{instance.zone}:instance/{instance.ec2_id}"],
            {"instance-id": instance.ec2_id, "instance-action": "terminate"},
            self.state.now(),
        )

    def _put(self, kind: str, resource: str, detail: Json) -> None:
        self.bus.put(SOURCE, kind, [resource], detail, self.state.now())

    def _task(self, task: Task) -> None:
        containers = tuple((c.last_status, c.exit_code) for c in task.containers)
        key = (task.last_status, task.desired_status, task.stop_code, containers)
        if self._tasks.get(task.id) == key:
            return
        self._tasks[task.id] = key
        task.version += 1
        detail = _told(task_shape(self.state, task, []))
        detail["containers"] = [_told(c) for c in detail["containers"]]
        self._put(TASK, task.arn, detail | {"updatedAt": instant(self.state.now())})

    def _instance(self, instance: Instance) -> None:
        held = frozenset(t.id for t in self.state.tasks_on_instance(instance))
        key = (instance.status, instance.agent_connected, held)
        if self._instances.get(instance.arn) != (instance, key):
            self._instances[instance.arn] = (instance, key)
            self._tell_instance(instance)

    def _tell_instance(self, instance: Instance) -> None:
        instance.version += 1
        now = instant(self.state.now())
        detail = _told(instance_shape(self.state, instance, self.room(instance), []))
        cluster = self.state.arn(f"cluster/{instance.cluster}")
        self._put(INSTANCE, instance.arn, detail | {"clusterArn": cluster, "updatedAt": now})

    def _service(self, service: Service) -> None:
        for deployment in service.deployments:
            if self._deployments.get(deployment.id) == deployment.rollout_state:
                continue
            self._deployments[deployment.id] = deployment.rollout_state
            failed = deployment.rollout_state == "FAILED"
            detail = {
                "eventType": "ERROR" if failed else "INFO",
                "eventName": f"SERVICE_DEPLOYMENT_{deployment.rollout_state}",
                "deploymentId": deployment.id,
                "updatedAt": instant(deployment.updated_at),
                "reason": deployment.rollout_reason,
            }
            self._put(DEPLOYMENT, service.arn, detail)
        for said in reversed(service.events):
            if said["id"] in self._actions:
                continue
            self._actions.add(said["id"])
            action = _action(said["message"])
            if action is not None:
                about = {
                    "clusterArn": self.state.arn(f"cluster/{service.cluster}"),
                    "createdAt": instant(said["createdAt"]),
                }
                self._put(ACTION, service.arn, action | about)


def _action(message: str) -> Json | None:
    """The service action event of a service's message, where it has one."""
    if "has reached a steady state" in message:
        return {"eventType": "INFO", "eventName": "SERVICE_STEADY_STATE"}
    if NO_INSTANCE in message:
        reason = message.partition("Reason: ")[2].split(". ")[0]
        name = "SERVICE_TASK_PLACEMENT_FAILURE"
        return {"eventType": "ERROR", "eventName": name, "reason": reason}
    return None
