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

from ecs_dynamo.simulate.compare import (
    Setting,
    best,
    own_spec,
    peak_counts,
    run_clairvoyant,
    run_own,
    run_peers,
    run_static,
)
from ecs_dynamo.simulate.fleet import FleetSpec
from ecs_dynamo.simulate.recommend import candidates, recommend
from ecs_dynamo.simulate.report import markdown, plot_frontier, plot_history
from ecs_dynamo.simulate.run import Result
from ecs_dynamo.simulate.trace import GENERATORS, Trace, load_trace

OUT = Path(__file__).parents[2] / "docs" / "benchmarks"
GOAL = 0.99
TARGET = 2.0
LONG = frozenset({"month"})
"""Too long to be tuned over: defaults only."""


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


def compare(name: str, trace: Trace) -> dict[str, list[Result]]:
    """Every policy on one trace, in groups."""
    setting = Setting(trace, FleetSpec(), target=TARGET, miss=1.0 - GOAL)
    groups = {
        "own": [run_own(setting, own_spec(setting, policy)) for policy in ("slo", "queue")],
        "defaults": list(run_peers(setting, tuned=False)),
        "bounds": [
            run_static(setting, "static (peak, in hindsight)", peak_counts(setting)),
            run_clairvoyant(setting, GOAL),
        ],
    }
    if name not in LONG:
        groups["tuned"] = list(run_peers(setting, tuned=True, goal=GOAL))
        groups["own tuned"] = [recommend(list(candidates(setting)), GOAL).result]
    shown = [*groups["own"], *groups["bounds"], best(groups.get("tuned", groups["defaults"]), GOAL)]
    plot_history(trace, shown, OUT / f"scaling-{name}.png")
    every = [r for group in groups.values() for r in group]
    title = f"{trace.name}: queue time target {TARGET:g} s"
    plot_frontier(every, OUT / f"scaling-{name}-frontier.png", title)
    return groups


def versus(own: Result, peers: Sequence[Result], bound: Result) -> str:
    """Ours beside the best peer, in words."""
    peer = best(peers, GOAL)
    saved = 1 - own.gpu_hours / peer.gpu_hours
    text = (
        f"{own.policy.split(' ')[0]} {100 * own.attainment:.2f} % with {own.gpu_hours:.1f} GPU "
        f"hours; best peer {peer.policy} {100 * peer.attainment:.2f} % with {peer.gpu_hours:.1f}"
    )
    if own.attainment + 5e-5 >= min(peer.attainment, GOAL) and saved > 0:
        text += f": **holds**, {100 * saved:.0f} % fewer GPU hours"
        gap = peer.gpu_hours - bound.gpu_hours
        if gap > 0:
            share = (peer.gpu_hours - own.gpu_hours) / gap
            text += f", {100 * share:.0f} % of the gap to the clairvoyant closed"
    elif saved > 0:
        text += f": cheaper by {100 * saved:.0f} %, but attains less"
    else:
        text += f": **does not hold**, {-100 * saved:.0f} % more GPU hours"
    return text


def section(name: str, trace: Trace, groups: Mapping[str, Sequence[Result]]) -> str:
    """One trace's part of the document."""
    bound = groups["bounds"][1]
    lines = [
        f"## {name}: {len(trace):,} requests in {trace.seconds / 3600:.1f} h",
        f"- defaults: {versus(groups['own'][0], groups['defaults'], bound)}",
    ]
    if "tuned" in groups:
        tuned = versus(groups["own tuned"][0], groups["tuned"], bound)
        lines.append(f"- all tuned on this very trace: {tuned}")
    lines += [
        "",
        "Defaults:",
        "",
        markdown([*groups["own"], *groups["defaults"], *groups["bounds"]]),
    ]
    if "tuned" in groups:
        lines += [
            "Tuned in hindsight on this trace:",
            "",
            markdown([*groups["own tuned"], *groups["tuned"]]),
        ]
    lines += [
        f"![replicas over time](scaling-{name}.png)",
        f"![cost and latency](scaling-{name}-frontier.png)",
        "",
    ]
    return "\n".join(lines)


def overview(names: Sequence[str], kept: Mapping[str, Any]) -> str:
    """All policies with their defaults over all traces: attained, GPU hours."""
    policies = list(dict.fromkeys(p for name in names for p in kept[name]["defaults"]))
    lines = [
        "## All at once: with defaults",
        "",
        f"| policy | {' | '.join(names)} | goal met |",
        "|" + " --- |" * (len(names) + 2),
    ]
    for policy in policies:
        cells = [kept[name]["defaults"].get(policy) for name in names]
        texts = [f"{100 * c[0]:.1f} %, {c[1]:.0f} h" if c else "" for c in cells]
        met = sum(c[0] >= GOAL for c in cells if c)
        lines.append(f"| {policy} | {' | '.join(texts)} | {met} of {len(names)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, and write what was run; sections of traces not asked for stay as they are."""
    OUT.mkdir(parents=True, exist_ok=True)
    known = traces()
    asked = list(arguments if arguments is not None else sys.argv[1:]) or list(known)
    store = OUT / "scaling.json"
    kept: dict[str, Any] = json.loads(store.read_text()) if store.exists() else {}
    for name in asked:
        started = time.monotonic()
        trace = known[name]()
        groups = compare(name, trace)
        plain = [*groups["own"], *groups["defaults"], *groups["bounds"]]
        kept[name] = {
            "section": section(name, trace, groups),
            "defaults": {r.policy: [round(r.attainment, 4), round(r.gpu_hours, 1)] for r in plain},
        }
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        store.write_text(json.dumps(kept, indent=1) + "\n")
    head = (Path(__file__).parent / "HEAD.md").read_text()
    order = ["azure", "mooncake", *GENERATORS]
    names = [name for name in order if name in kept]
    body = "\n".join(kept[name]["section"] for name in names)
    (OUT / "scaling.md").write_text(f"{head}\n{overview(names, kept)}\n{body}")


if __name__ == "__main__":
    main()
