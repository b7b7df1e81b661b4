"""Who of etcd and NATS does not let the daemon in, and how that is said."""

from __future__ import annotations

from collections.abc import Iterator

from ecs_dynamo.model.graph import INFRASTRUCTURE_ROLES
from ecs_dynamo.model.plan import ConditionType
from ecs_dynamo.model.snapshot import Probe, Snapshot
from ecs_dynamo.planning.conditions import ConditionBook
from ecs_dynamo.planning.reachability import unreachable
from ecs_dynamo.planning.serving import SERVES_NOBODY


def infrastructure_probes(snapshot: Snapshot) -> Iterator[Probe]:
    """The answers of every etcd and NATS that was asked."""
    yield from snapshot.external.values()
    for seen in snapshot.components.values():
        for (_, role), probe in seen.probes.items():
            if role in INFRASTRUCTURE_ROLES:
                yield probe


def state_access(book: ConditionBook, snapshot: Snapshot, nobody: str | None) -> None:
    """Degraded for the graph.

    ``Unreachable``: no task can be reached over the network. ``AccessRefused``: etcd or NATS does
    not let the daemon in. ``ServesNobody``: for the reason ``nobody``.
    """
    cut_off = unreachable(snapshot)
    if cut_off is not None:
        book.set(ConditionType.DEGRADED, True, "Unreachable", cut_off)
        return
    told = sorted({p.detail for p in infrastructure_probes(snapshot) if p.refused})
    if told:
        text = f"{'; '.join(told)}; see infrastructure.security"
        book.set(ConditionType.DEGRADED, True, "AccessRefused", text)
    elif nobody is not None:
        book.set(ConditionType.DEGRADED, True, SERVES_NOBODY, f"no request is served: {nobody}")
    else:
        book.set(ConditionType.DEGRADED, False, "Fine", "")
