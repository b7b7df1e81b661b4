"""While a component is not known for certain nothing of it is replaced or released."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from ecs_dynamo.model.graph import Graph, NetworkMode
from ecs_dynamo.model.plan import (
    ChangeMembership,
    MembershipStep,
    Memory,
    Plan,
    ProtectTasks,
    RegisterTaskDefinition,
    UpdateService,
)
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    Snapshot,
    Unknown,
)
from ecs_dynamo.planning import plan
from ecs_dynamo.planning.observed.lookup import known_tasks
from ecs_dynamo.planning.services.withheld_releases import without_releases
from tests.helpers.convergence import converged, run_pass
from tests.helpers.graphs import (
    graph,
    with_image,
)
from tests.helpers.simulated_ecs import SimulatedEcs

WHY = Unknown("RequestLimitExceeded")
Blind = Callable[[Snapshot, Graph], Snapshot]


def host_mode(prefill: int = 2) -> Graph:
    """The graph with workers in host mode."""
    base = graph(prefill=prefill)
    changed = []
    for component in base.components:
        if component.is_worker:
            component = replace(component, template={**component.template, "networkMode": "host"})
            assert component.network_mode is NetworkMode.HOST
        changed.append(component)
    return replace(base, components=tuple(changed))


def change(
    snapshot: Snapshot, names: set[str], how: Callable[[ComponentSnapshot], ComponentSnapshot]
) -> Snapshot:
    components = {
        name: how(observation) if name in names else observation
        for name, observation in snapshot.components.items()
    }
    return replace(snapshot, components=components)


def no_instances(snapshot: Snapshot, declared: Graph) -> Snapshot:
    """DescribeContainerInstances fails, and no address is remembered."""
    snapshot = replace(snapshot, container_instances={"gpu": WHY})
    return no_addresses(snapshot, declared)


def no_addresses(snapshot: Snapshot, declared: Graph) -> Snapshot:
    """EC2 does not answer: tasks of host mode have addresses that nobody knows."""
    hosted = {c.name for c in declared.components if c.network_mode is NetworkMode.HOST}

    def blind(observation: ComponentSnapshot) -> ComponentSnapshot:
        tasks = (
            replace(t, private_ip=None, address_unknown=WHY.reason)
            for t in known_tasks(observation)
        )
        return replace(observation, tasks=tuple(tasks), probes={})

    return change(snapshot, hosted, blind)


def no_tasks(snapshot: Snapshot, declared: Graph) -> Snapshot:
    """ListTasks shows nothing, and services count running tasks."""
    names = {c.name for c in declared.components if c.cluster == "gpu"}
    return change(snapshot, names, lambda observation: replace(observation, tasks=WHY))


def no_protection(snapshot: Snapshot, declared: Graph) -> Snapshot:
    """GetTaskProtection fails."""

    def blind(observation: ComponentSnapshot) -> ComponentSnapshot:
        tasks = (replace(t, protected_until=None) for t in known_tasks(observation))
        return replace(observation, tasks=tuple(tasks), protection_unknown=WHY.reason)

    return change(snapshot, {c.name for c in declared.components}, blind)


def no_registrations(snapshot: Snapshot, declared: Graph) -> Snapshot:
    """etcd is there, and does not let itself be read."""
    return replace(snapshot, registrations=WHY)


BLIND: dict[str, Blind] = {
    "instances": no_instances,
    "addresses": no_addresses,
    "tasks": no_tasks,
    "protection": no_protection,
    "registrations": no_registrations,
}


def harmful(result: Plan, snapshot: Snapshot, names: set[str]) -> list[str]:
    """Return the actions that release, or begin to replace, replicas of ``names``."""
    matches = []
    for action in result.actions:
        if action.component not in names:
            continue
        if isinstance(action, ProtectTasks):
            until = {
                t.arn: t.protected_until or 0.0
                for t in known_tasks(snapshot.components[action.component])
            }
            end = snapshot.observed_at + (action.minutes or 0) * 60.0
            if any(end < until.get(arn, 0.0) for arn in action.tasks) or action.minutes is None:
                matches.append(f"releases {action.reason}")
        if isinstance(action, UpdateService):
            service = snapshot.components[action.component].service
            assert isinstance(service, Service)
            if action.revision is not None or action.settings.limits is not None:
                matches.append(f"begins {action.reason}")
            if action.desired is not None and action.desired < service.desired:
                matches.append(f"shrinks {action.reason}")
    return matches


@pytest.mark.parametrize("part", sorted(BLIND))
@pytest.mark.parametrize("changed", ["prefill", "decode", "frontend"])
def test_a_rollout_neither_begins_nor_lets_go_while_a_part_is_unknown(
    part: str, changed: str
) -> None:
    declared = host_mode()
    ecs, memory = converged(declared, gpus=8)
    declared = with_image(declared, changed, "dynamo:2")
    ecs.graph = declared
    workers = {c.name for c in declared.components if c.is_worker}
    unsure = workers if part == "registrations" else workers | {"frontend"}
    released = 0
    for _ in range(60):
        observation = ecs.snapshot()
        blind = BLIND[part](observation, declared)
        looked = plan(declared, blind, memory, ecs.clock)
        # The observed tasks are compared with the true ones and their protections.
        assert harmful(looked, observation, unsure) == []
        assert not looked.converged
        whole = run_pass(ecs, declared, memory)
        released += len(harmful(whole, observation, {changed}))
        memory = whole.memory
        if whole.converged:
            break
    assert whole.converged
    assert released  # Otherwise nothing was held back.


@pytest.mark.parametrize("part", ["instances", "tasks", "addresses"])
def test_etcd_is_not_rolled_while_who_uses_it_is_not_observed(part: str) -> None:
    """Its old tasks would not be kept for them, and all of them would have to follow."""
    declared = host_mode()
    ecs, memory = converged(declared)
    declared = with_image(declared, "etcd-nats", "etcd:2")
    ecs.graph = declared
    blind = BLIND[part](ecs.snapshot(), declared)
    looked = plan(declared, blind, memory, ecs.clock)
    assert [a for a in looked.actions if isinstance(a, UpdateService)] == []
    whole = plan(declared, ecs.snapshot(), memory, ecs.clock)
    assert [a.component for a in whole.actions if isinstance(a, UpdateService)] == ["etcd-nats"]


def test_etcd_that_does_not_answer_can_be_repaired() -> None:
    """Registrations are unknown because of it: that must not keep its new revision back."""
    declared = host_mode()
    ecs, memory = converged(declared)
    declared = with_image(declared, "etcd-nats", "etcd:2")
    ecs.graph = declared
    observation = ecs.snapshot()
    dead = change(observation, {"etcd-nats"}, lambda part: replace(part, probes={}))
    dead = replace(dead, registrations=Unknown("no etcd replica answers"))
    result = plan(declared, dead, memory, ecs.clock)
    assert [a.component for a in result.actions if isinstance(a, UpdateService)] == ["etcd-nats"]


def test_the_endpoints_that_move_are_followed_by_who_is_known() -> None:
    """The old side is gone in half a minute: observed replicas do not wait for unobserved ones."""
    declared = host_mode()
    ecs, memory = converged(declared)
    ecs.kill("etcd-nats")
    moved: set[str] = set()
    for _ in range(12):
        ecs.step(10.0)
        observation = ecs.snapshot()
        blind = change(observation, {"decode"}, lambda part: replace(part, tasks=WHY))
        result = plan(declared, blind, memory, ecs.clock)
        assert not [a for a in result.actions if a.component == "decode"]
        moved |= {a.component for a in result.actions if isinstance(a, UpdateService)}
    assert moved == {"frontend", "prefill"}


def test_replicas_are_added_all_the_same() -> None:
    declared = host_mode(prefill=1)
    ecs, memory = converged(declared)
    more = host_mode(prefill=2)
    blind = no_addresses(ecs.snapshot(), more)
    result = plan(more, blind, memory, ecs.clock)
    (action,) = (a for a in result.actions if isinstance(a, UpdateService))
    assert (action.component, action.desired, action.revision) == ("prefill", 2, None)
    fewer = plan(host_mode(prefill=1), blind, memory, ecs.clock)
    assert not [a for a in fewer.actions if isinstance(a, UpdateService)]


def test_a_wait_says_what_is_not_known() -> None:
    declared = host_mode()
    ecs, memory = converged(declared)
    result = plan(declared, no_addresses(ecs.snapshot(), declared), memory, ecs.clock)
    (wait,) = (w for w in result.waits if w.component == "prefill")
    assert wait.purpose is WaitPurpose.CERTAINTY
    assert "RequestLimitExceeded" in wait.reason
    assert not result.converged


def test_a_member_of_etcd_that_is_not_observed_is_not_removed() -> None:
    declared = graph()
    servers = replace(
        declared,
        components=tuple(
            replace(c, member=0) if c.name == "etcd-nats" else c for c in declared.components
        ),
    )
    ecs, _ = converged(declared)
    removal = ChangeMembership(
        component="etcd-nats", reason="gone", step=MembershipStep.REMOVE, servers=()
    )
    observation = ecs.snapshot()
    assert not [*without_releases([removal], servers, observation, {"etcd-nats": "unknown"})]
    assert [*without_releases([removal], servers, observation, {"prefill": "unknown"})] == [removal]


# Revisions that somebody removes ----------------------------------------------------------------


def deregister(ecs: SimulatedEcs, family: str) -> str:
    """Somebody deregisters all revisions of a family."""
    for arn, revision in ecs.revisions.items():
        if revision.family == family:
            ecs.revisions[arn] = replace(revision, active=False)
    return family


def test_a_deregistered_revision_is_registered_again_and_nothing_rolls() -> None:
    declared = graph(prefill=2)
    ecs, memory = converged(declared)
    before = ecs.services["g-prefill"].revision
    deregister(ecs, "g-prefill")
    result = run_pass(ecs, declared, memory)
    (again,) = result.actions
    assert isinstance(again, RegisterTaskDefinition)
    assert "was deregistered or deleted" in again.reason
    assert ecs.services["g-prefill"].revision == before
    memory = result.memory
    for _ in range(3):
        result = run_pass(ecs, declared, memory)
        assert result.actions == ()
        assert result.converged


def test_a_rollout_to_a_revision_that_was_deregistered_meanwhile_goes_on() -> None:
    declared = graph(prefill=2)
    ecs, memory = converged(declared)
    declared = with_image(declared, "prefill", "dynamo:2")
    ecs.graph = declared
    first = plan(declared, ecs.snapshot(), memory, ecs.clock)
    for action in first.actions:
        if isinstance(action, RegisterTaskDefinition):
            ecs.apply(action)
    deregister(ecs, "g-prefill")
    for _ in range(60):
        result = run_pass(ecs, declared, memory)
        memory = result.memory
        if result.converged:
            break
    assert result.converged
    revision = ecs.revisions[ecs.services["g-prefill"].revision]
    assert revision.active
    assert revision.content["containerDefinitions"][0]["image"] == "dynamo:2"


def test_a_service_whose_revision_is_gone_unread_gets_the_declared_one() -> None:
    declared = graph(prefill=2)
    ecs, memory = converged(declared)
    own = ecs.services["g-prefill"].revision
    ecs.revisions[own] = replace(ecs.revisions[own], content={}, tags={}, active=False)
    since: Mapping[str, float] = {}
    for _ in range(60):
        # A daemon that starts anew in each pass; what has stayed ready is all that it keeps.
        result = run_pass(ecs, declared, Memory(started_at=memory.started_at, ready_since=since))
        since = result.memory.ready_since
        if result.converged:
            break
    assert result.converged
    assert ecs.revisions[ecs.services["g-prefill"].revision].active
