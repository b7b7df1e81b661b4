"""The deployments of a service of the local ECS: completion, circuit breaker, and rollback."""

from __future__ import annotations

from typing import Any

from ecs_dynamo.local.scheduling.deployments import (
    active_deployments,
    break_circuit,
    complete_deployment,
    deploy,
    remove_ended_deployments,
    scale_out,
)
from ecs_dynamo.local.state.entities import Deployment, Service, Task, TaskDefinition
from ecs_dynamo.local.state.store import State

BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


def definition(revision: int) -> TaskDefinition:
    content: dict[str, Any] = {"containerDefinitions": []}
    return TaskDefinition(f"app:{revision}", "app", revision, content, [], 0.0)


def service_of(state: State, *, desired: int = 1, **request: Any) -> Service:
    service = Service("arn:s", "s", "main", request, desired, 0.0, [])
    state.services["main", "s"] = service
    return service


def start_task(state: State, deployment: Deployment) -> Task:
    task = Task(
        arn=f"arn:task/{state.new_id()}",
        cluster="main",
        definition=deployment.definition,
        launch_type="EC2",
        group="service:s",
        created_at=0.0,
        containers=[],
        service="s",
        deployment=deployment.id,
        last_status="RUNNING",
    )
    state.tasks[task.id] = task
    return task


def completed(state: State, service: Service, revision: int = 1) -> Deployment:
    """Deploy a revision and complete the deployment with one task."""
    deployment = deploy(state, service, definition(revision))
    start_task(state, deployment)
    complete_deployment(state, service)
    return deployment


def test_a_deployment_completes_once_the_tasks_of_others_have_stopped() -> None:
    state = State("us-east-1")
    service = service_of(state)
    first = completed(state, service)
    assert (first.rollout_state, service.steady) == ("COMPLETED", True)
    (old,) = state.tasks.values()
    second = deploy(state, service, definition(2))
    assert (second.status, first.status, first.retained) == ("PRIMARY", "ACTIVE", 1)
    complete_deployment(state, service)
    assert second.rollout_state == "IN_PROGRESS"
    old.last_status = "STOPPED"
    complete_deployment(state, service)
    assert second.rollout_state == "COMPLETED"
    assert service.deployments == [second]
    assert service.last_completed_definition is second.definition


def test_the_circuit_breaker_rolls_back_to_the_deployment_that_is_still_listed() -> None:
    state = State("us-east-1")
    service = service_of(state, deploymentConfiguration=BREAKER)
    first = completed(state, service)
    second = deploy(state, service, definition(2))
    second.failed_tasks = 2
    assert not break_circuit(state, service, second)
    second.failed_tasks = 3
    assert break_circuit(state, service, second)
    assert (second.rollout_state, second.status) == ("FAILED", "ACTIVE")
    assert service.primary is first
    assert first.rollout_state == "IN_PROGRESS"


def test_the_circuit_breaker_redeploys_a_revision_whose_deployment_is_no_longer_listed() -> None:
    state = State("us-east-1")
    service = service_of(state, deploymentConfiguration=BREAKER)
    first = completed(state, service)
    second = deploy(state, service, definition(2))
    service.deployments.remove(first)
    second.failed_tasks = 3
    assert break_circuit(state, service, second)
    assert service.primary not in (first, second)
    assert service.primary.definition is first.definition


def test_without_a_breaker_or_a_completed_deployment_nothing_is_rolled_back() -> None:
    state = State("us-east-1")
    service = service_of(state)
    deployment = deploy(state, service, definition(1))
    deployment.failed_tasks = 100
    assert not break_circuit(state, service, deployment)
    assert deployment.rollout_state == "IN_PROGRESS"
    service.request["deploymentConfiguration"] = BREAKER
    assert not break_circuit(state, service, deployment)
    assert (deployment.rollout_state, service.primary) == ("FAILED", deployment)


def test_scale_out_applies_to_the_running_version_too() -> None:
    state = State("us-east-1")
    service = service_of(state)
    first = completed(state, service)
    scale_out(service, 2)
    assert first.retained == 0
    deploy(state, service, definition(2))
    scale_out(service, 2)
    assert first.retained == 3


def test_deployments_end_with_their_tasks_and_failed_ones_remain_listed() -> None:
    state = State("us-east-1")
    service = service_of(state)
    first = completed(state, service)
    (old,) = state.tasks.values()
    second = deploy(state, service, definition(2))
    third = deploy(state, service, definition(3))
    assert active_deployments(state, service) == [third, first]
    second.rollout_state = "FAILED"
    old.last_status, first.retained = "STOPPED", 0
    remove_ended_deployments(state, service)
    assert service.deployments == [third, second]
