"""A graph loop with the daemon's own reconciler and planner, over a simulated observation."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ecs_dynamo import planning as planning_module
from ecs_dynamo.aws.server_clock import ServerClock
from ecs_dynamo.config import load_settings
from ecs_dynamo.controller.daemon.graph_file import GraphFile
from ecs_dynamo.controller.daemon.loop import GraphLoop
from ecs_dynamo.controller.reconcile.observer import Observation
from ecs_dynamo.controller.reconcile.reconciler import Reconciler
from ecs_dynamo.controller.telemetry.events import EventRing
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.snapshot import ComponentSnapshot, Snapshot, Unknown

ROOT = Path(__file__).parents[2]
SETTINGS = load_settings(
    {
        "ECS_DYNAMO_BACKOFF_MIN_SECONDS": "0.01",
        "ECS_DYNAMO_BACKOFF_MAX_SECONDS": "0.05",
        "ECS_DYNAMO_RESYNC_SECONDS": "0.05",
        "ECS_DYNAMO_SIGNAL_SECONDS": "0.05",
    }
)


class LoopRig:
    """A graph loop over a folder; planning raises for the replica counts in ``broken``."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = folder / "ecs-dynamo.yaml"
        self.broken: set[int] = set()
        self.planned: list[Graph] = []
        self.metrics = Metrics()
        file = GraphFile(self.path, {})
        aws: Any = SimpleNamespace(calls={}, clock=ServerClock())  # No method is called.
        reconciler = Reconciler(file.graph, aws, SETTINGS)
        observer: Any = SimpleNamespace(observe=self._observe)
        reconciler._observer = observer
        plan = planning_module.plan

        def planning(graph: Graph, *rest: Any) -> Any:
            self.planned.append(graph)
            if graph.component("prefill").replicas in self.broken:
                raise ZeroDivisionError("boom")
            return plan(graph, *rest)

        monkeypatch.setattr("ecs_dynamo.controller.reconcile.reconciler.plan", planning)
        self.loop = GraphLoop(file, reconciler, SETTINGS, self.metrics, EventRing())

    async def _observe(self, graph: Graph, now: Any, *_: Any) -> Observation:
        at = now if isinstance(now, float) else now.wall
        unknown = ComponentSnapshot(Unknown("not observed in this test"))
        return Observation(Snapshot(graph.name, at, {c.name: unknown for c in graph.components}))

    def edit(self, replicas: int) -> None:
        """Declare a number of prefill replicas in the graph file."""
        document = yaml.safe_load(self.path.read_text())
        prefill = next(c for c in document["components"] if c["name"] == "prefill")
        prefill["replicas"] = replicas
        prefill.pop("scaling", None)
        self.path.write_text(yaml.safe_dump(document))

    @property
    def replicas(self) -> int:
        """The number of prefill replicas that was planned last."""
        return self.planned[-1].component("prefill").replicas

    async def passes(self, count: int = 3) -> None:
        """Wait until ``count`` more passes have started."""
        before = len(self.planned)
        async with asyncio.timeout(10):
            while len(self.planned) < before + count:
                assert not self.task.done(), self.task
                self.loop.wake()
                await asyncio.sleep(0.01)

    def condition(self) -> dict[str, Any] | None:
        """The condition ReconcileFailed in the status, which must be valid JSON."""
        status = json.loads(json.dumps(self.loop.status()))
        conditions = status.get("conditions", [])
        return next((c for c in conditions if c["type"] == "ReconcileFailed"), None)

    def gauge(self) -> str:
        """The value of the condition ReconcileFailed in the metrics."""
        lines = self.metrics.text().decode().splitlines()
        return next(line.rsplit(" ", 1)[1] for line in lines if 'type="ReconcileFailed"' in line)

    async def __aenter__(self) -> LoopRig:
        self.task = asyncio.create_task(self.loop.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.loop.stop()
        await asyncio.wait_for(self.task, 10)
