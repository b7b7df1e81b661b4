"""A registration counts for tasks of its own generation alone, even at one address."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ecs_dynamo.model.dynamo.discovery import ModelCard, NoAnswer, Registration, WorkerPage
from ecs_dynamo.model.graph import Component, Graph, Role
from ecs_dynamo.model.snapshot import ComponentSnapshot, Revision, Snapshot, Task
from ecs_dynamo.planning.observed.attribution import all_worker_namespaces, attribute
from ecs_dynamo.planning.observed.facts import observe_graph
from ecs_dynamo.planning.observed.routing import assess_routing
from tests.helpers.graphs import component, graph

HOST = "10.9.0.1"
OLD, NEW = "g11111111", "g22222222"


def of_generation(generation: str | None, name: str = "decode") -> Component:
    base = component(name, Role.DECODE, mode="host")
    suffix = f"@{generation}" if name != "decode" else ""
    return replace(base, generation=generation, name=f"{name}{suffix}")


def revision(number: int, **environment: str) -> Revision:
    # The workers choose their ports, so that an address alone does not tell them apart.
    variables = {"DYN_SYSTEM_PORT": "0", **environment}
    entries = [{"name": name, "value": value} for name, value in variables.items()]
    content: dict[str, Any] = {"containerDefinitions": [{"name": "c", "environment": entries}]}
    return Revision(f"td:{number}", "td", number, content)


def task(number: int, of: Revision) -> Task:
    return Task(f"t{number}", of.arn, "RUNNING", "RUNNING", private_ip=HOST, started_at=100.0)


def registered(namespace: str, lease: int, block_size: int = 64) -> Registration:
    card = ModelCard(f"http://{HOST}:{40000 + lease}", facts=(("block", str(block_size)),))
    return Registration(namespace, "backend", "generate", lease, HOST, card)


def observation(
    components: Iterable[tuple[Component, Revision, int]], registrations: Iterable[Registration]
) -> tuple[Graph, Snapshot]:
    """One task per component at one host; every registered worker's page answers."""
    parts, registrations = tuple(components), tuple(registrations)
    effective = replace(graph(), components=tuple(c for c, _, _ in parts))
    return effective, Snapshot(
        graph="g",
        observed_at=5000.0,
        components={
            c.name: ComponentSnapshot(None, (task(number, r),), revisions={r.arn: r})
            for c, r, number in parts
        },
        registrations=registrations,
        pages={
            r.card.page or "": WorkerPage(frozenset({r.lease_id}), 105.0)
            for r in registrations
            if r.card is not None
        },
    )


BOTH = (
    (of_generation(NEW), revision(2, DYN_NAMESPACE_WORKER_SUFFIX=NEW), 2),
    (of_generation(OLD, "decode-old"), revision(1, DYN_NAMESPACE_WORKER_SUFFIX=OLD), 1),
)


def test_the_namespace_tells_generations_apart_at_one_address() -> None:
    effective, snapshot = observation(
        BOTH, [registered(f"ns-{OLD}", 1), registered(f"ns-{NEW}", 2)]
    )
    attribution = attribute(effective, snapshot)
    assert attribution.names == {"t1": frozenset({"backend"}), "t2": frozenset({"backend"})}
    assert attribution.unattributed == ()
    assert attribution.leases_of("t1") == frozenset({1})
    assert attribution.leases_of("t2") == frozenset({2})


def test_a_registration_never_counts_for_a_task_of_another_generation() -> None:
    effective, snapshot = observation(BOTH, [registered(f"ns-{NEW}", 2)])
    observed = observe_graph(effective, snapshot)
    assert observed.ready("decode") == frozenset({"t2"})
    assert observed.ready(f"decode-old@{OLD}") == frozenset()
    # Neither does one of plain workers.
    effective, snapshot = observation(BOTH, [registered("ns", 3)])
    ((lost, why),) = attribute(effective, snapshot).unattributed
    assert (lost.lease_id, why) == (3, "no task at its address registers in the namespace ns")


def test_the_keys_of_a_deleted_generation_are_reported_with_the_cause() -> None:
    effective, snapshot = observation(BOTH[:1], [registered(f"ns-{OLD}", 1)])
    snapshot = replace(snapshot, busy={1: 5.0}, served=frozenset({1}))
    observed = observe_graph(effective, snapshot)
    ((lost, why),) = observed.attribution.unattributed
    assert lost.namespace == f"ns-{OLD}"
    assert why == f"no task of generation {OLD} is known; keys stay for a discovery lease"
    # The other generation's tasks are neither less ready for it, nor busy.
    assert observed.components["decode"].readiness.why_not is None
    assert observed.components["decode"].busy == frozenset()


def test_work_of_an_unattributed_worker_may_belong_to_a_silent_task_of_its_generation() -> None:
    fixed = revision(2, DYN_NAMESPACE_WORKER_SUFFIX=NEW, DYN_SYSTEM_PORT="8081")
    effective, snapshot = observation(
        ((of_generation(NEW), fixed, 2), BOTH[1]),
        [replace(registered(f"ns-{NEW}", 2), card=None), replace(registered("ns", 3), card=None)],
    )
    silent = {f"http://{HOST}:8081": NoAnswer("connection refused")}
    snapshot = replace(snapshot, pages=silent, busy={2: 5.0})
    observed = observe_graph(effective, snapshot)
    assert observed.components["decode"].busy == frozenset({"t2"})
    busy_elsewhere = observe_graph(effective, replace(snapshot, busy={3: 5.0}))
    assert busy_elsewhere.components["decode"].busy == frozenset()


def test_namespaces_of_other_graphs_are_ignored() -> None:
    effective, snapshot = observation(BOTH, [registered("ns-gpu", 4), registered("other", 5)])
    attribution = attribute(effective, snapshot)
    assert (attribution.names, attribution.unattributed) == ({}, ())


def test_a_users_own_suffix_and_namespace_are_respected() -> None:
    blue = revision(1, DYN_NAMESPACE_WORKER_SUFFIX="blue")
    renamed = revision(2, DYN_NAMESPACE="before")
    effective, snapshot = observation(
        ((of_generation(None), blue, 1), (of_generation(None, "other"), renamed, 2)),
        [registered("ns-blue", 1), registered("before", 2)],
    )
    assert all_worker_namespaces(effective, snapshot) == {"ns", "ns-blue", "before"}
    assert attribute(effective, snapshot).names.keys() == {"t1", "t2"}


def test_model_cards_are_compared_within_a_generation() -> None:
    effective, snapshot = observation(
        BOTH, [registered(f"ns-{OLD}", 1, 64), registered(f"ns-{NEW}", 2, 32)]
    )
    # A frontend routes to the old generation only: the new one is incomplete, not refused.
    snapshot = replace(snapshot, routed={"http://10.0.0.9:8000": frozenset({1})})
    attribution = attribute(effective, snapshot)
    new = assess_routing(effective.components[0], snapshot, attribution, frozenset({"t2"}))
    assert new is not None
    assert (new.registered, new.routed, new.problem) == (1, 0, None)
