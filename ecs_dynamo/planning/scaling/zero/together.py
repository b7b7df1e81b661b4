"""The roles of a graph scale to zero and back together.

A request needs prefill and decode. Dynamo refuses it while one of them has no worker (503, measured
on 1.6.1), so a role at zero beside a role with replicas costs GPU time and serves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecs_dynamo.model.graph import WORKER_ROLES, Component, Role
from ecs_dynamo.model.plan import Decision

PAIR = (Role.PREFILL, Role.DECODE)
"""Roles that serve only together. An aggregated worker serves alone."""


def keep_together(
    components: Sequence[Component], counts: Mapping[str, int], decisions: Sequence[Decision]
) -> tuple[dict[str, int], list[Decision]]:
    """Return counts and decisions in which no role is at zero while its counterpart has replicas.

    One replica is decided instead of zero, for a component that scales.
    """
    kept, result = dict(counts), list(decisions)
    if any(counts.get(c.name, 0) > 0 for c in components if Role.WORKER in c.roles):
        return kept, result
    workers = [c for c in components if c.name in counts and c.roles & WORKER_ROLES]
    for role, other in (PAIR, PAIR[::-1]):
        own = [c.name for c in workers if role in c.roles]
        if not own or any(kept[name] for name in own):
            continue
        serving = next((c.name for c in workers if other in c.roles and kept[c.name]), None)
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
