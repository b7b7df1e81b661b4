"""The benchmark of scaling policies over traces: `python -m benchmarks.scaling [trace ...]`.

It writes the tables and plots of docs/benchmarks/scaling.md. Two public traces are read from the
folder ECS_DYNAMO_TRACES (azure-2023-conv.csv.gz and mooncake-conversation.csv.gz, whose sources the
document names) and left out if it is not set. The other traces are generated.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
from ecs_dynamo.simulate.peers.registry import PEERS
from ecs_dynamo.simulate.report import markdown, plot_frontier, plot_history
from ecs_dynamo.simulate.run import Result
from ecs_dynamo.simulate.trace import GENERATORS, Trace, load_trace

OUT = Path(__file__).parents[2] / "docs" / "benchmarks"
TARGET = 2.0
LONG = frozenset({"month"})
"""Traces too long for tuning; policies run with their defaults only."""
SHORT_SECONDS = 2 * 3600.0
REPEATS = 3
"""Runs over a short trace, each with another seed: a single cold start can change one run."""


def traces() -> Mapping[str, Callable[[], Trace]]:
    """Return functions that load or generate the traces, by name."""
    loaders: dict[str, Callable[[], Trace]] = {}
    folder = os.environ.get("ECS_DYNAMO_TRACES")
    if folder is not None:
        azure, mooncake = (
            Path(folder) / f"{name}.csv.gz" for name in ("azure-2023-conv", "mooncake-conversation")
        )
        loaders["azure"] = lambda: load_trace(azure).scaled(6)
        loaders["mooncake"] = lambda: load_trace(mooncake)
    return loaders | {name: partial(generate, 7) for name, generate in GENERATORS.items()}


def point(result: Result) -> list[float]:
    """Return [attainment, GPU hours], as scaling.json stores them."""
    return [round(result.attainment, 5), round(result.gpu_hours, 2)]


def compare(name: str, trace: Trace) -> dict[str, Any]:
    """Run every policy over one trace, draw its plots and return the results for scaling.json."""
    short = trace.seconds <= SHORT_SECONDS
    repeats = REPEATS if short else 1
    setting = Setting(trace, FleetSpec(), target=TARGET, miss=1.0 - GOAL, repeats=repeats)
    started = time.monotonic()
    slo = run_policy(setting, default_spec(setting, "slo"))
    seconds = (time.monotonic() - started) / repeats
    production = [slo, run_policy(setting, default_spec(setting, "queue"))]
    peers = list(run_peers(setting))
    bounds = list(run_clairvoyants(setting, every=short))
    static = run_static(setting, "static (peak, in hindsight)", peak_counts(setting))
    bound = best(bounds, GOAL)
    every = [*production, *peers, static, bound]
    stored: dict[str, Any] = {
        "requests": len(trace),
        "hours": trace.seconds / 3600,
        "seconds": round(seconds, 2),
        "table": markdown(every),
        "defaults": {r.policy: point(r) for r in every},
        "bounds": [point(r) for r in bounds],
        "peers": list(PEERS),
    }
    plotted = [*production, static, bound, best(peers, GOAL)]
    if name not in LONG:
        frontier = list(run_frontier(setting))
        grids = {peer: list(run_grid(setting, peer)) for peer in PEERS}
        stored["frontier"] = [[*point(r), r.policy] for r in frontier]
        stored["grids"] = {p: {pair: point(r) for pair, r in grid} for p, grid in grids.items()}
        tuned = [best([r for _, r in grid], GOAL) for grid in grids.values()]
        stored["tuned"] = markdown([best(frontier, GOAL), *tuned])
        plotted[-1] = best(tuned, GOAL)
        every += [r for grid in grids.values() for _, r in grid] + frontier
    every += bounds
    plot_history(trace, plotted, OUT / f"scaling-{name}.png")
    title = f"{trace.name}: queue time target {TARGET:g} s"
    plot_frontier(every, OUT / f"scaling-{name}-frontier.png", title)
    return stored


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the named traces (default: all). The document keeps the results of other traces."""
    OUT.mkdir(parents=True, exist_ok=True)
    known = traces()
    names = list(arguments if arguments is not None else sys.argv[1:]) or list(known)
    store = OUT / "scaling.json"
    stored: dict[str, Any] = json.loads(store.read_text()) if store.exists() else {}
    for name in names:
        started = time.monotonic()
        stored[name] = compare(name, known[name]())
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        store.write_text(json.dumps(stored, separators=(",", ":")) + "\n")
    order = [name for name in ("azure", "mooncake", *GENERATORS) if name in stored]
    text = document({name: stored[name] for name in order})
    (OUT / "scaling.md").write_text(text)


if __name__ == "__main__":
    main()
