"""Registered and routed are two facts: a frontend may refuse a worker that discovery lists.

Frontends compare the model cards of workers of one kind, and route to those whose card is that of
the first they accepted until the last of these is gone (Dynamo 1.6.1, "Rejected incompatible
workers", measured with another KV block size). Such a worker is healthy and registered, and serves
nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ecs_dynamo.model.dynamo.discovery import (
    ModelCard,
    Registration,
)
from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.plan import ReplicaCounts
from ecs_dynamo.model.snapshot import (
    Snapshot,
    Unknown,
)
from ecs_dynamo.planning.observed.attribution import (
    Attribution,
    attribute,
)
from ecs_dynamo.planning.observed.lookup import known_tasks

SHOWN = 3
UNATTRIBUTED_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Routing:
    """Of a worker component: how many replicas are registered, how many some frontend routes to
    (None where no frontend has named any worker yet), and what is wrong, in words."""

    registered: int
    routed: int | None
    problem: str | None = None


def _of(
    made: Attribution, arns: frozenset[str], leases: Iterable[int] | None = None
) -> dict[str, Registration]:
    """By task ARN, a registration that is the task's alone, or one of its group's."""
    found: dict[str, Registration] = {}
    wanted = None if leases is None else frozenset(leases)
    for claim in made.claims:
        if wanted is not None and claim.registration.lease_id not in wanted:
            continue
        free = [arn for arn in claim.tasks if arn in arns and arn not in found]
        if free:
            found[free[0]] = claim.registration
    return found


def _differs(card: ModelCard, other: ModelCard) -> list[str]:
    here, there = dict(card.facts), dict(other.facts)
    return [
        f"{name} ({here.get(name, 'not set')}, not {there.get(name, 'not set')})"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]


def _problem(
    graph: Graph,
    snapshot: Snapshot,
    routed: frozenset[int],
    own: Mapping[str, Registration],
    settled: frozenset[str],
) -> str | None:
    """Why settled replicas are not routed: their card differs from that of those that are."""
    registrations = snapshot.registrations
    if isinstance(registrations, Unknown):
        return None
    told: dict[str, list[str]] = {}
    for arn, registration in own.items():
        if registration.lease_id in routed or arn not in settled or registration.card is None:
            continue
        peers = (
            r.card
            for r in registrations
            if r.card is not None
            and r.lease_id in routed
            and (r.namespace, r.component, r.endpoint)
            == (graph.namespace, registration.component, registration.endpoint)
        )
        differences = next((d for card in peers if (d := _differs(registration.card, card))), [])
        if differences:
            more = ", ..." if len(differences) > SHOWN else ""
            told.setdefault(", ".join(differences[:SHOWN]) + more, []).append(arn)
    if not told:
        return None
    count = sum(len(arns) for arns in told.values())
    return (
        f"{count} registered, but no frontend routes to {'it' if count == 1 else 'them'}: the "
        f"model card differs from that of the workers that serve in {'; '.join(sorted(told))}"
    )


def routing(
    graph: Graph, component: Component, snapshot: Snapshot, settled: frozenset[str]
) -> Routing | None:
    """What discovery and the frontends know of the component's replicas.

    None for what is no worker, and where discovery could not be read. ``settled`` are ARNs of tasks
    that have been ready for a while: frontends find others by and by.
    """
    if not component.is_worker or isinstance(snapshot.registrations, Unknown):
        return None
    seen = snapshot.components.get(component.name)
    if seen is None:
        return None
    made = attribute(graph, snapshot)
    arns = frozenset(t.arn for t in known_tasks(seen) if t.is_running)
    own = _of(made, arns)
    named = frozenset[int]().union(*snapshot.routed.values())
    if not named:
        return Routing(len(own), None)
    return Routing(
        len(own), len(_of(made, arns, named)), _problem(graph, snapshot, named, own, settled)
    )


def with_routing(counts: ReplicaCounts, found: Routing | None) -> ReplicaCounts:
    """The counts with what discovery and the frontends know."""
    if found is None:
        return counts
    return replace(counts, registered=found.registered, routed=found.routed)


def unattributed(graph: Graph, snapshot: Snapshot) -> tuple[str, ...]:
    """Registrations that count for no task, each with its lease id and why."""
    found = attribute(graph, snapshot).unattributed
    return tuple(f"{r.component} {r.lease_id:x}: {why}" for r, why in found[:UNATTRIBUTED_SHOWN])
