"""The next step of an exchange of generations, in numbers.

Measured on Dynamo 1.6.1, the source of the rules below:

- A generation is routed to from its first complete set on: a prefill and a decode worker, or an
  aggregated one. A worker that hangs then fails requests until its discovery lease ends. Its share
  of the requests follows its number of decode workers alone, so prefill workers come first, in
  proportion.
- A request stays in the generation in which it began. A request in prefill fails where no decode
  worker of its generation is left, and a generation without prefill is not routed to. So the last
  prefill workers end before the last decode workers.

The invariants of each step, as long as replicas do not die: the routed replicas of each pool stay
at or above `Pool.least`, and once a generation was complete, one is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pool:
    """The replicas of one component of workers in an exchange.

    ``desired``: in all generations together. ``minimum``: the declared minimum of healthy replicas.
    Of the new generation: ``started`` is the desired count of its service, ``ready`` those that are
    ready, ``settled`` those that have stayed ready for a discovery lease. Of all others: ``old`` is
    the sum of the desired counts, ``ending`` the tasks beyond it that still run.
    """

    name: str
    is_prefill: bool
    desired: int
    minimum: int
    started: int
    ready: int
    settled: int
    old: int
    ending: int = 0

    @property
    def least(self) -> int:
        """The replicas that stay routed where not a single further replica fits.

        One at a time is replaced, or more where the declared minimum permits that, but never the
        only one, unless the declared minimum is zero.
        """
        return min(self.minimum, max(self.desired - 1, 1))

    def goal(self, level: int, levels: int) -> int:
        """Return the new replicas at one of the ``levels`` in which all pools grow together."""
        return math.ceil(self.desired * level / levels)


@dataclass(frozen=True, slots=True)
class PoolStep:
    """The desired counts of both sides after a step; ``wait`` says what it waits for."""

    new: int
    old: int
    wait: str = ""
    is_stuck: bool = False
    """Only more capacity, or another declaration, helps."""


def levels_of(pools: Iterable[Pool]) -> int:
    """Return in how many levels the pools grow: the largest number of replicas."""
    return max((p.desired for p in pools), default=0)


def is_complete(pools: Iterable[Pool]) -> bool:
    """Return whether the new generation serves: each pool has a replica that has settled."""
    return all(p.settled > 0 for p in pools if p.desired > 0)


def room_in_proportion(
    pools: Sequence[Pool], fits: Callable[[Mapping[str, int]], bool], levels_now: int
) -> dict[str, int]:
    """Return how many new replicas of each pool may start now; they fit all together.

    ``fits`` returns whether that many more replicas of each pool fit. Capacity that a pool has
    released itself is its own. What is left beyond that goes to all pools in proportion, prefill
    first, up to ``levels_now`` of `levels_of`.
    """
    ordered = sorted(pools, key=lambda p: not p.is_prefill)
    room = {p.name: 0 for p in pools}
    lacking = False
    for pool in ordered:
        own = pool.desired - pool.started - pool.old - pool.ending
        for number in range(1, min(own, pool.desired - pool.started) + 1):
            if not fits({**room, pool.name: number}):
                lacking = True
                break
            room[pool.name] = number
    levels = levels_of(pools)
    for level in range(1, (0 if lacking else levels_now) + 1):
        for pool in ordered:
            more = max(room[pool.name], pool.goal(level, levels) - pool.started)
            if not fits({**room, pool.name: more}):
                return room
            room[pool.name] = more
    return room


def next_step(
    pools: Sequence[Pool], room: Mapping[str, int], *, baking: bool = False
) -> dict[str, PoolStep]:
    """Return the desired counts of both sides of each pool.

    ``room``: by pool, how many further new replicas may start now, in proportion to each other.
    While the first set of the new generation is ``baking``, the old one stays as it is.
    """
    complete = is_complete(pools) and not baking
    fitting = {p.name: min(p.started + room.get(p.name, 0), p.desired) for p in pools}
    levels = levels_of(pools)
    full = {
        p.name for p in pools if _is_full(p, room, p.desired if complete else p.goal(1, levels))
    }
    permitted = _permitted(pools, full, complete=complete)
    new = {
        p.name: fitting[p.name]
        if p.is_prefill
        else min(fitting[p.name], max(permitted[p.name], p.started))
        for p in pools
    }
    blocked = {
        p.name for p in pools if p.name in full and (p.is_prefill or permitted[p.name] > p.started)
    }
    # Nothing is released for prefill if decode could not follow.
    stuck = (
        frozenset[str]()
        if complete
        else frozenset(p.name for p in pools if p.name in full and p.old - 1 < p.least)
    )
    releasing = blocked if not stuck else frozenset[str]()
    old = {
        p.name: _old(p, new[p.name], room, complete=complete, releases=p.name in releasing)
        for p in pools
    }
    if not complete and len({p.started > 0 for p in pools if p.desired > 0}) > 1:
        # Half of the first set has started: capacity is for its other half, and not for more old
        # replicas.
        old = {p.name: min(p.old, old[p.name]) for p in pools}
    old = _together(pools, old, blocked, complete=complete)
    return {
        p.name: PoolStep(
            *(new[p.name], old[p.name], _wait(p, new[p.name], blocked, stuck)),
            is_stuck=p.name in stuck,
        )
        for p in pools
    }


def _is_full(pool: Pool, room: Mapping[str, int], goal: int) -> bool:
    """Return whether the pool is to grow, nothing is on its way, and no replica fits.

    ``goal``: the replicas that it needs next; before the generation serves, those of the first set.
    """
    return (
        room.get(pool.name, 0) <= 0
        and pool.started < goal
        and pool.started <= pool.settled
        and pool.ending == 0
        and pool.old > 0
    )


def _permitted(pools: Sequence[Pool], full: Collection[str], *, complete: bool) -> dict[str, int]:
    """Return how many decode workers the prefill workers of the new generation can serve.

    A generation gets requests from its first complete set on, and a prefill worker that hangs then
    fails them. So the first decode worker starts once a prefill worker has stayed ready, the others
    with ready ones. Where prefill cannot grow until decode has, decode goes one step ahead.
    """
    prefills = [p for p in pools if p.is_prefill and p.desired > 0]
    permitted: dict[str, int] = {}
    for pool in pools:
        if pool.is_prefill:
            continue
        if not prefills:
            permitted[pool.name] = pool.desired
            continue
        able = {p.name: p.ready if complete else p.settled for p in prefills}
        share = min(min(able[p.name] / p.desired, 1.0) for p in prefills)
        number = math.floor(pool.desired * share + 1e-9)
        if all(able.values()):
            ahead = pool.settled + 1 if any(p.name in full for p in prefills) else 1
            number = max(number, ahead)
        permitted[pool.name] = min(number, pool.desired)
    return permitted


def _old(pool: Pool, new: int, room: Mapping[str, int], *, complete: bool, releases: bool) -> int:
    """Return the old replicas of one pool.

    Until the new generation serves, the old one has all replicas, and follows changes of the count.
    From then on it only shrinks. ``releases``: a replica makes room for a new one.
    """
    routed = pool.settled if complete else 0
    if complete:
        kept = min(pool.old, max(pool.desired - pool.settled, 0))
    elif pool.old >= pool.desired:
        kept = pool.desired
    else:
        # Without a surge, the old replicas that are missing have made room for new ones.
        has_surged = pool.old + pool.ending + pool.started > pool.desired
        making_room = 0 if has_surged else pool.started + pool.ending + room.get(pool.name, 0)
        kept = max(pool.old, pool.desired - making_room)
    if not releases:
        return kept
    at_once = max(1, min(pool.desired - pool.least, pool.desired - new))
    return min(kept, max(pool.old - at_once, pool.least - routed, 0))


def _together(
    pools: Sequence[Pool], old: Mapping[str, int], blocked: Collection[str], *, complete: bool
) -> dict[str, int]:
    """Return ``old`` so that the last set of the old generation ends as one.

    It ends once the new generation has enough replicas of every pool, prefill before decode.
    """
    used = [p for p in pools if p.desired > 0 and (p.old > 0 or p.ending > 0)]
    if all(old[p.name] > 0 for p in used):
        return dict(old)
    enough = all(
        (p.settled if complete else 0)
        >= (p.least if p.name in blocked else min(p.minimum, p.desired))
        for p in pools
    )
    if not enough and all(p.old > 0 for p in used):
        return {**old, **{p.name: max(old[p.name], 1) for p in used}}
    if not enough:
        return dict(old)
    prefill_left = any(p.is_prefill and (p.old > 0 or p.ending > 0) for p in used)
    last = {p.name: 0 if p.is_prefill or not prefill_left else min(p.old, 1) for p in used}
    return {**old, **last}


def _wait(pool: Pool, new: int, blocked: Collection[str], stuck: Collection[str]) -> str:
    if pool.name in stuck:
        return (
            "no further replica fits, and releasing one would leave no complete generation: add "
            "capacity for one more replica, or declare minimumHealthyPercent 0 to accept an outage"
        )
    if pool.name in blocked:
        return "no further replica fits: an old one is released first"
    if new < pool.desired or pool.settled < pool.desired:
        return f"{pool.settled} of {pool.desired} new replicas have stayed ready for long enough"
    return ""
