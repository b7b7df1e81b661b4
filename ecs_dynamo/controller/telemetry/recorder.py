"""Recording of the demand, one line per pass, which `ecs-dynamo simulate` can replay."""

from __future__ import annotations

from pathlib import Path

import structlog

from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.model.snapshot import SignalKind

_log = structlog.get_logger(__name__)

HEADER = "at,seconds,requests,prompt_tokens,output_tokens\n"
MAX_GAP_SECONDS = 900.0
"""After a longer pause between passes the daemon was not running: the demand is unknown."""


class Recorder:
    """Appends to ``<directory>/<graph>.csv``. A disk error is logged, never raised."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._last: dict[str, float] = {}

    def record(self, done: Pass) -> None:
        """Record a pass: the graph's rates, multiplied by the seconds since the previous pass."""
        graph, now = done.plan.graph, done.now.monotonic
        rates = {
            s.kind: s.value
            for s in done.snapshot.signals
            if s.source == "frontend" and s.observed_at == now
        }
        if SignalKind.ARRIVAL_RATE not in rates:
            return
        before, self._last[graph] = self._last.get(graph), now
        if before is None or not 0 < now - before <= MAX_GAP_SECONDS:
            return
        kinds = (
            SignalKind.ARRIVAL_RATE,
            SignalKind.PROMPT_RATE,
            SignalKind.OUTPUT_RATE,
        )
        seconds = now - before
        totals = ",".join(f"{rates.get(kind, 0.0) * seconds:.1f}" for kind in kinds)
        path = self._directory / f"{graph}.csv"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as out:
                if out.tell() == 0:
                    out.write(HEADER)
                out.write(f"{done.at:.3f},{seconds:.3f},{totals}\n")
        except OSError as error:
            _log.warning("failed to record the demand", file=str(path), error=str(error))
