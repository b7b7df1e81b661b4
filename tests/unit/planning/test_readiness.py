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
    declared = graph()
    ecs, _ = converged(declared)
    observation = ecs.snapshot()
    frontend = declared.component("frontend")
    mute = replace(
        observation.components["frontend"],
        probes={
            k: replace(p, models=()) for k, p in observation.components["frontend"].probes.items()
        },
    )
    blank = replace(observation, components={**observation.components, "frontend": mute})
    assert ready_tasks(declared, frontend, observation)
    assert not ready_tasks(declared, frontend, blank)
    alone = replace(
        declared,
        components=tuple(replace(c, replicas=0) if c.is_worker else c for c in declared.components),
    )
    assert ready_tasks(alone, frontend, blank)
    assert ready_tasks(declared, frontend, replace(observation, components={})) == ()


def test_a_worker_is_not_lost_because_discovery_could_not_be_read() -> None:
    tasks = tuple(
        Task(f"t{i}", "td", "RUNNING", "RUNNING", private_ip="10.9.0.1") for i in range(3)
    )
    prefill = component("prefill", Role.PREFILL, mode="host")
    declared = replace(graph(), components=(prefill,))
    observation = SimulatedEcs(graph()).snapshot()
    part = replace(observation.components["prefill"], tasks=tasks, service=None)
    unread = replace(
        observation, components={"prefill": part}, registrations=Unknown("etcd is down")
    )
    assert len(ready_tasks(declared, prefill, unread)) == 3
    assert ready_tasks(declared, prefill, unread, proven=True) == ()
    gone = observe_graph(declared, replace(unread, components={})).counts(prefill)
    assert (gone.desired, gone.running, gone.ready) == (1, 0, 0)
