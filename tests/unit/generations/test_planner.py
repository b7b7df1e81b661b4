"""Dynamo's planner counts the workers of exactly its namespace: that of the target generation."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.generations import GenerationMode, Generations, planner_namespaces
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import ReplicaCounts
from ecs_dynamo.model.snapshot import Signal, SignalKind, Snapshot
from ecs_dynamo.model.spec.scaling import PlannerSource, SloScaling
from ecs_dynamo.planning.desired.rendering import runtime_environment
from ecs_dynamo.planning.scaling.dynamo_planner import planner_reached
from ecs_dynamo.signals.registry import _declared_signals
from tests.helpers.graphs import component, graph

NEW = "g22222222"
SCALING = SloScaling(min=1, max=4, signals=(PlannerSource(source="planner"),))


def effective(mode: GenerationMode) -> Graph:
    """A graph with a planner in the middle of an exchange of decode workers."""
    base = graph(scaling=SCALING)
    decode = replace(base.component("prefill"), generation=NEW)
    old = replace(decode, name="prefill@g11111111", declared_name="prefill", generation="g11111111")
    return replace(
        base,
        components=(component("planner", Role.PLANNER), component("f", Role.FRONTEND), decode, old),
        generations=Generations(mode, declared=NEW, target=NEW),
    )


def namespace(declared: Graph, name: str) -> str:
    return runtime_environment(declared, declared.component(name), 8081)["DYN_NAMESPACE"]


def test_the_planner_follows_the_target_generation_once_generations_are_in_force() -> None:
    in_force = effective(GenerationMode.IN_FORCE)
    assert namespace(in_force, "planner") == f"ns-{NEW}"
    assert namespace(in_force, "f") == namespace(in_force, "prefill") == "ns"
    assert planner_namespaces("ns", in_force.generations) == (f"ns-{NEW}", "ns")
    for mode in (GenerationMode.OFF, GenerationMode.PLAIN, GenerationMode.ADOPTING):
        assert namespace(effective(mode), "planner") == "ns"
        assert planner_namespaces("ns", effective(mode).generations) == ("ns",)


def test_demand_and_counts_are_those_of_all_generations_together() -> None:
    declared = effective(GenerationMode.IN_FORCE)
    assert [signal.component.name for signal in _declared_signals(declared)] == ["prefill"]
    requested = Signal("prefill", SignalKind.DESIRED_REPLICAS, 3, "replicas", 10.0)
    snapshot = Snapshot("g", 10.0, {}, signals=(requested,))

    def reached(new: int, old: int) -> bool:
        names = {"prefill": new, "prefill@g11111111": old}
        replicas = {name: ReplicaCounts(count, count, count) for name, count in names.items()}
        return planner_reached(declared, snapshot, replicas)

    assert reached(1, 2)
    assert not reached(1, 1)
