"""The split of a shared limit: the component under the most pressure is served first.

The pressure on a component is the work that it must do (its load, and its backlog within some cold
starts) per replica, raised by the share of its requests that missed their target. Starting from the
counts that are set now, free slots go to the component under the most pressure. Then one component
may hand a replica over to another, if this lowers the larger of the two pressures by more than the
cold start of the replica costs. A component thus loses replicas only as long as it does not become
the worse one, and with a constant load no replica is handed back and forth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ecs_dynamo.model.limits import SharedLimit
from ecs_dynamo.planning.scaling.arbitration.claims import Claim, Grant

MISSED_WEIGHT = 0.15
"""A component whose requests all miss their target counts as if it had this much more work. A
larger weight follows each fluctuation of the misses with a hand-over."""
BACKLOG_COLD_STARTS = 4.0
"""A backlog counts as work for this many cold starts: a replica that is handed over for it serves
no request during the first one."""
MARGIN = 0.05
"""The share by which a hand-over must lower the larger pressure. It pays for the cold start, in
which the replica serves neither component."""


def arbitrate(
    claims: Sequence[Claim], limit: SharedLimit, now: float, *, may_lower: bool = True
) -> dict[str, Grant]:
    """Return what each component gets of ``limit``, by its name. ``now`` is in monotonic seconds.

    Where everything fits, each component gets what it recommends. Floors are kept even if they do
    not fit: the shortage is then reported elsewhere. No component loses more replicas at once than
    its largest step, so a limit that has fallen is reached step by step. Unless ``may_lower``,
    counts that already exceed the limit are kept: only what is new must fit.
    """
    if limit.fits({c.component: c.recommended for c in claims}):
        return {c.component: Grant(c.recommended, c.gained_at, c.lost_at) for c in claims}
    work = {c.component: _work(c) for c in claims}
    kept = {c.component: min(c.current, c.recommended) for c in claims}
    lowered = _lowered(claims, limit, work, kept) if may_lower else kept
    before = _raised(claims, limit, work, lowered)
    counts = _handed_over(claims, limit, work, before, now)
    return {c.component: _grant(c, before, counts, now) for c in claims}


def _work(claim: Claim) -> float:
    """Return the replicas' worth of work, raised by the share of missed targets.

    A component that starts from zero has work, though none of its load was measured.
    """
    load = float(claim.recommended) if claim.load is None else claim.load
    if claim.current == 0 < claim.recommended:
        load = max(load, 1.0)
    work = load + claim.backlog / max(BACKLOG_COLD_STARTS * claim.cold_start, 1.0)
    return work * (1.0 + MISSED_WEIGHT * claim.missed)


def _floor(claim: Claim) -> int:
    """Return the smallest count that may be granted in this pass.

    The last replica is never taken: without it, the others of the graph would serve nothing.
    """
    step = max(claim.current - claim.max_step_down, claim.min)
    return min(claim.recommended, max(step, 1))


def pressure_on(claim: Claim, count: int) -> float:
    """Return the pressure on a component with ``count`` replicas."""
    return pressure(_work(claim), count)


def pressure(work: float, count: int) -> float:
    """Return the work per replica; without replicas, any work is infinite pressure."""
    if work <= 0:
        return 0.0
    return work / count if count > 0 else math.inf


def _lowered(
    claims: Sequence[Claim],
    limit: SharedLimit,
    work: Mapping[str, float],
    kept: Mapping[str, int],
) -> dict[str, int]:
    """Return the counts ``kept``, without those that exceed the limit, as far as steps allow."""
    counts = dict(kept)
    while not limit.fits(counts):
        able = [c for c in claims if counts[c.component] > _floor(c)]
        if not able:
            break
        loser = min(able, key=lambda c: pressure(work[c.component], counts[c.component] - 1))
        counts[loser.component] -= 1
    return counts


def _raised(
    claims: Sequence[Claim],
    limit: SharedLimit,
    work: Mapping[str, float],
    counts: Mapping[str, int],
) -> dict[str, int]:
    """Return the counts after the free slots went to those under the most pressure."""
    raised = dict(counts)
    while True:
        able = [
            c
            for c in claims
            if raised[c.component] < c.recommended
            and limit.fits({**raised, c.component: raised[c.component] + 1})
        ]
        if not able:
            return raised
        # A floor that was declared has precedence over any pressure.
        gainer = max(
            able,
            key=lambda c: (
                raised[c.component] < c.min,
                pressure(work[c.component], raised[c.component]),
            ),
        )
        raised[gainer.component] += 1


def _handed_over(
    claims: Sequence[Claim],
    limit: SharedLimit,
    work: Mapping[str, float],
    counts: Mapping[str, int],
    now: float,
) -> dict[str, int]:
    """Return the counts after at most one component lost replicas to another."""
    if not limit.fits(counts):
        return dict(counts)
    by_pressure = sorted(
        claims, key=lambda c: pressure(work[c.component], counts[c.component]), reverse=True
    )
    for gainer in by_pressure:
        name = gainer.component
        if counts[name] >= gainer.recommended or _is_recent(gainer.lost_at, gainer.cold_start, now):
            continue
        worst = pressure(work[name], counts[name])
        options = [
            option
            for loser in claims
            if loser is not gainer
            and not _is_recent(loser.gained_at, loser.cold_start, now)
            and (option := _hand_over(gainer, loser, limit, work, counts)) is not None
        ]
        if not options:
            continue
        after, changed = min(options, key=lambda option: option[0])
        if after < (1.0 - MARGIN) * worst:
            return changed
    return dict(counts)


def _hand_over(
    gainer: Claim,
    loser: Claim,
    limit: SharedLimit,
    work: Mapping[str, float],
    counts: Mapping[str, int],
) -> tuple[float, dict[str, int]] | None:
    """Return the larger pressure and the counts after ``loser`` made room for one replica.

    The replica is of ``gainer``. None if its floor does not let ``loser`` make enough room.
    """
    more = counts[gainer.component] + 1
    for fewer in range(counts[loser.component] - 1, _floor(loser) - 1, -1):
        changed = {**counts, gainer.component: more, loser.component: fewer}
        if limit.fits(changed):
            after = max(
                pressure(work[gainer.component], more), pressure(work[loser.component], fewer)
            )
            return after, changed
    return None


def _is_recent(at: float | None, seconds: float, now: float) -> bool:
    return at is not None and now - at < seconds


def _grant(claim: Claim, before: Mapping[str, int], counts: Mapping[str, int], now: float) -> Grant:
    """Return the grant of a component whose count was changed by a hand-over, or not."""
    count, change = counts[claim.component], counts[claim.component] - before[claim.component]
    gained_at = now if change > 0 else claim.gained_at
    lost_at = now if change < 0 else claim.lost_at
    return Grant(count, gained_at, lost_at)
