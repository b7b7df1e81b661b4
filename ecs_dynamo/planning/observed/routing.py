"""Whether frontends route to registered workers.

Frontends compare the model cards of workers of one kind in one namespace, and route to those whose
card equals that of the first worker that they accepted, until the last of these is gone (Dynamo
1.6.1, "Rejected incompatible workers", measured with a different KV block size). A worker with
another card is healthy and registered, and receives no requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ecs_dynamo.model.dynamo.discovery import ModelCard, Registration
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.plan import ReplicaCounts
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.planning.observed.attribution import Attribution
from ecs_dynamo.planning.observed.lookup import known_tasks

SHOWN_DIFFERENCES = 3
SHOWN_UNATTRIBUTED = 20


@dataclass(frozen=True, slots=True)
class Routing:
    """How many replicas of a worker component are registered, and how many a frontend routes to.

    ``routed`` is None where no frontend has named any worker yet. ``problem``: why replicas are not
    routed to.
    """

    registered: int
    routed: int | None
    problem: str | None = None


def _registrations_by_task(
    attribution: Attribution, arns: frozenset[str], leases: Iterable[int] | None = None
) -> dict[str, Registration]:
    """Return a registration for each task that has one, by ARN; a shared one counts once.

    ``leases`` limits the registrations that count.
    """
    by_task: dict[str, Registration] = {}
    counted = None if leases is None else frozenset(leases)
    for claim in attribution.claims:
        if counted is not None and claim.registration.lease_id not in counted:
            continue
        free = [arn for arn in claim.tasks if arn in arns and arn not in by_task]
        if free:
            by_task[free[0]] = claim.registration
    return by_task


def _differences(card: ModelCard, other: ModelCard) -> list[str]:
    own, others = dict(card.facts), dict(other.facts)
    return [
        f"{name} ({own.get(name, 'not set')}, not {others.get(name, 'not set')})"
        for name in sorted(own.keys() | others.keys())
        if own.get(name) != others.get(name)
    ]


def _problem(
    snapshot: Snapshot,
    routed: frozenset[int],
    own: Mapping[str, Registration],
    settled: frozenset[str],
) -> str | None:
    """Return why settled replicas are not routed to: their card differs from that of the others."""
    registrations = snapshot.registrations
    if isinstance(registrations, Unknown):
        return None
    affected: dict[str, list[str]] = {}
    for arn, registration in own.items():
        if registration.lease_id in routed or arn not in settled or registration.card is None:
            continue
        key = registration.namespace, registration.component, registration.endpoint
        peers = (
            r.card
            for r in registrations
            if r.card is not None
            and r.lease_id in routed
            and (r.namespace, r.component, r.endpoint) == key
        )
        compared = (_differences(registration.card, card) for card in peers)
        differences = next(filter(None, compared), [])
        if differences:
            more = ", ..." if len(differences) > SHOWN_DIFFERENCES else ""
            text = ", ".join(differences[:SHOWN_DIFFERENCES]) + more
            affected.setdefault(text, []).append(arn)
    if not affected:
        return None
    count = sum(len(arns) for arns in affected.values())
    return (
        f"{count} registered, but no frontend routes to {'it' if count == 1 else 'them'}: the "
        f"model card differs from that of the workers that serve in {'; '.join(sorted(affected))}"
    )


def assess_routing(
    component: Component,
    snapshot: Snapshot,
    attribution: Attribution,
    settled: frozenset[str],
) -> Routing | None:
    """Return what discovery and the frontends report of the component's replicas.

    None for components that are not workers, and where discovery could not be read. ``settled``:
    ARNs of tasks that have been ready for a while; frontends find the others with some delay.
    """
    if not component.is_worker or isinstance(snapshot.registrations, Unknown):
        return None
    observed = snapshot.components.get(component.name)
    if observed is None:
        return None
    arns = frozenset(t.arn for t in known_tasks(observed) if t.is_running)
    own = _registrations_by_task(attribution, arns)
    named = frozenset[int]().union(*snapshot.routed.values())
    if not named:
        return Routing(len(own), None)
    routed = _registrations_by_task(attribution, arns, named)
    return Routing(len(own), len(routed), _problem(snapshot, named, own, settled))


def with_routing(counts: ReplicaCounts, routing: Routing | None) -> ReplicaCounts:
    """Return the counts with those of ``routing``."""
    if routing is None:
        return counts
    return replace(counts, registered=routing.registered, routed=routing.routed)


def describe_unattributed(attribution: Attribution) -> tuple[str, ...]:
    """Return the registrations that count for no task, each with its lease id and the cause."""
    shown = attribution.unattributed[:SHOWN_UNATTRIBUTED]
    return tuple(f"{r.component} {r.lease_id:x}: {why}" for r, why in shown)
