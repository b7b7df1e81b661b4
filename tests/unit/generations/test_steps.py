"""The steps of an exchange, driven to the end on a simulated cluster with shared GPU slots."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import hypothesis.strategies as st
from hypothesis import given, settings

from ecs_dynamo.planning.rollout.exchange.steps import (
    Pool,
    PoolStep,
    is_complete,
    levels_of,
    next_step,
    room_in_proportion,
)


@dataclass
class Cluster:
    """Slots that both generations share. New replicas settle, and old ones end, after a while."""

    slots: int
    pools: list[Pool]
    delay: int
    ages: dict[str, list[int]] = field(default_factory=dict)
    endings: dict[str, list[int]] = field(default_factory=dict)

    def free(self) -> int:
        used = sum(p.old + p.ending + p.started for p in self.pools)
        return self.slots - used

    def next_step(self) -> dict[str, PoolStep]:
        free = self.free()
        room = room_in_proportion(
            self.pools, lambda more: sum(more.values()) <= free, levels_of(self.pools)
        )
        return next_step(self.pools, room)

    def step(self) -> None:
        steps = self.next_step()
        moved = []
        for pool in self.pools:
            target = steps[pool.name]
            ages = self.ages.setdefault(pool.name, [])
            endings = self.endings.setdefault(pool.name, [])
            ages += [0] * (target.new - len(ages))
            del ages[target.new :]
            endings += [0] * (pool.old - target.old)
            ages[:] = [age + 1 for age in ages]
            endings[:] = [age + 1 for age in endings if age < self.delay]
            moved.append(
                replace(
                    pool,
                    started=target.new,
                    ready=sum(age > self.delay for age in ages),
                    settled=sum(age > 2 * self.delay for age in ages),
                    old=target.old,
                    ending=len(endings),
                )
            )
        self.pools = moved

    def routed(self, pool: Pool) -> int:
        """Return the replicas of the pool in complete generations."""
        is_old_complete = all(p.old > 0 for p in self.pools)
        return (pool.settled if is_complete(self.pools) else 0) + (
            pool.old if is_old_complete else 0
        )


def pool(name: str, desired: int, minimum: int | None = None) -> Pool:
    """Return a pool before an exchange."""
    least = desired if minimum is None else minimum
    return Pool(name, name == "prefill", desired, least, 0, 0, 0, desired)


SIZES = st.integers(1, 5)


@settings(max_examples=300)
@given(prefill=SIZES, decode=SIZES, spare=st.integers(0, 12), delay=st.integers(0, 3))
def test_each_step_keeps_the_minimum_routed_and_the_exchange_ends(
    prefill: int, decode: int, spare: int, delay: int
) -> None:
    pools = [pool("prefill", prefill), pool("decode", decode)]
    cluster = Cluster(prefill + decode + spare, pools, delay)
    surges = spare >= prefill + decode
    for _ in range(400):
        cluster.step()
        assert cluster.free() >= 0
        for own in cluster.pools:
            assert cluster.routed(own) >= (own.minimum if surges else own.least)
        if all(p.old == 0 and p.settled == p.desired for p in cluster.pools):
            return
    steps = cluster.next_step()
    assert any(s.is_stuck for s in steps.values()), cluster.pools
    assert spare < 2
    assert 1 in (prefill, decode)


@given(desired=st.integers(1, 6), spare=st.integers(0, 6))
def test_aggregated_workers_are_exchanged(desired: int, spare: int) -> None:
    cluster = Cluster(desired + spare, [pool("worker", desired)], 1)
    for _ in range(200):
        cluster.step()
        assert cluster.routed(cluster.pools[0]) >= cluster.pools[0].least
        if cluster.pools[0].old == 0 and cluster.pools[0].settled == desired:
            return
    assert (desired, spare) == (1, 0)


def test_an_outage_is_accepted_where_it_is_declared() -> None:
    cluster = Cluster(2, [pool("prefill", 1, 0), pool("decode", 1, 0)], 1)
    for _ in range(30):
        cluster.step()
    assert [(p.old, p.settled) for p in cluster.pools] == [(0, 1), (0, 1)]


def test_prefill_comes_first_and_the_last_prefill_ends_before_the_last_decode() -> None:
    cluster = Cluster(8, [pool("prefill", 2), pool("decode", 2)], 1)
    states = []
    for _ in range(40):
        cluster.step()
        states.append(tuple((p.started, p.old) for p in cluster.pools))
    changes = [s for n, s in enumerate(states) if n == 0 or states[n - 1] != s]
    assert changes[0] == ((2, 2), (0, 2))
    assert changes[1] == ((2, 2), (2, 2))
    assert changes[-2:] == [((2, 0), (2, 1)), ((2, 0), (2, 0))]


def test_the_old_side_stays_as_it_is_while_the_first_set_bakes() -> None:
    """The canary limits how many new replicas start, while there is capacity for more."""
    pools = [
        Pool("prefill", True, 1, 1, started=1, ready=1, settled=1, old=1),
        Pool("decode", False, 3, 3, started=1, ready=1, settled=1, old=3),
    ]
    steps = next_step(pools, {"prefill": 0, "decode": 0}, baking=True)
    assert {n: (s.new, s.old) for n, s in steps.items()} == {"prefill": (1, 1), "decode": (1, 3)}
    swapped = [pools[0], replace(pools[1], old=2)]  # The first set replaced a decode worker.
    steps = next_step(swapped, {"prefill": 0, "decode": 0}, baking=True)
    assert {n: (s.new, s.old) for n, s in steps.items()} == {"prefill": (1, 1), "decode": (1, 2)}


def test_old_replicas_do_not_take_the_room_of_the_first_complete_set() -> None:
    prefill = Pool(
        "prefill", is_prefill=True, desired=2, minimum=2, started=2, ready=2, settled=2, old=1
    )
    decode = Pool(
        "decode", is_prefill=False, desired=1, minimum=1, started=0, ready=0, settled=0, old=1
    )
    steps = next_step([prefill, decode], {"prefill": 0, "decode": 1})
    assert (steps["prefill"].old, steps["decode"].new, steps["decode"].old) == (1, 1, 1)
