"""docs/benchmarks/scaling.md from what the benchmark kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

GOAL = 0.99
LEVELS = (0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)
HEAD = Path(__file__).parent / "HEAD.md"


def cheapest(points: Iterable[Sequence[Any]], attained: float) -> Sequence[Any] | None:
    """Of (attained, hours, ...) the fewest hours that attain as much."""
    reached = [p for p in points if p[0] >= attained]
    return min(reached, key=lambda p: p[1]) if reached else None


def chosen(points: Mapping[str, Sequence[float]], goal: float = GOAL) -> str:
    """The cheapest that attains the goal; where none does, the nearest to it."""
    reached = [k for k, p in points.items() if p[0] >= goal]
    if reached:
        return min(reached, key=lambda k: points[k][1])
    return max(points, key=lambda k: points[k][0])


def percent(share: float) -> str:
    """A share as text."""
    return f"{100 * share:.2f} %"


def _points(kept: Mapping[str, Any]) -> list[list[Any]]:
    """All operating points of all peers: attained, hours, name."""
    return [
        [*p, f"{peer} {pair}"] for peer, grid in kept["grids"].items() for pair, p in grid.items()
    ]


def headline(kept: Mapping[str, Any]) -> list[str]:
    """slo with its defaults beside the best peer with its defaults."""
    peers = {p: kept["defaults"][p] for p in kept["peers"]}
    peer = chosen(peers)
    own, other = kept["defaults"]["slo"], peers[peer]
    saved = 1 - own[1] / other[1]
    text = (
        f"- **defaults**: slo {percent(own[0])}, {own[1]:.1f} GPU hours; best peer {peer} "
        f"{percent(other[0])}, {other[1]:.1f}: "
    )
    if own[0] >= min(other[0], GOAL) and saved > 0:
        text += f"**holds**, {100 * saved:.0f} % fewer GPU hours"
    elif own[0] >= other[0]:
        text += f"attains more, for {-100 * saved:.0f} % more GPU hours"
    else:
        text += "**does not hold**"
    lines = [text + ("" if own[0] >= GOAL else " (slo misses the goal)")]
    if "grids" not in kept:
        return lines
    points = _points(kept)
    goal = GOAL
    other_point = cheapest(points, goal)
    if other_point is None:
        goal = max(p[0] for p in points)
        other_point = cheapest(points, goal)
    assert other_point is not None
    mine = cheapest(kept["frontier"], goal)
    text = f"- **equal attainment**, both tuned on this very trace, at {percent(goal)}: best peer "
    text += f"{other_point[2]} {other_point[1]:.1f} GPU hours; slo "
    if mine is None:
        return [*lines, text + "does not reach it: **does not hold**"]
    saved = 1 - mine[1] / other_point[1]
    text += f"{mine[1]:.1f}: "
    text += "**holds**, " if saved > 0 else "**does not hold**, "
    text += f"{100 * abs(saved):.0f} % {'fewer' if saved > 0 else 'more'}"
    bound = cheapest(kept["bounds"], goal)
    if bound is not None and saved > 0 and other_point[1] > bound[1]:
        share = (other_point[1] - mine[1]) / (other_point[1] - bound[1])
        text += f", {100 * share:.0f} % of the gap to the clairvoyant closed"
    return [*lines, text]


def levels(kept: Mapping[str, Any]) -> str:
    """What it costs to attain as much."""
    lines = [
        "| attained at least | best peer, tuned in hindsight | GPU hours | "
        "slo, tuned in hindsight | difference | clairvoyant | gap closed |",
        "|" + " --- |" * 7,
    ]
    points = _points(kept)
    for level in LEVELS:
        peer, own, bound = (cheapest(p, level) for p in (points, kept["frontier"], kept["bounds"]))
        name, hours = (peer[2], f"{peer[1]:.1f}") if peer else ("none", "")
        mine = f"{own[1]:.1f}" if own else "not reached"
        known = f"{bound[1]:.1f}" if bound else ""
        difference = share = ""
        if peer and own:
            difference = f"{100 * (own[1] / peer[1] - 1):+.0f} %"
            if bound and own[1] < peer[1] and bound[1] < peer[1]:
                share = f"{100 * (peer[1] - own[1]) / (peer[1] - bound[1]):.0f} %"
        lines.append(
            f"| {100 * level:g} % | {name} | {hours} | {mine} | {difference} | {known} | {share} |"
        )
    return "\n".join(lines) + "\n"


def per_peer(kept: Mapping[str, Any]) -> str:
    """For each peer: what slo needs to attain what it does, with defaults and over its grid."""
    lines = [
        "| peer | its defaults | slo for as much | settings tried | attain 90 % | "
        "of these slo is cheaper |",
        "|" + " --- |" * 6,
    ]
    for peer in kept["peers"]:
        point = kept["defaults"][peer]
        own = cheapest(kept["frontier"], point[0])
        needs = f"{own[1]:.1f} h ({100 * (own[1] / point[1] - 1):+.0f} %)" if own else "not reached"
        grid = list(kept["grids"][peer].values())
        able = [p for p in grid if p[0] >= 0.9]
        needed = [cheapest(kept["frontier"], p[0]) for p in able]
        won = sum(o is not None and o[1] < p[1] for o, p in zip(needed, able, strict=True))
        lines.append(
            f"| {peer} | {percent(point[0])}, {point[1]:.1f} h | {needs} | {len(grid)} | "
            f"{len(able)} | {won} |"
        )
    return "\n".join(lines) + "\n"


def carried(every: Mapping[str, Mapping[str, Any]]) -> str:
    """Each peer with the settings that are best on the other traces, slo with its defaults."""
    names = [n for n in every if "grids" in every[n]]
    lines = [
        "## Tuned on the other traces",
        "Nobody tunes on the traffic that is still to come. Here each peer has, for each trace, "
        f"the one setting that is the cheapest of those that attain {100 * GOAL:g} % on average "
        "over the *other* traces (or the nearest to it); slo has its defaults.",
        "",
        f"| policy | {' | '.join(names)} | goal met | mean attained |",
        "|" + " --- |" * (len(names) + 3),
    ]

    def line(policy: str, points: Sequence[Sequence[float]]) -> str:
        cells = [f"{100 * a:.1f} %, {h:.0f} h" for a, h in points]
        met = sum(p[0] >= GOAL for p in points)
        mean = sum(p[0] for p in points) / len(points)
        return f"| {policy} | {' | '.join(cells)} | {met} of {len(names)} | {100 * mean:.1f} % |"

    lines.append(line("slo", [every[n]["defaults"]["slo"] for n in names]))
    for peer in every[names[0]]["peers"] if names else ():
        points = []
        for name in names:
            others = [every[n]["grids"][peer] for n in names if n != name]
            means = {
                pair: (
                    sum(o[pair][0] for o in others) / max(len(others), 1),
                    sum(math.log(o[pair][1]) for o in others),
                )
                for pair in every[name]["grids"][peer]
            }
            points.append(every[name]["grids"][peer][chosen(means)])
        lines.append(line(peer, points))
    return "\n".join(lines) + "\n"


def overview(every: Mapping[str, Mapping[str, Any]]) -> str:
    """All policies with their defaults over all traces: attained, GPU hours."""
    names = list(every)
    policies = list(dict.fromkeys(p for name in names for p in every[name]["defaults"]))
    lines = [
        "## All at once: with defaults",
        "",
        f"| policy | {' | '.join(names)} | goal met |",
        "|" + " --- |" * (len(names) + 2),
    ]
    for policy in policies:
        cells = [every[name]["defaults"].get(policy) for name in names]
        texts = [f"{100 * c[0]:.1f} %, {c[1]:.0f} h" if c else "" for c in cells]
        met = sum(c[0] >= GOAL for c in cells if c)
        lines.append(f"| {policy} | {' | '.join(texts)} | {met} of {len(names)} |")
    return "\n".join(lines) + "\n"


def section(name: str, kept: Mapping[str, Any]) -> str:
    """One trace's part of the document."""
    lines = [
        f"## {name}: {kept['requests']:,} requests in {kept['hours']:.1f} h",
        *headline(kept),
        f"- one run of slo over it takes {kept['seconds']:.1f} s on one core",
        "",
    ]
    if "grids" in kept:
        lines += ["Equal attainment:", "", levels(kept), per_peer(kept)]
    lines += ["Defaults:", "", kept["table"]]
    if "tuned" in kept:
        lines += [f"Tuned in hindsight for {100 * GOAL:g} % on this trace:", "", kept["tuned"]]
    lines += [
        f"![replicas over time](scaling-{name}.png)",
        f"![cost and latency](scaling-{name}-frontier.png)",
        "",
    ]
    return "\n".join(lines)


def document(every: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page."""
    parts = [HEAD.read_text(), overview(every), carried(every)]
    return "\n".join([*parts, *(section(name, kept) for name, kept in every.items())])
