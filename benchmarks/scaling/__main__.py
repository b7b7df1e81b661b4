"""All scaling policies over all traces: `python -m benchmarks.scaling [trace ...]`.

Writes the tables and plots of docs/benchmarks/scaling.md. The two public traces are read from the
folder in ECS_DYNAMO_TRACES (azure-2023-conv.csv.gz, mooncake-conversation.csv.gz; their sources are
named in the document) and left out where it is not set; the others are generated.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scaling.document import GOAL, document
from ecs_dynamo.simulate.compare import (
    Setting,
    best,
    default_spec,
    peak_counts,
    run_clairvoyants,
    run_frontier,
    run_grid,
    run_peers,
    run_policy,
    run_static,
)
from ecs_dynamo.simulate.fleet import FleetSpec
from ecs_dynamo.simulate.peers import PEERS
from ecs_dynamo.simulate.report import markdown, plot_frontier, plot_history
from ecs_dynamo.simulate.run import Result
from ecs_dynamo.simulate.trace import GENERATORS, Trace, load_trace

OUT = Path(__file__).parents[2] / "docs" / "benchmarks"
TARGET = 2.0
LONG = frozenset({"month"})
"""Too long to be tuned over: defaults only."""
SHORT_SECONDS = 2 * 3600.0
REPEATS = 3
"""Runs over a trace of an hour, each with other luck in cold starts: one would be a lottery."""


def traces() -> Mapping[str, Callable[[], Trace]]:
    """The traces by name; loaded when they are wanted."""
    found: dict[str, Callable[[], Trace]] = {}
    folder = os.environ.get("ECS_DYNAMO_TRACES")
    if folder is not None:
        azure, mooncake = (
            Path(folder) / f"{name}.csv.gz" for name in ("azure-2023-conv", "mooncake-conversation")
        )
        found["azure"] = lambda: load_trace(azure).scaled(6)
        found["mooncake"] = lambda: load_trace(mooncake)
    for name, make in GENERATORS.items():
        found[name] = lambda make=make: make(7)  # type: ignore[misc]  # mypy can't type the default
    return found


def point(result: Result) -> list[float]:
    """(attainment, GPU hours)."""
    return [round(result.attainment, 5), round(result.gpu_hours, 2)]


def compare(name: str, trace: Trace) -> dict[str, Any]:
    """Every policy on one trace: what the document is made of."""
    short = trace.seconds <= SHORT_SECONDS
    repeats = REPEATS if short else 1
    setting = Setting(trace, FleetSpec(), target=TARGET, miss=1.0 - GOAL, repeats=repeats)
    started = time.monotonic()
    slo = run_policy(setting, default_spec(setting, "slo"))
    seconds = (time.monotonic() - started) / repeats
    own = [slo, run_policy(setting, default_spec(setting, "queue"))]
    peers = list(run_peers(setting))
    bounds = list(run_clairvoyants(setting, every=short))
    static = run_static(setting, "static (peak, in hindsight)", peak_counts(setting))
    bound = best(bounds, GOAL)
    every = [*own, *peers, static, bound]
    kept: dict[str, Any] = {
        "requests": len(trace),
        "hours": trace.seconds / 3600,
        "seconds": round(seconds, 2),
        "table": markdown(every),
        "defaults": {r.policy: point(r) for r in every},
        "bounds": [point(r) for r in bounds],
        "peers": list(PEERS),
    }
    shown = [*own, static, bound, best(peers, GOAL)]
    if name not in LONG:
        frontier = list(run_frontier(setting))
        grids = {peer: list(run_grid(setting, peer)) for peer in PEERS}
        kept["frontier"] = [[*point(r), r.policy] for r in frontier]
        kept["grids"] = {p: {pair: point(r) for pair, r in grid} for p, grid in grids.items()}
        tuned = [best([r for _, r in grid], GOAL) for grid in grids.values()]
        kept["tuned"] = markdown([best(frontier, GOAL), *tuned])
        shown[-1] = best(tuned, GOAL)
        every += [r for grid in grids.values() for _, r in grid] + frontier
    every += bounds
    plot_history(trace, shown, OUT / f"scaling-{name}.png")
    title = f"{trace.name}: queue time target {TARGET:g} s"
    plot_frontier(every, OUT / f"scaling-{name}-frontier.png", title)
    return kept


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, and write what was run; sections of traces not asked for stay as they are."""
    OUT.mkdir(parents=True, exist_ok=True)
    known = traces()
    asked = list(arguments if arguments is not None else sys.argv[1:]) or list(known)
    store = OUT / "scaling.json"
    kept: dict[str, Any] = json.loads(store.read_text()) if store.exists() else {}
    for name in asked:
        started = time.monotonic()
        kept[name] = compare(name, known[name]())
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        store.write_text(json.dumps(kept, separators=(",", ":")) + "\n")
    order = [name for name in ("azure", "mooncake", *GENERATORS) if name in kept]
    text = document({name: kept[name] for name in order})
    (OUT / "scaling.md").write_text(text)


if __name__ == "__main__":
    main()
