"""Readiness of frontends and workers."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.snapshot import (
    Task,
    Unknown,
)
from ecs_dynamo.planning.observed.facts import observe_graph
from tests.helpers.convergence import (
    converged,
)
from tests.helpers.facts import ready_tasks
from tests.helpers.graphs import (
    component,
    graph,
)
from tests.helpers.simulated_ecs import SimulatedEcs


def test_a_frontend_without_a_model_is_not_ready_unless_nothing_could_serve() -> None:
    wanted = graph()
    ecs, _ = converged(wanted)
    seen = ecs.snapshot()
    frontend = wanted.component("frontend")
    mute = replace(
        seen.components["frontend"],
        probes={k: replace(p, models=()) for k, p in seen.components["frontend"].probes.items()},
    )
    blank = replace(seen, components={**seen.components, "frontend": mute})
    assert ready_tasks(wanted, frontend, seen)
    assert not ready_tasks(wanted, frontend, blank)
    alone = replace(
        wanted,
        components=tuple(replace(c, replicas=0) if c.is_worker else c for c in wanted.components),
    )
    assert ready_tasks(alone, frontend, blank)
    assert ready_tasks(wanted, frontend, replace(seen, components={})) == ()


def test_a_worker_is_not_lost_because_discovery_could_not_be_read() -> None:
    tasks = tuple(
        Task(f"t{i}", "td", "RUNNING", "RUNNING", private_ip="10.9.0.1") for i in range(3)
    )
    prefill = component("prefill", Role.PREFILL, mode="host")
    wanted = replace(graph(), components=(prefill,))
    seen = SimulatedEcs(graph()).snapshot()
    part = replace(seen.components["prefill"], tasks=tasks, service=None)
    unread = replace(seen, components={"prefill": part}, registrations=Unknown("etcd is down"))
    assert len(ready_tasks(wanted, prefill, unread)) == 3
    assert ready_tasks(wanted, prefill, unread, proven=True) == ()
    gone = observe_graph(wanted, replace(unread, components={})).counts(prefill)
    assert (gone.desired, gone.running, gone.ready) == (1, 0, 0)
