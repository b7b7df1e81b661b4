"""When etcd is lost, the old side gives way before it ends by itself."""

from __future__ import annotations

import pytest

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Memory, ProtectTasks
from ecs_dynamo.planning.rollout.handover.freshness import FOUND_SECONDS
from tests.helpers import simulated_scheduler
from tests.helpers.convergence import (
    converge,
    run_pass,
)
from tests.helpers.graphs import (
    graph,
    with_image,
)
from tests.helpers.simulated_ecs import SimulatedEcs

LEASE = 30.0
"""Dynamo's own: an orphan exits some 27 s after its etcd."""


def seconds_until_frontends_go(ecs: SimulatedEcs, declared: Graph, memory: Memory) -> float:
    """From the first moment in which every new replica is ready to that in which the old
    frontends are released."""
    whole: float | None = None
    for _ in range(120):
        result = run_pass(ecs, declared, memory, seconds=1.0)
        memory = result.memory
        services = [s for s in ecs.services.values() if s.name != "g-etcd-nats"]
        new = [t for s in services for t in ecs.serving(s.name.removeprefix("g-"))]
        new = [t for t in new if t.revision.endswith(":2")]
        if whole is None and len(new) == sum(s.desired for s in services):
            whole = ecs.now
        if any(
            isinstance(a, ProtectTasks) and a.component == "frontend" and a.minutes is None
            for a in result.actions
        ):
            assert whole is not None, "released before the new side was whole"
            return ecs.now - whole
    raise AssertionError("the old frontends were never released")


@pytest.mark.parametrize("dies", [True, False])
def test_old_frontends_go_before_their_workers_end(
    monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    """If an etcd is replaced while the old one runs, the old side lives on: there a new replica has
    to prove itself for a lease."""
    monkeypatch.setattr(simulated_scheduler, "EXIT_AFTER_LOST_ETCD", 27)  # Ticks of one second.
    declared = graph(prefill=2, decode=2)
    ecs = SimulatedEcs(declared, gpu_instances=8)
    memory = converge(ecs, declared, Memory(started_at=ecs.now)).memory
    if dies:
        ecs.kill("etcd-nats")
    else:
        declared = with_image(declared, "etcd-nats", "etcd:2")
        ecs.graph = declared
    taken = seconds_until_frontends_go(ecs, declared, memory)
    if dies:
        assert FOUND_SECONDS - 1 <= taken <= FOUND_SECONDS + 3
    else:
        assert taken >= LEASE - 2
    converge(ecs, declared, memory)
