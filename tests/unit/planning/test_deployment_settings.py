"""Availability Zone rebalancing, health check grace, and another network as a rollout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.aws.observe.convert import to_service
from ecs_dynamo.aws.service_settings import creation_parameters, update_parameters
from ecs_dynamo.model.conditions import ConditionReason, ConditionType
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import CreateService, Memory, Plan, UpdateService
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.spec.rollout import RolloutSpec
from ecs_dynamo.model.spec.service import NetworkSpec
from ecs_dynamo.planning import plan
from ecs_dynamo.planning.conditions import placement_shortage
from ecs_dynamo.planning.observed.failure_reasons import lacks_capacity
from tests.helpers.convergence import (
    converge,
    run_pass,
)
from tests.helpers.facts import state_of, with_snapshot
from tests.helpers.graphs import (
    graph,
    redeclared,
    with_image,
)
from tests.helpers.simulated_ecs import SimulatedEcs

OTHER = NetworkSpec(subnets=("subnet-2",), security_groups=("sg-1",))
WORDS = (
    "(service g-decode) is unable to place a task in us-west-2a because no container instance met "
    "all of its requirements."
)


def changed(base: Graph, *names: str, **changes: Any) -> Graph:
    """``base`` with other settings of some components; all where none is named."""
    return replace(
        base,
        components=tuple(
            redeclared(c, **changes) if c.name in names or not names else c for c in base.components
        ),
    )


def settled(declared_graph: Graph, gpus: int = 8) -> tuple[SimulatedEcs, Memory]:
    ecs = SimulatedEcs(declared_graph, gpu_instances=gpus)
    return ecs, converge(ecs, declared_graph, Memory(started_at=ecs.now)).memory


def updates(result: Plan) -> list[UpdateService]:
    return [a for a in result.actions if isinstance(a, UpdateService)]


# Availability Zone rebalancing -----------------------------------------------------------------


def test_rebalancing_is_sent_as_disabled_with_every_new_service() -> None:
    declared_graph, memory = graph(), Memory(started_at=1000.0)
    ecs, created = SimulatedEcs(declared_graph), []
    for _ in range(12):
        result = run_pass(ecs, declared_graph, memory)
        memory = result.memory
        created += [a for a in result.actions if isinstance(a, CreateService)]
    assert len(created) == 4
    sent = [creation_parameters(a.settings) for a in created]
    assert {parameters["availabilityZoneRebalancing"] for parameters in sent} == {"DISABLED"}


def test_rebalancing_that_is_on_goes_off_together_with_limits_that_ecs_refuses_with_it() -> None:
    """A service of ECS's default on a full cluster: both must be in one call."""
    declared_graph = graph(decode=2)
    ecs, memory = settled(declared_graph, gpus=3)
    ecs.services["g-decode"].change(availability_zone_rebalancing=True)
    ecs.graph = edited = with_image(declared_graph, "decode", "dynamo:2")
    result = plan(edited, ecs.snapshot(), memory, ecs.clock)
    (update,) = updates(result)
    assert update.settings.limits is not None
    assert update.settings.limits.maximum_percent == 100
    assert update.settings.availability_zone_rebalancing is False
    assert update_parameters(update.settings)["availabilityZoneRebalancing"] == "DISABLED"
    converge(ecs, edited, memory)
    assert not ecs.services["g-decode"].rebalancing


def test_declared_rebalancing_is_off_while_replicas_are_replaced_one_at_a_time() -> None:
    declared_graph = changed(graph(decode=2), "decode", availability_zone_rebalancing=True)
    ecs, memory = settled(declared_graph, gpus=3)
    service = ecs.services["g-decode"]
    assert service.rebalancing
    ecs.graph = edited = with_image(declared_graph, "decode", "dynamo:2")
    reported: list[str] = []
    observation = set()
    for _ in range(40):
        result = run_pass(ecs, edited, memory)  # The simulator refuses what ECS refuses.
        memory = result.memory
        reported += result.notes
        observation.add((service.maximum, service.rebalancing))
        if result.converged:
            break
    assert result.converged
    assert observation == {(100, False), (200, True)}
    assert any("Availability Zone rebalancing is off while" in note for note in reported)


def test_rebalancing_set_by_hand_is_reverted_during_a_rollout_too() -> None:
    declared_graph = graph(decode=2)
    ecs, memory = settled(declared_graph)
    ecs.graph = edited = with_image(declared_graph, "decode", "dynamo:2")
    memory = run_pass(ecs, edited, memory).memory
    ecs.services["g-decode"].change(availability_zone_rebalancing=True)
    (update,) = updates(plan(edited, ecs.snapshot(), memory, ecs.clock))
    assert (update.settings.availability_zone_rebalancing, update.revision) == (False, None)


def test_words_of_rebalancing_are_no_lack_of_places() -> None:
    started = "(service g-decode) has started 1 tasks: (task 1)."
    lacking = "(service g-decode) was unable to place a task because no container instance met all"
    rebalanced = "g-decode has started 1 tasks in us-west-2a to AZ Rebalance: (task 2)."

    def service(*events: str) -> Service:
        raw = {"serviceArn": "a", "serviceName": "g-decode", "desiredCount": 2, "runningCount": 1}
        return to_service({**raw, "events": [{"message": e} for e in events]}, "gpu")

    assert not lacks_capacity(service(WORDS))
    assert not lacks_capacity(service(WORDS, started))
    assert lacks_capacity(service(WORDS, lacking))
    assert lacks_capacity(service(rebalanced, lacking))
    declared_graph = graph()
    ecs, _ = settled(declared_graph)
    observation = ecs.snapshot().components["decode"]
    component = state_of(declared_graph.component("decode"), observation, desired=2)
    matches = with_snapshot(component, service=service(WORDS, lacking))
    assert placement_shortage(matches) == lacking


