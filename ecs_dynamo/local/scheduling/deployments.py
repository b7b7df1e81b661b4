"""The deployments of a service: how they begin, complete, fail, and roll back."""

from __future__ import annotations

from ecs_dynamo.local.scheduling.rolling_update import failure_threshold
from ecs_dynamo.local.state.entities import Deployment, Service, TaskDefinition
from ecs_dynamo.local.state.store import State


def deploy(state: State, service: Service, definition: TaskDefinition) -> Deployment:
    """Create a PRIMARY deployment, and return it.

    The previous one is ACTIVE until all of its tasks have stopped.
    """
    now = state.now()
    tasks = state.service_tasks(service)
    for deployment in service.deployments:
        if deployment.status == "PRIMARY":
            deployment.status = "ACTIVE"
            deployment.updated_at = now
            deployment.retained = sum(t.alive and t.deployment == deployment.id for t in tasks)
    new = Deployment(
        id=f"ecs-svc/{int(state.new_id()[:15], 16)}",
        definition=definition,
        desired=service.desired,
        created_at=now,
        updated_at=now,
        network=service.request.get("networkConfiguration"),
        strategy=service.request.get("capacityProviderStrategy") or [],
        registries=service.request.get("serviceRegistries") or [],
        service_connect=service.request.get("serviceConnectConfiguration"),
    )
    new.rollout_reason = f"ECS deployment {new.id} in progress."
    service.deployments.insert(0, new)
    service.steady = False
    return new


def complete_deployment(state: State, service: Service) -> None:
    """Complete the primary deployment, once the tasks of all others have stopped."""
    now, primary = state.now(), service.primary
    with_tasks = _deployments_with_tasks(state, service)
    service.deployments = [
        d for d in service.deployments if d.status == "PRIMARY" or d.id in with_tasks
    ]
    for deployment in service.deployments:
        if deployment.status != "PRIMARY":
            deployment.desired = 0
    if len(service.deployments) > 1:
        return
    primary.completed_once = True
    if primary.rollout_state == "IN_PROGRESS":
        primary.rollout_state = "COMPLETED"
        primary.rollout_reason = f"ECS deployment {primary.id} completed."
        primary.updated_at = now
        service.add_event(f"(deployment {primary.id}) deployment completed.", now)
    service.last_completed_definition = primary.definition
    if not service.steady:
        service.steady = True
        service.add_event("has reached a steady state.", now)


def break_circuit(state: State, service: Service, deployment: Deployment) -> bool:
    """Fail a deployment if the circuit breaker requires it; return whether it is rolled back."""
    breaker = service.request.get("deploymentConfiguration", {}).get("deploymentCircuitBreaker", {})
    if (
        not breaker.get("enable")
        or deployment.status != "PRIMARY"
        or deployment.failed_tasks < failure_threshold(service.desired)
    ):
        return False
    now = state.now()
    deployment.rollout_state = "FAILED"
    deployment.rollout_reason = "ECS deployment circuit breaker: tasks failed to start."
    deployment.updated_at = now
    service.add_event(
        f"(deployment {deployment.id}) deployment failed: tasks failed to start.", now
    )
    target = service.last_completed_definition
    if not breaker.get("rollback") or target is None or target is deployment.definition:
        return False
    rollback = _roll_back(state, service, target)
    rollback.rollout_reason = (
        f"ECS deployment circuit breaker: rolling back to deploymentId {rollback.id}."
    )
    service.add_event(f"rolling back to deployment {rollback.id}.", now)
    return True


def _roll_back(state: State, service: Service, target: TaskDefinition) -> Deployment:
    """Make the earlier deployment of ``target`` primary if it is still listed, else a new one."""
    earlier = next((d for d in service.deployments if d.definition is target), None)
    if earlier is None:
        return deploy(state, service, target)
    for deployment in service.deployments:
        deployment.status = "ACTIVE"
        deployment.retained = 0
    service.deployments.remove(earlier)
    service.deployments.insert(0, earlier)
    earlier.status, earlier.rollout_state = "PRIMARY", "IN_PROGRESS"
    earlier.desired, earlier.updated_at = service.desired, state.now()
    return earlier


def scale_out(service: Service, additional: int) -> None:
    """Apply scale-out to the running version too, if a deployment is in progress.

    "ECS applies scale-out to both service revisions" (see `rolling_update`).
    """
    running = next((d for d in service.deployments[1:] if d.completed_once and d.retained), None)
    if running is not None:
        running.retained += additional


def active_deployments(state: State, service: Service) -> list[Deployment]:
    """Return the primary deployment, and those with tasks that have not stopped."""
    with_tasks = _deployments_with_tasks(state, service)
    return [
        d for d in service.deployments if d.status == "PRIMARY" or d.id in with_tasks or d.retained
    ]


def remove_ended_deployments(state: State, service: Service) -> None:
    """Remove deployments whose tasks have all stopped.

    A failed deployment remains listed until the next one has completed, since ECS shows its reason
    for a while.
    """
    active = active_deployments(state, service)
    service.deployments = [
        d for d in service.deployments if d in active or d.rollout_state == "FAILED"
    ]


def _deployments_with_tasks(state: State, service: Service) -> set[str | None]:
    return {t.deployment for t in state.service_tasks(service) if t.holds_resources}
