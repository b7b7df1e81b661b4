"""Generation of docs/benchmarks/scaling.md from the benchmark's stored results (scaling.json)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

GOAL = 0.99
LEVELS = (0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)
HEAD = Path(__file__).parent / "HEAD.md"


class Point(NamedTuple):
    """The outcome of one run. ``attained`` is a share, ``settings`` a text."""

    attained: float
    hours: float
    settings: str = ""

    @property
    def text(self) -> str:
        return f"{100 * self.attained:.1f} %, {self.hours:.0f} h"


class TraceResults:
    """The stored results of one trace."""

    def __init__(self, name: str, stored: Mapping[str, Any]) -> None:
        self.name = name
        self.requests: int = stored["requests"]
        self.hours: float = stored["hours"]
        self.seconds: float = stored["seconds"]
        self.table: str = stored["table"]
        self.tuned: str | None = stored.get("tuned")
        self.peers: Sequence[str] = stored["peers"]
        self.defaults = {policy: Point(*p) for policy, p in stored["defaults"].items()}
        self.bounds = [Point(*p) for p in stored["bounds"]]
        self.frontier = [Point(*p) for p in stored.get("frontier", ())]
        self.grids = {
            peer: {pair: Point(p[0], p[1], f"{peer} {pair}") for pair, p in grid.items()}
            for peer, grid in stored.get("grids", {}).items()
        }

    @property
    def peer_points(self) -> list[Point]:
        """All results of all peers."""
        return [point for grid in self.grids.values() for point in grid.values()]


def cheapest(points: Iterable[Point], attained: float) -> Point | None:
    """Return the point with the fewest hours that attains at least as much, if there is one."""
    attaining = [p for p in points if p.attained >= attained]
    return min(attaining, key=lambda p: p.hours) if attaining else None


def best_key(points: Mapping[str, Point], goal: float = GOAL) -> str:
    """Return the key of the cheapest point that attains the goal, or of the nearest to it."""
    attaining = [k for k, p in points.items() if p.attained >= goal]
    if attaining:
        return min(attaining, key=lambda k: points[k].hours)
    return max(points, key=lambda k: points[k].attained)


def percent(share: float) -> str:
    """Return a share as text."""
    return f"{100 * share:.2f} %"


def headline(results: TraceResults) -> list[str]:
    """Compare slo with the best peer, with defaults and at equal attainment."""
    lines = [_defaults_line(results)]
    return [*lines, _equal_attainment_line(results)] if results.grids else lines


def _defaults_line(results: TraceResults) -> str:
    peer = best_key({p: results.defaults[p] for p in results.peers})
    slo, other = results.defaults["slo"], results.defaults[peer]
    saved = 1 - slo.hours / other.hours
    text = (
        f"- **defaults**: slo {percent(slo.attained)}, {slo.hours:.1f} GPU hours; best peer {peer} "
        f"{percent(other.attained)}, {other.hours:.1f}: "
    )
    if slo.attained >= min(other.attained, GOAL) and saved > 0:
        text += f"**holds**, {100 * saved:.0f} % fewer GPU hours"
    elif slo.attained >= other.attained:
        text += f"attains more, for {-100 * saved:.0f} % more GPU hours"
    else:
        text += "**does not hold**"
    return text + ("" if slo.attained >= GOAL else " (slo misses the goal)")


def _equal_attainment_line(results: TraceResults) -> str:
    points = results.peer_points
    goal = GOAL
    peer = cheapest(points, goal)
    if peer is None:
        peer = max(points, key=lambda p: (p.attained, -p.hours))
        goal = peer.attained
    slo = cheapest(results.frontier, goal)
    text = f"- **equal attainment**, both tuned on this very trace, at {percent(goal)}: best peer "
    text += f"{peer.settings} {peer.hours:.1f} GPU hours; slo "
    if slo is None:
        return text + "does not reach it: **does not hold**"
    saved = 1 - slo.hours / peer.hours
    text += f"{slo.hours:.1f}: "
    text += "**holds**, " if saved > 0 else "**does not hold**, "
    text += f"{100 * abs(saved):.0f} % {'fewer' if saved > 0 else 'more'}"
    bound = cheapest(results.bounds, goal)
    if bound is not None and saved > 0 and peer.hours > bound.hours:
        share = (peer.hours - slo.hours) / (peer.hours - bound.hours)
        text += f", {100 * share:.0f} % of the gap to the clairvoyant closed"
    return text


def levels(results: TraceResults) -> str:
    """Return a table of the cost of several levels of attainment."""
    lines = [
        "| attained at least | best peer, tuned in hindsight | GPU hours | "
        "slo, tuned in hindsight | difference | clairvoyant | gap closed |",
        "|" + " --- |" * 7,
    ]
    for level in LEVELS:
        peer = cheapest(results.peer_points, level)
        slo, bound = cheapest(results.frontier, level), cheapest(results.bounds, level)
        name, hours = (peer.settings, f"{peer.hours:.1f}") if peer else ("none", "")
        slo_hours = f"{slo.hours:.1f}" if slo else "not reached"
        bound_hours = f"{bound.hours:.1f}" if bound else ""
        difference = share = ""
        if peer and slo:
            difference = f"{100 * (slo.hours / peer.hours - 1):+.0f} %"
            if bound and slo.hours < peer.hours and bound.hours < peer.hours:
                share = f"{100 * (peer.hours - slo.hours) / (peer.hours - bound.hours):.0f} %"
        lines.append(
            f"| {100 * level:g} % | {name} | {hours} | {slo_hours} | {difference} | "
            f"{bound_hours} | {share} |"
        )
    return "\n".join(lines) + "\n"


def per_peer(results: TraceResults) -> str:
    """Return a table of the cost at which slo attains as much as each peer."""
    lines = [
        "| peer | its defaults | slo for equal attainment | settings tried | attain 90 % | "
        "slo is cheaper for |",
        "|" + " --- |" * 6,
    ]
    for peer in results.peers:
        default = results.defaults[peer]
        slo = cheapest(results.frontier, default.attained)
        cost = (
            f"{slo.hours:.1f} h ({100 * (slo.hours / default.hours - 1):+.0f} %)"
            if slo
            else "not reached"
        )
        grid = list(results.grids[peer].values())
        able = [p for p in grid if p.attained >= 0.9]
        needed = [cheapest(results.frontier, p.attained) for p in able]
        cheaper = sum(
            s is not None and s.hours < p.hours for s, p in zip(needed, able, strict=True)
        )
        lines.append(
            f"| {peer} | {percent(default.attained)}, {default.hours:.1f} h | {cost} | "
            f"{len(grid)} | {len(able)} | {cheaper} |"
        )
    return "\n".join(lines) + "\n"


def tuned_on_other_traces(every: Sequence[TraceResults]) -> str:
    """Return a table of peers with the settings that are best on the other traces."""
    traces = [results for results in every if results.grids]
    names = [results.name for results in traces]
    lines = [
        "## Tuned on the other traces",
        "Nobody can tune on future traffic. In this table, each peer has for each trace the "
        f"cheapest of the settings that attain {100 * GOAL:g} % on average over the *other* traces "
        "(or the settings nearest to that); slo has its defaults.",
        "",
        f"| policy | {' | '.join(names)} | goal met | mean attained |",
        "|" + " --- |" * (len(names) + 3),
    ]

    def line(policy: str, points: Sequence[Point]) -> str:
        cells = [p.text for p in points]
        met = sum(p.attained >= GOAL for p in points)
        mean = sum(p.attained for p in points) / len(points)
        return f"| {policy} | {' | '.join(cells)} | {met} of {len(names)} | {100 * mean:.1f} % |"

    lines.append(line("slo", [results.defaults["slo"] for results in traces]))
    for peer in traces[0].peers if traces else ():
        points = []
        for results in traces:
            others = [other.grids[peer] for other in traces if other is not results]
            means = {
                pair: Point(
                    sum(grid[pair].attained for grid in others) / max(len(others), 1),
                    sum(math.log(grid[pair].hours) for grid in others),
                )
                for pair in results.grids[peer]
            }
            points.append(results.grids[peer][best_key(means)])
        lines.append(line(peer, points))
    return "\n".join(lines) + "\n"


def overview(every: Sequence[TraceResults]) -> str:
    """Return a table of all policies with their defaults over all traces."""
    names = [results.name for results in every]
    policies = list(dict.fromkeys(policy for results in every for policy in results.defaults))
    lines = [
        "## All traces, with defaults",
        "",
        f"| policy | {' | '.join(names)} | goal met |",
        "|" + " --- |" * (len(names) + 2),
    ]
    for policy in policies:
        points = [results.defaults.get(policy) for results in every]
        texts = [p.text if p else "" for p in points]
        met = sum(p.attained >= GOAL for p in points if p)
        lines.append(f"| {policy} | {' | '.join(texts)} | {met} of {len(names)} |")
    return "\n".join(lines) + "\n"


def section(results: TraceResults) -> str:
    """Return the part of the document about one trace."""
    name = results.name
    lines = [
        f"## {name}: {results.requests:,} requests in {results.hours:.1f} h",
        *headline(results),
        f"- one run of slo over the trace takes {results.seconds:.1f} s on one core",
        "",
    ]
    if results.grids:
        lines += ["Equal attainment:", "", levels(results), per_peer(results)]
    lines += ["Defaults:", "", results.table]
    if results.tuned is not None:
        lines += [f"Tuned in hindsight for {100 * GOAL:g} % on this trace:", "", results.tuned]
    lines += [
        f"![replicas over time](scaling-{name}.png)",
        f"![cost and latency](scaling-{name}-frontier.png)",
        "",
    ]
    return "\n".join(lines)


def document(stored: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the complete page for the stored results by trace name."""
    every = [TraceResults(name, results) for name, results in stored.items()]
    parts = [HEAD.read_text(), overview(every), tuned_on_other_traces(every)]
    return "\n".join([*parts, *(section(results) for results in every)])