# Health check grace ----------------------------------------------------------------------------


def test_the_grace_is_the_progress_deadline_unless_it_is_declared() -> None:
    spec = RolloutSpec(progress_deadline_seconds=3600)
    declared_graph = changed(graph(), rollout=spec)
    frontend = redeclared(declared_graph.component("frontend"), target_group_arn="arn:tg")
    assert frontend.settings.health_check_grace_seconds == 3600
    assert declared_graph.component("etcd-nats").settings.health_check_grace_seconds == 0
    declared = spec.model_copy(update={"health_check_grace_seconds": 90})
    for component in changed(declared_graph, rollout=declared).components:
        assert component.settings.health_check_grace_seconds == 90
    ecs, memory = settled(declared_graph)
    assert ecs.services["g-decode"].settings.health_check_grace_seconds == 3600
    edited = changed(declared_graph, "decode", rollout=declared)
    (update,) = updates(plan(edited, ecs.snapshot(), memory, ecs.clock))
    assert update.reason == "health check grace period 3600 -> 90 s"
    assert update_parameters(update.settings) == {"healthCheckGracePeriodSeconds": 90}
    ecs.graph = edited
    converge(ecs, edited, memory)
    assert ecs.services["g-decode"].settings.health_check_grace_seconds == 90


# Another network -------------------------------------------------------------------------------


@given(
    parts=st.sets(st.sampled_from(["etcd-nats", "prefill", "decode"]), min_size=1),
    spare=st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_another_network_rolls_in_order_with_etcd_first_and_nobody_notices(
    parts: set[str], spare: bool
) -> None:
    declared_graph = graph(prefill=2, decode=2)
    ecs, memory = settled(declared_graph, gpus=10 if spare else 5)
    ecs.graph = edited = changed(declared_graph, *sorted(parts), network=OTHER)
    order: list[str] = []
    for _ in range(120):
        result = run_pass(ecs, edited, memory)
        memory = result.memory
        order += [a.component for a in updates(result) if a.settings.network is not None]
        assert ecs.served() or not spare
        if result.converged:
            break
    assert result.converged
    assert sorted(order) == sorted(parts)
    if "etcd-nats" in parts:
        assert order[0] == "etcd-nats"
    elif len(parts) == 2:
        assert order == ["decode", "prefill"]
    for component in edited.components:
        service = ecs.services[component.service]
        assert {t.deployment for t in service.tasks} == {service.primary.id}
        if component.name in parts:
            assert service.network == OTHER


def test_a_network_on_which_nothing_comes_up_is_reported_and_the_old_side_is_kept() -> None:
    declared_graph = changed(
        graph(), "decode", rollout=RolloutSpec(progress_deadline_seconds=300, circuit_breaker=False)
    )
    ecs, memory = settled(declared_graph)
    (former,) = ecs.services["g-decode"].tasks
    ecs.graph = edited = changed(declared_graph, "decode", network=OTHER)
    for _ in range(60):
        result = run_pass(ecs, edited, memory)
        memory = result.memory
        for task in ecs.services["g-decode"].tasks:
            task.mute = task is not former  # Nothing reaches etcd from there.
        assert ecs.serving("decode") == [former]
    (reported,) = (
        c
        for c in result.conditions
        if c.type is ConditionType.DEGRADED and c.component == "decode" and c.status
    )
    assert reported.reason == ConditionReason.NEVER_REGISTERED
    assert "correct its network" in reported.message
    ecs.graph = declared_graph
    converge(ecs, declared_graph, memory)
    assert ecs.services["g-decode"].network == declared_graph.component("decode").network


def test_a_network_that_ecs_gave_up_is_not_tried_again_until_another_is_declared() -> None:
    declared_graph = graph()
    ecs, memory = settled(declared_graph)
    ecs.graph = edited = changed(declared_graph, "etcd-nats", network=OTHER)
    service = ecs.services["g-etcd-nats"]
    (former,) = service.tasks
    sent = 0
    for _ in range(30):
        for task in service.tasks:
            task.bad = task.deployment != former.deployment and service.network == OTHER
        result = run_pass(ecs, edited, memory)
        memory = result.memory
        sent += sum(a.settings.network is not None for a in updates(result))
        assert ecs.served()
    assert sent == 1
    assert "gave up" in result.failures["etcd-nats"]
    third = OTHER.model_copy(update={"subnets": ("subnet-3",)})
    ecs.graph = corrected = changed(declared_graph, "etcd-nats", network=third)
    converge(ecs, corrected, memory)
    assert service.network == third


@pytest.mark.parametrize("assign", [True, False])
def test_a_public_ip_counts_as_another_network(assign: bool) -> None:
    declared_graph = graph()
    ecs, memory = settled(declared_graph)
    network = declared_graph.component("decode").network
    edited = changed(
        declared_graph, "decode", network=network.model_copy(update={"assign_public_ip": assign})
    )
    result = plan(edited, ecs.snapshot(), memory, ecs.clock)
    assert bool(updates(result)) == assign
    assert result.converged != assign
