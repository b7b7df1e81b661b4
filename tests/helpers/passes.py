"""Passes over a simulated account, without a reconciler."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.controller.reconcile.last_known import NOTHING_KNOWN, LastKnown
from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Plan
from ecs_dynamo.model.snapshot import ComponentSnapshot, Snapshot, Unknown
from ecs_dynamo.planning import plan
from tests.helpers.convergence import converged
from tests.helpers.graphs import graph

FROZEN = Unknown("services took longer than 20 s (DescribeServices: Unreachable: AWS)")


class SimulatedPasses:
    """Passes over a converged graph; some of them observe an AWS that does not answer."""

    def __init__(self) -> None:
        self.graph: Graph = graph(prefill=2)
        self.ecs, self.memory = converged(self.graph)
        self.known: LastKnown = NOTHING_KNOWN

    def run(self, later: float = 0.0, *, frozen: bool = False, unread: bool = False) -> Pass:
        self.ecs.now += later
        observed = self.ecs.snapshot()
        if frozen:
            nothing = ComponentSnapshot(service=FROZEN, tasks=FROZEN)
            observed = Snapshot(
                graph=observed.graph,
                observed_at=observed.observed_at,
                components=dict.fromkeys(observed.components, nothing),
                clusters=dict.fromkeys(observed.clusters, FROZEN),
                orphans=FROZEN,
                registrations=Unknown("no etcd replica answers"),
            )
        if unread:
            observed = replace(observed, registrations=Unknown("etcd: timed out"))
        now: Now = self.ecs.clock
        result: Plan = plan(self.graph, observed, self.memory, now)
        self.memory = result.memory
        self.known = self.known.after(self.graph, observed, result, now)
        return Pass("p", now, 0.1, observed, result, known=self.known)
