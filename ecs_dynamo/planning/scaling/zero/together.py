"""The roles of a graph scale to zero and back together.

A request needs prefill and decode. Dynamo refuses it while one of them has no worker (503, measured
on 1.6.1), so a role at zero beside a role with replicas costs GPU time and serves nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ecs_dynamo.model.graph import WORKER_ROLES, Role
from ecs_dynamo.model.plan import Decision

PAIR = (Role.PREFILL, Role.DECODE)
"""Roles that serve only together. An aggregated worker serves alone."""


def keep_together(
    roles: Mapping[str, Collection[Role]], counts: Mapping[str, int], decisions: Sequence[Decision]
) -> tuple[dict[str, int], list[Decision]]:
    """Return counts and decisions in which no role is at zero while its counterpart has replicas.

    ``roles`` has the roles of the graph's components by name. One replica is decided
    instead of zero, for a component that scales.
    """
    kept, result = dict(counts), list(decisions)
    if any(counts.get(name, 0) > 0 for name, own in roles.items() if Role.WORKER in own):
        return kept, result
    workers = [name for name, own in roles.items() if name in counts and WORKER_ROLES & set(own)]
    for role, other in (PAIR, PAIR[::-1]):
        own = [name for name in workers if role in roles[name]]
        if not own or any(kept[name] for name in own):
            continue
        serving = next((name for name in workers if other in roles[name] and kept[name]), None)
        # The component that has replicas already is kept before another one is started.
        candidates = [(d.current == 0, i) for i, d in enumerate(result) if d.component in own]
        if serving is None or not candidates:
            continue
        index = min(candidates)[1]
        decision = result[index]
        why = f"1 instead of 0: no request is served without it while {serving} has replicas"
        result[index] = decision.with_desired(1, f"{why}; {decision.numbers}")
        kept[decision.component] = 1
    return kept, result
