"""Selection of container instances and capacity providers by the local ECS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.local.placement.provider_strategy import (
    check_strategy,
    instances_needed,
    next_provider,
)
from ecs_dynamo.local.placement.resources import RemainingResources, ResourceRequest
from ecs_dynamo.local.placement.selection import (
    PlacementRules,
    placement_rules,
    select_instance,
    unmet_requirement,
)
from ecs_dynamo.local.wire.protocol import EcsError

NEW_INSTANCE = RemainingResources("", 4096, 16_000, 4, frozenset(), total_gpus=4)
SMALL = ResourceRequest(cpu=256, memory=512, gpus=0, ports=frozenset())


def instance(arn: str, **members: Any) -> RemainingResources:
    resources = {"cpu": 4096, "memory": 16_000, "gpus": 4, "used_ports": frozenset[int]()}
    return RemainingResources(arn, **{**resources, **members})


def rules(*strategy: Mapping[str, str]) -> PlacementRules:
    return placement_rules((), strategy)


@pytest.mark.parametrize(
    ("requested", "members", "reason"),
    [
        (SMALL, {"active": False}, "AGENT"),
        (ResourceRequest(256, 512, 5, frozenset()), {}, "RESOURCE:GPU"),
        (ResourceRequest(5000, 512, 0, frozenset()), {}, "RESOURCE:CPU"),
        (ResourceRequest(256, 20_000, 0, frozenset()), {}, "RESOURCE:MEMORY"),
        (
            ResourceRequest(256, 512, 0, frozenset({80})),
            {"used_ports": frozenset({80})},
            "RESOURCE:PORTS",
        ),
        (SMALL, {}, None),
    ],
)
def test_the_reason_names_the_missing_resource(
    requested: ResourceRequest, members: dict[str, Any], reason: str | None
) -> None:
    candidate = instance("a", **members)
    assert unmet_requirement(requested, candidate, rules()) == reason
    assert select_instance(requested, [candidate]) == (
        ("a", "") if reason is None else (None, reason)
    )


def test_an_empty_cluster_has_a_reason_of_its_own() -> None:
    assert select_instance(SMALL, []) == (
        None,
        "no container instances were found in your cluster",
    )


def test_tasks_of_a_group_are_spread_and_tasks_without_gpus_block_few_slots() -> None:
    assert select_instance(SMALL, [instance("a", tasks_of_group=1), instance("b")])[0] == "b"
    assert select_instance(SMALL, [instance("a", gpus=4), instance("b", gpus=1)])[0] == "b"
    gpu_request = ResourceRequest(256, 512, 1, frozenset())
    assert select_instance(gpu_request, [instance("a", gpus=1), instance("b", gpus=4)])[0] == "b"


def test_strategies_narrow_the_candidates_in_turn() -> None:
    instances = [
        instance("a1", memory=4000, attributes={"zone": "a"}, tasks_of_group=1),
        instance("b1", memory=8000, attributes={"zone": "b"}),
        instance("b2", memory=6000, attributes={"zone": "b"}),
    ]
    spread = {"type": "spread", "field": "attribute:zone"}
    binpack = {"type": "binpack", "field": "memory"}
    assert select_instance(SMALL, instances, rules(binpack))[0] == "a1"
    assert select_instance(SMALL, instances, rules(spread, binpack))[0] == "b2"


def test_a_provider_with_a_base_is_first_and_then_weights_decide() -> None:
    strategy = [
        {"capacityProvider": "on-demand", "base": 2, "weight": 1},
        {"capacityProvider": "spot", "weight": 3},
    ]
    counts: Counter[str] = Counter()
    chosen = []
    for _ in range(10):
        provider = next_provider(strategy, counts)
        counts[provider] += 1
        chosen.append(provider)
    assert chosen[:2] == ["on-demand", "on-demand"]
    assert counts == {"on-demand": 4, "spot": 6}


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ([{"capacityProvider": "a"}], "greater than 0"),
        ([{"capacityProvider": "a", "weight": 1}] * 2, "duplicate"),
        (
            [
                {"capacityProvider": "a", "weight": 1, "base": 1},
                {"capacityProvider": "b", "weight": 1, "base": 1},
            ],
            "base",
        ),
        (
            [
                {"capacityProvider": "a", "weight": 1},
                {"capacityProvider": "FARGATE", "weight": 1},
            ],
            "mix of Fargate and EC2",
        ),
        ([{"capacityProvider": "c", "weight": 1}], "not associated"),
    ],
)
def test_invalid_strategies_are_rejected(strategy: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(EcsError, match=words):
        check_strategy(strategy, ["a", "b"])


@given(st.lists(st.integers(0, 5), max_size=12), st.integers(0, 6))
def test_managed_scaling_adds_enough_instances_and_no_empty_one(
    gpus: list[int], limit: int
) -> None:
    requests = [ResourceRequest(1, 1, count, frozenset()) for count in gpus]
    needed = instances_needed(requests, NEW_INSTANCE, limit)
    fitting = [count for count in gpus if count <= 4]
    assert needed <= min(limit, len(fitting))
    if needed < limit:
        assert needed * 4 >= sum(fitting)
        assert (needed == 0) == (not fitting)
