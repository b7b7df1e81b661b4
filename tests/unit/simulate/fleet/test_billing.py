"""Whole instances: packing and prices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.simulate.fleet.billing import INSTANCE_TYPES, instances_needed


@pytest.mark.parametrize(
    ("replicas", "size", "count"),
    [
        ((0, 1, 0, 1), 8, 0),
        ((3, 1, 4, 1), 1, 7),
        ((3, 1, 4, 1), 4, 2),
        ((3, 1, 6, 1), 8, 2),
        ((5, 1, 2, 4), 8, 2),
        ((8, 1, 2, 4), 8, 2),
        ((1, 3, 1, 2), 4, 2),  # Two and one GPUs stay free, on different instances.
        ((2, 1, 3, 3), 4, 3),
        ((1, 16, 1, 2), 8, 3),  # A replica larger than an instance takes several.
        ((1, 12, 4, 1), 8, 3),
    ],
)
def test_replicas_are_packed(replicas: tuple[int, int, int, int], size: int, count: int) -> None:
    assert instances_needed(*replicas, size) == count


def first_fit(sizes: list[int], instance: int) -> int:
    free: list[int] = []
    for size in sorted(sizes, reverse=True):
        for i, rest in enumerate(free):
            if rest >= size:
                free[i] -= size
                break
        else:
            free.append(instance - size)
    return len(free)


@given(
    counts=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    gpus=st.tuples(st.integers(1, 8), st.integers(1, 8)),
)
def test_packing_is_first_fit_decreasing(counts: tuple[int, int], gpus: tuple[int, int]) -> None:
    sizes = [gpus[0]] * counts[0] + [gpus[1]] * counts[1]
    assert instances_needed(counts[0], gpus[0], counts[1], gpus[1], 8) == first_fit(sizes, 8)


def test_instance_types_have_prices() -> None:
    assert {t.gpus for t in INSTANCE_TYPES.values()} == {1, 4, 8}
    assert all(t.dollars > 0 for t in INSTANCE_TYPES.values())
