"""Components that share a limit: the one under the most pressure is served first."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from ecs_dynamo.model.limits import SharedLimit, Slots
from ecs_dynamo.planning.scaling.arbitration.claims import Claim, Grant
from ecs_dynamo.planning.scaling.arbitration.split import arbitrate

NAMES = ("decode", "prefill", "worker")
NOW = 10_000.0


def limit_of(total: int, sizes: dict[str, int]) -> SharedLimit:
    return SharedLimit(
        f"{total} GPU slots", sizes, (Slots(total, frozenset(sizes)),), declared=True
    )


@st.composite
def claims_and_limit(draw: st.DrawFn) -> tuple[list[Claim], SharedLimit]:
    names = NAMES[: draw(st.integers(2, 3))]
    sizes = {name: draw(st.sampled_from([1, 1, 2, 4])) for name in names}
    claims = []
    for name in names:
        least = draw(st.integers(0, 3))
        claims.append(
            Claim(
                component=name,
                current=draw(st.integers(least, 12)),
                recommended=draw(st.integers(least, 16)),
                min=least,
                max_step_down=draw(st.integers(1, 3)),
                load=draw(st.one_of(st.none(), st.floats(0, 20))),
                backlog=draw(st.floats(0, 5000)),
                missed=draw(st.floats(0, 1)),
                cold_start=draw(st.floats(30, 600)),
                gained_at=draw(st.one_of(st.none(), st.floats(NOW - 700, NOW))),
                lost_at=draw(st.one_of(st.none(), st.floats(NOW - 700, NOW))),
            )
        )
    return claims, limit_of(draw(st.integers(1, 40)), sizes)


def used(limit: SharedLimit, counts: dict[str, int]) -> int:
    return sum(limit.gpus[name] * count for name, count in counts.items())


def counts_of(grants: dict[str, Grant]) -> dict[str, int]:
    return {name: grant.count for name, grant in grants.items()}


def with_grants(claims: list[Claim], grants: dict[str, Grant]) -> list[Claim]:
    """Return the claims of the next pass, in which the granted replicas run."""
    granted = [(claim, grants[claim.component]) for claim in claims]
    return [
        replace(c, current=g.count, gained_at=g.gained_at, lost_at=g.lost_at) for c, g in granted
    ]


@given(claims_and_limit())
def test_limits_bounds_and_steps_are_respected(case: tuple[list[Claim], SharedLimit]) -> None:
    claims, limit = case
    counts = counts_of(arbitrate(claims, limit, NOW))
    (slots,) = limit.instances
    for claim in claims:
        count = counts[claim.component]
        assert count <= claim.recommended
        assert count >= min(claim.recommended, claim.min)
        assert count >= min(claim.recommended, claim.current - claim.max_step_down)
    kept = {c.component: min(c.current, c.recommended) for c in claims}
    if used(limit, counts) > slots.count:
        # The steps do not reach the limit yet: nothing rises, and everything that may fall falls.
        for claim in claims:
            floor = max(claim.current - claim.max_step_down, claim.min, 1)
            assert counts[claim.component] == min(kept[claim.component], floor)
        assert used(limit, counts) <= used(limit, kept)


@given(claims_and_limit())
def test_nothing_changes_where_everything_fits(case: tuple[list[Claim], SharedLimit]) -> None:
    claims, limit = case
    recommended = {c.component: c.recommended for c in claims}
    total = limit_of(used(limit, recommended), dict(limit.gpus))
    grants = arbitrate(claims, total, NOW)
    assert counts_of(grants) == recommended
    assert all(grants[c.component].gained_at == c.gained_at for c in claims)


@given(claims_and_limit(), st.floats(0, 1), st.data())
def test_more_missed_targets_never_get_fewer_replicas(
    case: tuple[list[Claim], SharedLimit], missed: float, data: st.DataObject
) -> None:
    claims, limit = case
    limit = limit_of(limit.instances[0].count, dict.fromkeys(limit.gpus, 1))
    index = data.draw(st.integers(0, len(claims) - 1))
    own = claims[index]
    low, high = sorted((own.missed, missed))
    before, after = (
        arbitrate([*claims[:index], replace(own, missed=m), *claims[index + 1 :]], limit, NOW)
        for m in (low, high)
    )
    assert after[own.component].count >= before[own.component].count


@given(claims_and_limit())
def test_counts_that_exceed_a_limit_are_kept_until_it_is_known_to_last(
    case: tuple[list[Claim], SharedLimit],
) -> None:
    claims, limit = case
    assume(not limit.fits({c.component: min(c.current, c.recommended) for c in claims}))
    counts = counts_of(arbitrate(claims, limit, NOW, may_lower=False))
    assert counts == {c.component: min(c.current, c.recommended) for c in claims}


@given(claims_and_limit())
def test_a_constant_load_comes_to_rest(case: tuple[list[Claim], SharedLimit]) -> None:
    """No replica moves back and forth: the number of changes is bounded."""
    claims, limit = case
    now = NOW
    history = []
    for _ in range(60):
        grants = arbitrate(claims, limit, now)
        history.append(counts_of(grants))
        claims = with_grants(claims, grants)
        now += 700.0
    assert history[-20:] == [history[-1]] * 20


@given(claims_and_limit())
def test_a_replica_moves_back_only_after_a_cold_start(
    case: tuple[list[Claim], SharedLimit],
) -> None:
    claims, limit = case
    claims = [replace(c, cold_start=300.0, gained_at=None, lost_at=None) for c in claims]
    fitting = {c.component: min(c.current, c.recommended) for c in claims}
    assume(limit.fits(fitting))
    grants = arbitrate(claims, limit, NOW)
    gained = [n for n, g in grants.items() if g.gained_at == NOW]
    lost = [n for n, g in grants.items() if g.lost_at == NOW]
    assert bool(gained) == bool(lost)
    # The opposite a moment later: the components that lost replicas have all the work.
    turned = [
        replace(
            c,
            recommended=max(c.recommended, c.current),
            load=20.0 if c.component in lost else 0.0,
            backlog=0.0,
        )
        for c in with_grants(claims, grants)
    ]
    soon = arbitrate(turned, limit, NOW + 299.0)
    for name in gained:
        assert soon[name].count >= grants[name].count


def claim(name: str, current: int, recommended: int, load: float, **more: float) -> Claim:
    base = Claim(component=name, current=current, recommended=recommended, min=1, load=load)
    return replace(base, **more)  # type: ignore[arg-type]


def settle(claims: list[Claim], total: int) -> dict[str, int]:
    limit, now = limit_of(total, {c.component: 1 for c in claims}), NOW
    for _ in range(30):
        claims = with_grants(claims, arbitrate(claims, limit, now))
        now += 60.0
    return {c.component: c.current for c in claims}


def test_the_split_follows_the_load() -> None:
    """Prefill holds all slots but one, and decode needs nearly as much."""
    claims = [claim("prefill", 8, 9, 5.0), claim("decode", 1, 8, 4.0)]
    assert settle(claims, 9) == {"prefill": 5, "decode": 4}


def test_missed_targets_correct_the_split() -> None:
    claims = [claim("prefill", 5, 9, 4.4), claim("decode", 5, 9, 4.4)]
    assert settle(claims, 10) == {"prefill": 5, "decode": 5}
    uneven = [replace(claims[0], load=4.6), replace(claims[1], load=5.4)]
    assert settle(uneven, 10) == {"prefill": 5, "decode": 5}
    late = [uneven[0], replace(uneven[1], missed=1.0)]
    assert settle(late, 10) == {"prefill": 4, "decode": 6}


def test_a_backlog_upstream_counts_for_both() -> None:
    """Decode misses nothing while prefill is congested, and keeps what it will need."""
    claims = [
        claim("prefill", 4, 12, 5.0, backlog=2000.0, missed=1.0),
        claim("decode", 4, 4, 4.0, backlog=1600.0),
    ]
    counts = settle(claims, 8)
    assert counts["decode"] >= 3


def test_a_component_at_zero_gets_a_slot_and_none_loses_its_last_replica() -> None:
    waking = [claim("prefill", 0, 1, 0.0, min=0), claim("decode", 4, 6, 6.0)]
    assert settle(waking, 4) == {"prefill": 1, "decode": 3}
    idle = [claim("prefill", 1, 1, 0.0, min=0), claim("decode", 3, 9, 9.0)]
    assert settle(idle, 4) == {"prefill": 1, "decode": 3}
