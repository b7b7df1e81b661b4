"""Whether the graph can serve any request at all.

It can with a ready frontend and a ready worker of each kind that it runs. A graph that has served
before and no longer can is `Degraded`, whatever the cause: lost replicas, a rollout, insufficient
capacity, or a lost etcd.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from ecs_dynamo.model.dynamo.registration import discovery_components
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.memory.health import HealthMemory
from ecs_dynamo.model.service import good_number
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.healing.health import (
    Health,
    is_confirmed,
    longest_detection_seconds,
    quick_detection_seconds,
)
from ecs_dynamo.planning.observed.readiness import ready_tasks


def _is_needed(state: ComponentState, memory: HealthMemory) -> bool:
    """Whether requests need a replica of it; one that scaled up from zero may still be starting."""
    component = state.component
    if not state.desired or not (component.is_worker or component.is_frontend):
        return False
    started = component.scaling is None or component.scaling.min > 0
    return started or bool(memory.ready_baseline.get(component.name))


def _has_working_replica(
    graph: Graph, state: ComponentState, snapshot: Snapshot, health: Health, now: float
) -> bool:
    """Whether some replica of it is ready and not reported as hanging."""
    ready = ready_tasks(graph, state.component, snapshot)
    suspects = health.suspects(ready)
    notice = longest_detection_seconds(graph, state, suspects.keys())
    return any(
        t.arn not in suspects or not is_confirmed(suspects[t.arn], now, notice) for t in ready
    )


def _missing_kinds(needed: Iterable[ComponentState], working: Collection[str]) -> str | None:
    """Which needed kinds have no working replica, in words; None where all have one."""
    frontends: list[str] = []
    workers: dict[str, list[str]] = {}
    for one in needed:
        name = one.component.name
        if one.component.is_frontend:
            frontends.append(name)
        for kind in discovery_components(one.component):
            workers.setdefault(kind, []).append(name)
    missing = [
        f"no replica of {' or '.join(names)} is ready"
        for names in (frontends, *workers.values())
        if names and not any(name in working for name in names)
    ]
    return "; ".join(dict.fromkeys(missing)) or None


def assess_serving(
    graph: Graph,
    wanted: Iterable[ComponentState],
    snapshot: Snapshot,
    health: Health,
    now: float,
    unseen: Collection[str],
) -> tuple[str | None, HealthMemory]:
    """Why the graph serves nobody, if it served before and that has lasted; and the memory.

    ``unseen``: components that could not be observed. While one of them is needed, the last
    assessment is carried over. ``now`` is on the monotonic clock.
    """
    memory = health.memory
    needed = [w for w in wanted if _is_needed(w, memory)]
    if not any(w.component.is_frontend for w in needed):
        return None, replace(memory, unserved_since=None)
    notice, since = quick_detection_seconds(graph.runtime.lease_seconds), memory.unserved_since
    if any(w.component.name in unseen for w in needed):
        lasts = since is not None and now - since >= notice
        return ("it did not, when it was observed last" if lasts else None), memory
    working = {
        w.component.name for w in needed if _has_working_replica(graph, w, snapshot, health, now)
    }
    why = _missing_kinds(needed, working)
    if why is None:
        return None, replace(memory, served=True, unserved_since=None)
    if not memory.served and any(good_number(w.service) is None for w in needed):
        return None, replace(memory, unserved_since=None)
    since = now if since is None else since
    return (why if now - since >= notice else None), replace(memory, unserved_since=since)
