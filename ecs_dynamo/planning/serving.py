"""Whether the graph serves anybody at all.

It does with a ready frontend, and a ready worker of each kind that it runs. A graph that came up
once and does not is `Degraded` whatever the reason: lost replicas, a rollout, a lack of places, an
etcd that is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.health import HealthMemory
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.attribution import discovery_components
from ecs_dynamo.planning.health import Health, is_told, longest_notice, quick_notice_seconds
from ecs_dynamo.planning.readiness import ready_tasks
from ecs_dynamo.planning.wanted import Wanted, good_number

SERVES_NOBODY = "ServesNobody"
"""Reason word of Degraded, for the graph."""


def _is_needed(wanted: Wanted, memory: HealthMemory) -> bool:
    """A request takes a replica of it. One that scaling had at zero is still on its way."""
    component = wanted.component
    if not wanted.desired or not (component.is_worker or component.is_frontend):
        return False
    started = component.scaling is None or component.scaling.min > 0
    return started or bool(memory.staff.get(component.name))


def _well(graph: Graph, wanted: Wanted, snapshot: Snapshot, health: Health, now: float) -> bool:
    """Some replica of it is ready, and is not told of as hanging."""
    ready = ready_tasks(graph, wanted.component, snapshot)
    suspects = health.suspects(ready)
    notice = longest_notice(graph, wanted, suspects.keys())
    return any(t.arn not in suspects or not is_told(suspects[t.arn], now, notice) for t in ready)


def _lacking(needed: Iterable[Wanted], well: Collection[str]) -> str | None:
    """What of that which a request takes has no replica; None where all have."""
    frontends: list[str] = []
    workers: dict[str, list[str]] = {}
    for one in needed:
        name = one.component.name
        if one.component.is_frontend:
            frontends.append(name)
        for kind in discovery_components(one.component):
            workers.setdefault(kind, []).append(name)
    told = [
        f"no replica of {' or '.join(names)} is ready"
        for names in (frontends, *workers.values())
        if names and not any(name in well for name in names)
    ]
    return "; ".join(dict.fromkeys(told)) or None


def look_whether_served(
    graph: Graph,
    wanted: Iterable[Wanted],
    snapshot: Snapshot,
    health: Health,
    now: float,
    unseen: Collection[str],
) -> tuple[str | None, HealthMemory]:
    """Why the graph serves nobody, once that has lasted and it served before; and the memory.

    ``unseen``: components that could not be observed. While one of those is needed, it is as it
    was last. ``now`` is on the monotonic clock.
    """
    memory = health.memory
    needed = [w for w in wanted if _is_needed(w, memory)]
    if not any(w.component.is_frontend for w in needed):
        return None, replace(memory, nobody_since=None)
    notice, since = quick_notice_seconds(graph.runtime.lease_seconds), memory.nobody_since
    if any(w.component.name in unseen for w in needed):
        lasts = since is not None and now - since >= notice
        return ("it did not, when it was observed last" if lasts else None), memory
    well = {w.component.name for w in needed if _well(graph, w, snapshot, health, now)}
    why = _lacking(needed, well)
    if why is None:
        return None, replace(memory, served=True, nobody_since=None)
    if not memory.served and any(good_number(w.service) is None for w in needed):
        return None, replace(memory, nobody_since=None)
    since = now if since is None else since
    return (why if now - since >= notice else None), replace(memory, nobody_since=since)
