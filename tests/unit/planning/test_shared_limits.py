"""The GPU slots that components share, as observed and as declared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.model.capacity import CapacityProvider
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.limits import SharedLimit, Slots
from ecs_dynamo.model.memory.capacity import CapacityMemory
from ecs_dynamo.model.service_settings import PlacementConstraint
from ecs_dynamo.model.snapshot import ComponentSnapshot, Snapshot, Unknown
from ecs_dynamo.model.spec.capacity import CapacityProviderItem, CapacitySpec
from ecs_dynamo.planning.capacity.limits import shared_limits
from tests.helpers.capacity import LARGE, NOW, SMALL, declared, group, instance, snapshot, task
from tests.helpers.graphs import component, graph, template


def with_gpus(base: Graph, **gpus: Any) -> Graph:
    """The graph with other GPU requirements of its workers."""
    components = tuple(
        replace(c, template=template(c.name, "awsvpc", gpus=gpus[c.name])) if c.name in gpus else c
        for c in base.components
    )
    return replace(base, components=components)


def limits(base: Graph, observed: Snapshot) -> tuple[SharedLimit, ...]:
    return shared_limits(base, observed, CapacityMemory(), NOW)


def test_the_slots_of_a_cluster_are_shared() -> None:
    base = with_gpus(graph(), prefill=1, decode=2)
    (limit,) = limits(base, snapshot(instance(1, LARGE), instance(2, LARGE)))
    assert limit.name == "8 GPU slots of cluster gpu"
    assert limit.gpus == {"prefill": 1, "decode": 2}
    assert limit.fits({"prefill": 4, "decode": 2})
    assert not limit.fits({"prefill": 5, "decode": 2})


def test_slots_of_other_tasks_do_not_count_and_own_ones_do() -> None:
    base = with_gpus(graph(), prefill=1, decode=1)
    own = {"decode": ComponentSnapshot(service=None, tasks=(task("a", "arn:ci/1"),))}
    (limit,) = limits(base, snapshot(instance(1, LARGE, used=3), components=own))
    assert limit.name.startswith("2 GPU slots")


def test_a_replica_needs_its_slots_on_one_instance() -> None:
    base = with_gpus(graph(), prefill=1, decode=2)
    (limit,) = limits(base, snapshot(*(instance(n) for n in range(4))))
    assert limit.fits({"prefill": 4})
    assert not limit.fits({"decode": 1})


def test_a_group_may_grow_to_its_maximum() -> None:
    base = with_gpus(declared(most=4), prefill=1, decode=1)
    members = (instance(1), instance(2))
    (limit,) = limits(base, snapshot(*members, groups=group(*members)))
    assert limit.name == "4 GPU slots of cluster gpu"


@pytest.mark.parametrize(
    "unknown",
    [
        {"container_instances": {"gpu": Unknown("throttled")}},
        {"groups": Unknown("throttled")},
        {"providers": Unknown("throttled")},
    ],
)
def test_an_unknown_capacity_is_no_limit(unknown: dict[str, object]) -> None:
    base = with_gpus(declared(most=4), prefill=1, decode=1)
    members = (instance(1), instance(2))
    observed = replace(snapshot(*members, groups=group(*members)), **unknown)  # type: ignore[arg-type]
    assert limits(base, observed) == ()


def test_an_unknown_size_of_new_instances_is_no_limit() -> None:
    base = with_gpus(declared(most=4), prefill=1, decode=1)
    assert limits(base, snapshot(groups=group(desired=0, sizes=()))) == ()


def _providers(base: Graph, *, managed: bool) -> tuple[Graph, dict[str, CapacityProvider]]:
    item = CapacityProviderItem(name="spot")
    components = tuple(
        replace(c, settings=replace(c.settings, capacity_providers=(item,))) if c.is_worker else c
        for c in base.components
    )
    provider = CapacityProvider("spot", "ACTIVE", "EC2_AUTOSCALING", "g", managed_scaling=managed)
    return replace(base, components=components), {"spot": provider}


@pytest.mark.parametrize("managed", [False, True])
def test_where_aws_adds_instances_there_is_no_limit(managed: bool) -> None:
    base, providers = _providers(with_gpus(graph(), prefill=1, decode=1), managed=managed)
    here = instance(1, LARGE, capacity_provider="spot")
    result = limits(base, snapshot(here, providers=providers))
    assert [limit.name for limit in result] == ([] if managed else ["4 GPU slots of cluster gpu"])


def _on(base: Graph, name: str, kind: str) -> Graph:
    constraint = PlacementConstraint("memberOf", f"attribute:ecs.instance-type == {kind}")
    own = base.component(name)
    changed = replace(own, settings=replace(own.settings, placement_constraints=(constraint,)))
    return replace(
        base, components=tuple(changed if c.name == name else c for c in base.components)
    )


def test_components_on_different_instances_share_nothing() -> None:
    base = with_gpus(graph(), prefill=1, decode=1)
    apart = _on(_on(base, "prefill", "g5.xlarge"), "decode", "g5.12xlarge")
    observed = snapshot(instance(1, SMALL), instance(2, LARGE))
    assert limits(apart, observed) == ()
    (partly,) = limits(_on(base, "prefill", "g5.xlarge"), observed)
    assert partly.fits({"prefill": 1, "decode": 4})
    assert not partly.fits({"prefill": 2, "decode": 1})


def test_a_replica_that_takes_a_whole_instance() -> None:
    base = with_gpus(graph(), prefill=1, decode="ALL")
    (limit,) = limits(base, snapshot(instance(1, LARGE), instance(2, LARGE)))
    assert limit.gpus["decode"] == 4
    assert limits(base, snapshot(instance(1, LARGE), instance(2, SMALL))) == ()


def test_the_declared_limit_applies_to_all_components_with_gpus() -> None:
    extra = component("other", Role.WORKER, template=template("other", "awsvpc", gpus=2))
    base = with_gpus(graph(), prefill=1, decode=1)
    base = replace(base, components=(*base.components, extra), capacity=CapacitySpec(max_gpus=6))
    (limit,) = limits(base, Snapshot("g", NOW, {}, container_instances={"gpu": Unknown("x")}))
    assert limit.declared
    assert limit.fits({"prefill": 2, "decode": 2, "other": 1})
    assert not limit.fits({"prefill": 3, "decode": 2, "other": 1})


def test_packing_of_unequal_replicas() -> None:
    sizes = {"a": 3, "b": 1}
    limit = SharedLimit("8", sizes, (Slots(4, frozenset(sizes)), Slots(4, frozenset(sizes))))
    assert limit.fits({"a": 2, "b": 2})
    assert not limit.fits({"a": 2, "b": 3})
