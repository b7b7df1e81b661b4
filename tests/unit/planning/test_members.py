"""An etcd cluster on ECS: it grows, outlives faults, and never takes a stranger in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import ChangeMembership, MembershipStep, Memory, UpdateService
from ecs_dynamo.model.snapshot import Unknown
from ecs_dynamo.model.spec.rollout import RolloutSpec
from ecs_dynamo.model.spec.service import NetworkSpec
from ecs_dynamo.planning import plan
from ecs_dynamo.planning.observed.etcd_membership import find_membership
from tests.helpers.convergence import (
    converge,
    run_pass,
)
from tests.helpers.graphs import (
    component,
    graph,
    redeclared,
    with_image,
)
from tests.helpers.simulated_etcd import SimulatedCluster
from tests.unit.planning.test_plan_properties import suffer

PLACES = ("etcd-0", "etcd-1", "etcd-2")
ALONE = RolloutSpec(minimum_healthy_percent=0, maximum_percent=100, circuit_breaker=False)


def clustered() -> Graph:
    """The graph of the other tests with an etcd cluster of three, and no NATS."""
    base = graph()
    members = []
    for number, name in enumerate(PLACES):
        item = component(name, Role.ETCD, rollout=ALONE, member=number)
        (container,) = item.template["containerDefinitions"]
        container["environment"] = [
            {"name": "ETCD_NAME", "value": name},
            {"name": "ETCD_LISTEN_PEER_URLS", "value": "http://0.0.0.0:2380"},
        ]
        members.append(item)
    return replace(base, components=(*members, *base.components[1:]))


def grown(declared_graph: Graph | None = None) -> tuple[SimulatedCluster, Graph, Memory]:
    """A converged cluster."""
    declared = declared_graph or clustered()
    ecs = SimulatedCluster(declared)
    return ecs, declared, converge(ecs, declared, Memory(started_at=ecs.now)).memory


def stores(ecs: SimulatedCluster) -> set[int]:
    return {id(s.store) for s in ecs.servers.values()}


def test_it_grows_to_three_and_dependants_start_with_all_of_them() -> None:
    ecs, declared, memory = grown()
    matches = find_membership(declared, ecs.snapshot())
    assert matches.is_complete
    assert (ecs.begun, len(stores(ecs))) == (1, 1)
    started = {name: etcd for name, etcd, _ in ecs.injected_at_start}
    assert started == dict.fromkeys(
        ("g-frontend", "g-prefill", "g-decode"), ",".join(matches.servers)
    )
    assert run_pass(ecs, declared, memory).converged


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_any_one_lost_member_is_replaced_and_the_data_stays(data: st.DataObject) -> None:
    ecs, declared_graph, memory = grown()
    store = next(iter(ecs.servers.values())).store
    for number in range(data.draw(st.integers(1, 3))):
        kind = data.draw(st.sampled_from(["kill", "image"]))
        name = data.draw(st.sampled_from(PLACES))
        if kind == "kill":
            ecs.kill(name, electing=data.draw(st.sampled_from([0.0, 15.0, 35.0])))
        else:
            for item in PLACES:
                declared_graph = with_image(declared_graph, item, f"etcd:{number}")
            ecs.graph = declared_graph
        for _ in range(data.draw(st.integers(0, 12))):
            stop = data.draw(st.integers(0, 3))
            run_pass(ecs, declared_graph, memory, stop_after=stop)
            memory = Memory(started_at=ecs.now)
        memory = converge(ecs, declared_graph, memory).memory
        assert ecs.served()
    assert {s.store for s in ecs.servers.values() if s.member in store.members} == {store}
    assert len(ecs.servers) == 3
    assert run_pass(ecs, declared_graph, Memory(started_at=ecs.now)).converged


@given(
    faults=st.lists(
        st.one_of(
            st.tuples(st.just("kill"), st.sampled_from(PLACES)),
            st.tuples(st.just("image"), st.sampled_from(PLACES)),
            st.tuples(st.just("crash"), st.integers(0, 4)),
            st.tuples(st.just("wait"), st.integers(1, 6)),
        ),
        max_size=10,
    )
)
@settings(max_examples=80, deadline=None)
def test_it_is_whole_again_after_any_faults(faults: list[tuple[str, object]]) -> None:
    declared_graph = clustered()
    ecs = SimulatedCluster(declared_graph)
    declared_graph, memory = suffer(ecs, declared_graph, faults)
    converge(ecs, declared_graph, memory)
    assert find_membership(declared_graph, ecs.snapshot()).is_complete
    assert len(stores(ecs)) == 1
    assert ecs.served()
    before = ecs.writes
    assert run_pass(ecs, declared_graph, Memory(started_at=ecs.now)).converged
    assert ecs.writes == before


def test_a_changed_declaration_replaces_one_member_at_a_time() -> None:
    ecs, declared_graph, memory = grown()
    store = next(iter(ecs.servers.values())).store
    for name in PLACES:
        declared_graph = with_image(declared_graph, name, "etcd:2")
    ecs.graph = declared_graph
    for _ in range(120):
        result = run_pass(ecs, declared_graph, memory)
        memory = result.memory
        assert ecs.has_quorum(store)
        assert ecs.served()
        if result.converged:
            break
    images = {ecs.content_of(f"g-{n}")["containerDefinitions"][0]["image"] for n in PLACES}
    assert images == {"etcd:2"}
    assert stores(ecs) == {id(store)}


def test_dependants_keep_their_endpoints_until_the_cluster_is_whole_and_then_roll_in_order() -> (
    None
):
    ecs, declared_graph, memory = grown()
    before = ecs.content_of("g-prefill")
    ecs.kill("etcd-1")
    rolled: list[str] = []
    for _ in range(60):
        result = run_pass(ecs, declared_graph, memory)
        memory = result.memory
        updates = [a for a in result.actions if isinstance(a, UpdateService) and a.revision]
        names = [a.component for a in updates if a.component not in PLACES]
        assert len(names) <= 1, "one component at a time"
        if names:
            assert find_membership(declared_graph, ecs.snapshot()).is_complete
        rolled += names
        if result.converged:
            break
    assert rolled == ["decode", "prefill", "frontend"]
    assert ecs.content_of("g-prefill") != before


def test_two_lost_members_are_the_end_of_the_data_and_another_cluster_begins() -> None:
    ecs, declared_graph, memory = grown()
    for name in ("etcd-1", "etcd-2"):
        ecs.kill(name)
    converge(ecs, declared_graph, memory)
    assert ecs.begun == 2
    assert find_membership(declared_graph, ecs.snapshot()).is_complete
    assert ecs.served()


def test_a_single_etcd_gives_way_to_a_cluster_and_back_by_one_roll_each() -> None:
    single, declared_graph = graph(), clustered()
    ecs = SimulatedCluster(single)
    memory = converge(ecs, single, Memory(started_at=ecs.now)).memory
    for declared in (declared_graph, single):
        ecs.graph = declared
        rolled: list[str] = []
        for _ in range(80):
            result = run_pass(ecs, declared, memory)
            memory = result.memory
            assert ecs.served()
            updates = [a for a in result.actions if isinstance(a, UpdateService) and a.revision]
            rolled += [a.component for a in updates if a.component in ("frontend", "prefill")]
            if result.converged:
                break
        assert sorted(rolled) == ["frontend", "prefill"]
        assert set(ecs.services) == {c.service for c in declared.components}


def test_a_first_member_that_begins_anew_is_not_taken_in() -> None:
    ecs, declared_graph, memory = grown()
    store = next(iter(ecs.servers.values())).store
    ecs.kill("etcd-0", electing=25.0)
    for _ in range(2):
        ecs.step()
    # The others elect a leader, the stranger needs none: its word does not count.
    result = plan(declared_graph, ecs.snapshot(), memory, ecs.clock)
    assert not [a for a in result.actions if isinstance(a, ChangeMembership)]
    ecs.step()
    stranger = next(s for s in ecs.servers.values() if s.store is not store)
    assert stranger.store.id == store.id, "etcd gives it the same ids"
    observation = find_membership(declared_graph, ecs.snapshot())
    assert observation.slot("etcd-0").member is None
    assert stranger.url not in observation.servers
    converge(ecs, declared_graph, memory)
    assert stores(ecs) == {id(store)}


@pytest.mark.parametrize("part", ["service", "tasks"])
def test_what_is_unknown_changes_nothing(part: str) -> None:
    ecs, declared_graph, memory = grown()
    ecs.kill("etcd-2")
    observation = ecs.snapshot()
    whole, lost = observation.components["etcd-1"], Unknown("throttled")
    hidden = replace(whole, service=lost) if part == "service" else replace(whole, tasks=lost)
    result = plan(
        declared_graph,
        replace(observation, components={**observation.components, "etcd-1": hidden}),
        memory,
        ecs.clock,
    )
    assert not [a for a in result.actions if isinstance(a, ChangeMembership)]
    assert not [a for a in result.actions if isinstance(a, UpdateService)]


def test_an_added_member_that_nobody_needs_any_more_is_removed() -> None:
    ecs, declared_graph, memory = grown()
    changed = with_image(declared_graph, "etcd-2", "etcd:2")
    ecs.graph = changed
    result = plan(changed, ecs.snapshot(), memory, ecs.clock)
    (added,) = (a for a in result.actions if isinstance(a, ChangeMembership))
    assert (added.component, added.step) == ("etcd-2", MembershipStep.ADD)
    ecs.apply(added)
    ecs.graph = declared_graph
    result = plan(declared_graph, ecs.snapshot(), memory, ecs.clock)
    (removed,) = (a for a in result.actions if isinstance(a, ChangeMembership))
    assert removed.step is MembershipStep.REMOVE
    converge(ecs, declared_graph, memory)


def test_another_network_replaces_the_members_one_at_a_time_and_keeps_the_data() -> None:
    """ECS would redeploy all of them at once, each under the address of a member that is gone."""
    ecs, declared_graph, memory = grown()
    store = next(iter(ecs.servers.values())).store
    other = NetworkSpec(subnets=("subnet-2",), security_groups=("sg-1",))
    ecs.graph = edited = replace(
        declared_graph,
        components=tuple(
            redeclared(c, network=other) if c.name in PLACES else c
            for c in declared_graph.components
        ),
    )
    for _ in range(120):
        result = run_pass(ecs, edited, memory)
        memory = result.memory
        moved = [
            a.component
            for a in result.actions
            if isinstance(a, UpdateService) and a.settings.network
        ]
        assert len(moved) <= 1
        assert ecs.has_quorum(store)
        if result.converged:
            break
    assert result.converged
    assert {s.store for s in ecs.servers.values()} == {store}
    assert {ecs.services[f"g-{name}"].network for name in PLACES} == {other}
