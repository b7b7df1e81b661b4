"""Limits of scaling in the whole plan: counts, decisions in words, and the condition."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.conditions import Condition, ConditionType
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Memory, Plan
from ecs_dynamo.model.snapshot import Signal, SignalKind, Unknown
from ecs_dynamo.model.spec.capacity import CapacitySpec
from ecs_dynamo.model.spec.scaling import QueueScaling
from ecs_dynamo.planning import plan
from tests.helpers.convergence import converged
from tests.helpers.graphs import graph
from tests.helpers.simulated_ecs import SimulatedEcs

SCALING = QueueScaling(min=1, max=20, target=1.0, max_step_up=20, max_step_down=1)
LONG_AGO = -1e6


def scaled(*, scaling: QueueScaling = SCALING, max_gpus: int | None = None) -> Graph:
    base = graph(prefill=3, decode=3)
    components = tuple(replace(c, scaling=scaling) if c.is_worker else c for c in base.components)
    return replace(base, components=components, capacity=CapacitySpec(max_gpus=max_gpus))


def pass_with(
    ecs: SimulatedEcs,
    declared: Graph,
    memory: Memory,
    *,
    known: bool = True,
    late: dict[str, float] | None = None,
    **queued: float,
) -> Plan:
    observed = ecs.snapshot()
    at = observed.observed_at
    signals = [
        Signal(name, SignalKind.QUEUE_DEPTH, depth, "requests", at, "frontend")
        for name, depth in queued.items()
    ]
    signals += [
        Signal(name, SignalKind.ARRIVAL_RATE, 1.0, "requests/s", at, "frontend") for name in queued
    ]
    signals += [
        Signal(name, SignalKind.LATE_SHARE, share, "share", at, "frontend")
        for name, share in (late or {}).items()
    ]
    observed = replace(observed, signals=tuple(signals))
    if not known:
        observed = replace(observed, container_instances={"gpu": Unknown("throttled")})
    return plan(declared, observed, memory, ecs.clock)


def desired(result: Plan) -> dict[str, int]:
    return {d.component: d.desired for d in result.decisions}


def limited(result: Plan) -> dict[str, Condition]:
    return {
        str(c.component): c
        for c in result.conditions
        if c.type is ConditionType.SCALING_LIMITED and c.status
    }


def test_components_share_the_slots_of_a_cluster_that_cannot_grow() -> None:
    declared = scaled()
    ecs, memory = converged(declared, gpus=8)
    memory = replace(memory, started_at=LONG_AGO)
    result = pass_with(ecs, declared, memory, prefill=9, decode=6)
    assert desired(result) == {"prefill": 5, "decode": 3}
    (decision,) = (d for d in result.decisions if d.component == "prefill")
    assert decision.demand == 9
    assert decision.reason.startswith("prefill 3 -> 5: 9 requests queued")
    assert "limited to 5 of 9 replicas by 8 GPU slots of cluster gpu, shared with decode" in (
        decision.reason
    )
    reasons = {n: c.reason for n, c in limited(result).items()}
    assert reasons == {"prefill": "GpuSlots", "decode": "GpuSlots"}
    assert result.shortages == ()


def test_an_unknown_capacity_limits_nothing() -> None:
    declared = scaled()
    ecs, memory = converged(declared, gpus=8)
    result = pass_with(ecs, declared, memory, known=False, prefill=9, decode=3)
    assert desired(result) == {"prefill": 9, "decode": 3}
    assert limited(result) == {}


def test_the_component_that_misses_its_target_takes_replicas_of_the_other() -> None:
    declared = scaled()
    ecs, memory = converged(declared, gpus=8)
    memory = replace(memory, started_at=LONG_AGO)
    result = pass_with(ecs, declared, memory, prefill=9, decode=3)
    ecs.execute(result.actions)
    for _ in range(80):
        ecs.step(15.0)
        result = pass_with(
            ecs,
            declared,
            result.memory,
            late={"prefill": 0.0, "decode": 0.8},
            prefill=9,
            decode=9,
        )
        ecs.execute(result.actions)
    assert sum(desired(result).values()) == 8
    assert desired(result)["decode"] >= 4
    (decision,) = (d for d in result.decisions if d.component == "prefill")
    assert "decode misses its target more (80% against 0%)" in decision.reason


def test_demand_above_max_is_a_condition_that_lasts_as_long() -> None:
    declared = scaled(scaling=SCALING.model_copy(update={"max": 4}))
    ecs, memory = converged(declared, gpus=16)
    memory = replace(memory, started_at=LONG_AGO)
    result = pass_with(ecs, declared, memory, prefill=9, decode=3)
    assert desired(result) == {"prefill": 4, "decode": 3}
    (condition,) = limited(result).values()
    assert (condition.component, condition.reason) == ("prefill", "AtMaximum")
    assert condition.message == "the demand asks for 9 replicas, max is 4"
    ecs.execute(result.actions)
    for seconds, holds in ((30.0, True), (200.0, True), (100.0, False)):
        ecs.step(seconds)
        result = pass_with(ecs, declared, result.memory, prefill=3, decode=3)
        assert bool(limited(result)) == holds
    assert "prefill" not in limited(result)


def test_without_signals_the_condition_stays() -> None:
    declared = scaled(max_gpus=8)
    ecs, memory = converged(declared, gpus=16)
    result = pass_with(ecs, declared, replace(memory, started_at=LONG_AGO), prefill=9, decode=6)
    assert {c.reason for c in limited(result).values()} == {"MaxGpus"}
    assert desired(result) == {"prefill": 5, "decode": 3}
    ecs.execute(result.actions)
    ecs.step(15.0)
    silent = pass_with(ecs, declared, result.memory)
    assert list(limited(silent)) == ["decode", "prefill"]


def test_a_lost_instance_does_not_scale_in_what_is_left() -> None:
    declared = scaled()
    ecs, memory = converged(declared, gpus=8)
    memory = replace(memory, started_at=LONG_AGO)
    observed = ecs.snapshot()
    left = {
        name: tuple(replace(i, agent_connected=n >= 4) for n, i in enumerate(instances))
        for name, instances in observed.container_instances.items()
        if not isinstance(instances, Unknown)
    }
    signals = tuple(
        Signal(name, SignalKind.QUEUE_DEPTH, 3.0, "requests", observed.observed_at, "frontend")
        for name in ("prefill", "decode")
    )
    observed = replace(observed, container_instances=left, signals=signals)
    result = plan(declared, observed, memory, ecs.clock)
    assert desired(result) == {"prefill": 3, "decode": 3}
    later = replace(observed, observed_at=observed.observed_at + 1000.0)
    later = replace(
        later, signals=tuple(replace(s, observed_at=later.observed_at) for s in signals)
    )
    result = plan(declared, later, result.memory, Now.at(later.observed_at))
    assert sum(desired(result).values()) < 6
