"""Deployment limits whose rounding leaves ECS no step to take: the rollout widens them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.plan import Memory, UpdateService
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.spec.service import LaunchType
from ecs_dynamo.planning import plan
from ecs_dynamo.planning.observed.lookup import known_tasks
from tests.helpers.convergence import converge, converged
from tests.helpers.facts import degraded
from tests.helpers.graphs import (
    graph,
    redeclared,
    template,
    with_image,
)
from tests.helpers.rollouts import fresh_pass, ready_graph
from tests.helpers.simulated_ecs import SimulatedEcs


@given(
    count=st.integers(0, 200),
    least=st.integers(0, 100),
    most=st.integers(100, 200),
)
@settings(max_examples=300, deadline=None)
def test_widened_limits_leave_a_step_and_are_no_wider_than_needed(
    count: int, least: int, most: int
) -> None:
    if least == most == 100:
        least = 99
    spec = DeploymentLimits(minimum_healthy_percent=least, maximum_percent=most)
    stays, runs = math.ceil(count * least / 100), math.floor(count * most / 100)
    assert spec.can_replace(count) == (count == 0 or stays < count or runs > count)
    wider = spec.widened(count)
    assert wider.can_replace(count)
    assert wider.minimum_healthy_percent == least
    assert wider.maximum_percent <= 200
    if spec.can_replace(count):
        assert wider == spec
    else:
        assert count * wider.maximum_percent // 100 == count + 1


@given(
    decode=st.integers(1, 4),
    spare=st.integers(0, 2),
    least=st.sampled_from([50, 80, 100]),
    most=st.sampled_from([101, 110, 150]),
    bad=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_rollout_within_any_limits_ends_and_so_does_the_way_back(
    decode: int, spare: int, least: int, most: int, bad: bool
) -> None:
    declared, ecs = ready_graph(
        decode, 1 + decode + spare, minimum_healthy_percent=least, maximum_percent=most
    )
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    if bad:
        ecs.mute_images.add("dynamo:2")
    spec = edited.component("decode").limits
    floor = math.ceil(decode * least / 100)
    if not spare:  # A place must be freed before it can be filled.
        floor = min(floor, decode - 1)
    notes: set[str] = set()
    for _ in range(150):
        result = fresh_pass(ecs, edited)
        notes |= {n for n in result.notes if n.startswith("decode: ") and "during the rollout" in n}
        assert len(ecs.serving("decode")) >= floor
        if result.stuck or result.converged:
            break
    service = ecs.services["g-decode"]
    assert len(service.deployments) == 1
    assert ecs.content_of("g-decode")["containerDefinitions"][0]["image"] == (
        "dynamo:1" if bad else "dynamo:2"
    )
    assert degraded(result, "decode") == ("NeverRegistered" if bad else None)
    assert bool(notes) == (not spec.can_replace(decode))
    assert (service.minimum, service.maximum) == (least, most)


def test_a_rollout_that_is_dead_locked_already_goes_on() -> None:
    """Limits that an earlier version left as they were, or a count that sank meanwhile."""
    declared, ecs = ready_graph(1, 4, minimum_healthy_percent=50, maximum_percent=150)
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    fresh_pass(ecs, edited)
    service = ecs.services["g-decode"]
    service.change(limits=replace(service.limits, maximum_percent=150))
    service.tasks[:] = service.tasks[:1]
    converge(ecs, edited, Memory(started_at=ecs.now))
    assert ecs.content_of("g-decode")["containerDefinitions"][0]["image"] == "dynamo:2"
    assert service.maximum == 150


@pytest.mark.parametrize("frontends", [1, 2])
def test_host_mode_frontends_on_all_instances_are_replaced_one_at_a_time(frontends: int) -> None:
    """Each holds its port, so no new one fits beside them: ECS would wait indefinitely."""
    declared = graph(frontends=frontends, prefill=frontends - 1)
    ecs = SimulatedEcs(declared, gpu_instances=frontends)
    converge(ecs, declared, Memory(started_at=ecs.now))
    ecs.graph = edited = with_image(declared, "frontend", "dynamo:2")
    notes: set[str] = set()
    for _ in range(60):
        result = fresh_pass(ecs, edited)
        notes |= {n for n in result.notes if n.startswith("frontend: one more replica")}
        assert len(ecs.serving("frontend")) >= frontends - 1
        if result.converged:
            break
    assert result.converged
    assert ecs.content_of("g-frontend")["containerDefinitions"][0]["image"] == "dynamo:2"
    (note,) = notes
    assert "(host port on" in note or "(one replica per instance on" in note
    assert note.endswith("it does not serve in the meantime") == (frontends == 1)
    service = ecs.services["g-frontend"]
    assert (service.minimum, service.maximum) == (100, 200)


def test_infrastructure_in_host_mode_says_why_it_is_replaced_in_place() -> None:
    base = graph()
    content = template("etcd-nats", "host")
    content["containerDefinitions"][0]["portMappings"] = [{"containerPort": 2379}]
    etcd = redeclared(
        base.component("etcd-nats"), launch_type=LaunchType.EC2, cluster="gpu", template=content
    )
    declared = replace(base, components=(etcd, *base.components[1:]))
    ecs, memory = converged(declared)
    ecs.graph = edited = with_image(declared, "etcd-nats", "etcd:2")
    observation = ecs.snapshot()
    (place,) = (t.container_instance_arn for t in known_tasks(observation.components["etcd-nats"]))
    instances = observation.container_instances["gpu"]
    assert isinstance(instances, tuple)
    here = [i for i in instances if i.arn == place]
    full = tuple(replace(i, used_ports=frozenset({2379})) for i in here)
    observation = replace(observation, container_instances={"gpu": full})
    result = plan(edited, observation, memory, ecs.clock)
    assert any(
        n.startswith("etcd-nats: one more replica does not fit (host port on 1 instance)")
        for n in result.notes
    )
    (update,) = (a for a in result.actions if isinstance(a, UpdateService))
    limits = update.settings.limits
    assert limits is not None
    assert (limits.minimum_healthy_percent, limits.maximum_percent) == (0, 100)
