"""Generation of docs/benchmarks/scaling.md, or another page, from stored results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.scaling import tables
from benchmarks.scaling.cases import (
    COLD_STARTS,
    GOAL,
    LIMITED,
    LIMITED_SHARE,
    LONG_PROMPTS,
    MAIN_COLD_START,
    TTFT,
)
from benchmarks.scaling.claims import (
    LIMITED_TOLERANCE,
    LOWEST_COMPARED,
    ORACLE_TOLERANCE,
    QUEUE_TOLERANCE,
    below_bound,
    compare_with_peers,
    compare_with_queue,
    gap_to_schedule,
    limited_fleets,
    shared_seeds,
)
from benchmarks.scaling.pictures import DRAWN, draw_history, draw_overview
from benchmarks.scaling.plan import FULL, TUNED_ON
from benchmarks.scaling.rows import ALONE, QUEUE
from benchmarks.scaling.store import Store
from benchmarks.scaling.summary import Cell, Scenario, plain, scenarios
from benchmarks.scaling.tuning import tuned_settings

HEAD = Path(__file__).parent / "HEAD.md"
REASONS = Path(__file__).parent / "REASONS.md"
"""Why some claims do not hold, for a page of all shapes."""


class NoResultsError(Exception):
    """There are no results from which a page could be written."""


def write_document(store: Store, path: Path) -> None:
    """Write the page and its pictures beside it, whose names begin with that of the page.

    Raises `NoResultsError`, and leaves the files as they are, without results of slo.
    """
    every = scenarios(store)
    main = plain(every, order=list(FULL))
    if not main:
        raise NoResultsError(
            f"{path} was not written: there are no results of slo with a cold start of "
            f"{MAIN_COLD_START:g} s"
        )
    overview = path.with_suffix(".png")
    draw_overview(main, overview)
    parts = [
        HEAD.read_text(),
        *summary(every, main),
        f"![attainment and cost by trace]({overview.name})\n",
        *([REASONS.read_text()] if len(main) == len(FULL) else []),
        *by_cold_start(every),
        *forecast_error(every),
        *frontier(every),
        *limited(every),
        *chosen_settings(store),
        *per_shape(main, path),
    ]
    path.write_text("\n".join(parts))


def share(number: int, of: int) -> str:
    return f"{number} of {of}"


def summary(every: Sequence[Scenario], main: Sequence[Scenario]) -> Iterator[str]:
    """Yield the claims and whether they hold."""
    yield "## What holds\n"
    for cold_start in COLD_STARTS:
        compared = [c for s in plain(every, cold_start) if (c := compare_with_peers(s))]
        if compared:
            met = sum(c.outcome.meets for c in compared)
            best = sum(c.outcome.holds for c in compared)
            yield (
                f"- **Cold start {cold_start:g} s**: slo meets the target on "
                f"{share(met, len(compared))} traces. On {share(best, len(compared))} it costs "
                "less than every peer that meets the target, or attains the most where no peer "
                "meets it."
            )
    yield from _frontier_claim(every)
    gaps = [g for s in main if (g := gap_to_schedule(s))]
    if gaps:
        yield (
            "- **With the true load**, slo's sizes meet the target for at most "
            f"{100 * ORACLE_TOLERANCE:g} % more than the best schedule on "
            f"{share(sum(g.holds for g in gaps), len(gaps))} traces; the rest of slo's cost is "
            "forecast error."
        )
    below = {row for s in every for row in below_bound(s)}
    if below:
        yield f"- **The bound does not hold** for {', '.join(sorted(below))}."
    elif any(s.bound for s in every):
        yield "- **The bound**: no policy, schedule or fixed fleet meets the target for less."
    fleets = limited_fleets(every, LIMITED)
    if fleets:
        yield (
            f"- **In a limited fleet**, slo attains at least {100 * (1 - LIMITED_TOLERANCE):g} % "
            "of what the best fixed split attains on "
            f"{share(sum(f.holds for f in fleets), len(fleets))} traces."
        )
    yield ""
    yield tables.outcomes(main)
    yield "Simulation of slo, on one core of the machine that ran the benchmark:\n"
    yield tables.table(
        ("trace", "requests", "seconds", "requests/s"), (_speed(scenario) for scenario in main)
    )


def _frontier_claim(every: Sequence[Scenario]) -> Iterator[str]:
    """Yield how often slo costs no more than `queue`, and which comparisons are incomplete."""
    pairs = [p for s in plain_all(every) if (p := compare_with_queue(s))]
    narrowed = sum(p.is_narrowed for p in pairs)
    apart = sum(shared_seeds(s) == set() for s in plain_all(every))
    if pairs:
        yield (
            f"- **At equal attainment**, `queue` is never more than {100 * QUEUE_TOLERANCE:g} % "
            f"cheaper than slo on {share(sum(p.holds for p in pairs), len(pairs))} traces and cold "
            f"starts (settings that attain {100 * LOWEST_COMPARED:g} % or more)."
        )
    if narrowed:
        yield f"- {narrowed} of these comparisons are on fewer seeds than most settings have."
    if apart:
        yield f"- Not compared are {apart} traces and cold starts whose settings share no seed."


def _speed(scenario: Scenario) -> tuple[str, ...]:
    fastest = min(scenario.slo.runs.values(), key=lambda run: run.seconds)
    requests = fastest.goodput * fastest.hours / fastest.good if fastest.good else 0.0
    seconds = max(fastest.seconds, 1e-3)
    return scenario.shape, f"{requests:,.0f}", f"{seconds:.2f}", f"{requests / seconds:,.0f}"


def plain_all(every: Sequence[Scenario]) -> list[Scenario]:
    """Return the scenarios of the unlimited fleet with all cold starts."""
    return [s for cold_start in COLD_STARTS for s in plain(every, cold_start, list(FULL))]


def by_cold_start(every: Sequence[Scenario]) -> Iterator[str]:
    """Yield the overviews by cold start."""
    yield "## All traces\n"
    yield (
        "Each cell has the share of requests within the queue target (with its 95 % interval, bold "
        f"from {100 * GOAL:g} % on), the cost relative to the best schedule, and the requests per "
        "GPU hour that met the targets of TTFT and inter-token latency.\n"
    )
    for cold_start in COLD_STARTS:
        chosen = plain(every, cold_start, list(FULL))
        if chosen:
            yield f"### Cold start {cold_start:g} s\n"
            yield tables.overview(chosen)


def forecast_error(every: Sequence[Scenario]) -> Iterator[str]:
    """Yield the costs with and without the true load."""
    gaps = [g for s in plain_all(every) if (g := gap_to_schedule(s))]
    if not gaps:
        return
    yield "## Forecast error\n"
    yield (
        "Costs relative to the best schedule: the sizes that slo would choose if it knew the load "
        "of the next cold start (and how many misses to plan for), and slo. The difference is the "
        "error of the forecast.\n"
    )
    rows = []
    for gap in gaps:
        oracle = gap.scenario.cells["oracle"]
        rows.append(
            (
                gap.scenario.shape,
                f"{gap.scenario.cold_start:g} s",
                f"{tables.percent(oracle)}; {gap.oracle:.2f}",
                f"{tables.percent(gap.scenario.slo)}; {gap.slo:.2f}",
                f"{100 * (gap.slo / gap.oracle - 1):+.0f} %",
                "yes" if gap.holds else "no",
            )
        )
    headings = (
        "trace",
        "cold start",
        "true load",
        "slo",
        "forecast error",
        f"true load within {100 * ORACLE_TOLERANCE:g} % of the best schedule",
    )
    yield tables.table(headings, rows)


def frontier(every: Sequence[Scenario]) -> Iterator[str]:
    """Yield the comparisons of slo and queue at equal attainment."""
    pairs = [p for s in plain_all(every) if (p := compare_with_queue(s))]
    if not pairs:
        return
    yield "## slo and queue at equal attainment\n"
    yield (
        "For each trace, the setting of `queue` against which slo does worst, and the cheapest "
        "setting of slo that attains as much. They are compared on the seeds that all settings "
        "have.\n"
    )
    rows = [
        (
            pair.scenario.shape,
            f"{pair.scenario.cold_start:g} s",
            share(pair.seeds, pair.usual) if pair.is_narrowed else str(pair.seeds),
            f"{pair.queue.row}: {tables.percent(pair.queue)}; {pair.queue.hours:.1f}",
            f"{pair.slo.row}: {tables.percent(pair.slo)}; {pair.slo.hours:.1f}"
            if pair.slo
            else "not reached",
            f"{100 * (pair.hours - 1):+.0f} %" if pair.slo else "",
        )
        for pair in pairs
    ]
    headings = ("trace", "cold start", "seeds", "queue; GPU hours", "slo; GPU hours", "slo costs")
    yield tables.table(headings, rows)


def limited(every: Sequence[Scenario]) -> Iterator[str]:
    """Yield the results in limited fleets."""
    fleets = limited_fleets(every, LIMITED)
    if not fleets:
        return
    yield "## Limited fleets\n"
    yield (
        f"The cluster has GPUs for {100 * LIMITED_SHARE:g} % of the fleet that the busiest five "
        "minutes need. The best fixed split of these GPUs is known in hindsight only.\n"
    )
    headings = ("trace", "best fixed split", "slo", "slo without arbitration", "queue", "best peer")
    rows = []
    for fleet in fleets:
        scenario = fleet.scenario
        peer = max(scenario.peers, key=lambda cell: cell.attained, default=None)
        cells = [fleet.split, scenario.slo, scenario.get(ALONE), scenario.get(QUEUE)]
        texts = [_attained_and_hours(cell) if cell else "" for cell in cells]
        peer_text = f"{tables.label(peer.row)}: {_attained_and_hours(peer)}" if peer else ""
        rows.append((scenario.shape, *texts, peer_text))
    yield tables.table(headings, rows)


def _attained_and_hours(cell: Cell) -> str:
    return f"{tables.percent(cell)}; {cell.hours:.1f} h; {tables.count(cell.goodput)}"


def chosen_settings(store: Store) -> Iterator[str]:
    """Yield the peers' settings that were chosen on training traces."""
    tuned = dict(tuned_settings(store))
    if tuned:
        yield "## Settings of the tuned peers\n"
        yield (
            "Chosen on the training traces "
            f"{', '.join(TUNED_ON)}: the settings that meet the target on most of them, and then "
            "those that cost least. They are targets for prefill and decode, and an option.\n"
        )
        rows = [(policy, settings or "its defaults") for policy, settings in tuned.items()]
        yield tables.table(("peer", "settings"), rows)


def per_shape(main: Sequence[Scenario], path: Path) -> Iterator[str]:
    """Yield all rows of each shape with the main cold start, for the page at ``path``."""
    for scenario in main:
        ttft = LONG_PROMPTS.get(scenario.shape, TTFT)
        yield f"## {scenario.shape}\n"
        yield f"Cold start {MAIN_COLD_START:g} s; target for TTFT {ttft:g} s.\n"
        yield tables.policies(scenario)
        if scenario.shape in DRAWN:
            picture = path.with_name(f"{path.stem}-{scenario.shape}.png")
            draw_history(scenario, picture)
            yield f"![load and replicas over time]({picture.name})\n"
