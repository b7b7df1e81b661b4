"""Whole exchanges of generations, in passes of planning over the simulated ECS."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.generations import GenerationMode
from ecs_dynamo.model.graph import TAG_GENERATION, TAG_GRAPH, Graph
from ecs_dynamo.model.plan import DeleteService, Memory
from ecs_dynamo.model.snapshot import Unknown
from ecs_dynamo.planning import plan
from ecs_dynamo.planning.desired.generations.expansion import expand
from ecs_dynamo.planning.desired.generations.identity import generation_of
from tests.conftest import LONG
from tests.helpers import convergence
from tests.helpers.generations import (
    converge,
    effective_graph,
    mode_of,
    run_pass,
    running_generations,
)
from tests.helpers.graphs import graph, with_image, with_label
from tests.helpers.rollouts import rolls_by
from tests.helpers.simulated_ecs import SimulatedEcs

GOOD, MUTE, CRASHING = "good", "mute", "crashing"


def started(declared: Graph, gpus: int) -> tuple[SimulatedEcs, Memory]:
    """Return a cluster on which ``declared`` runs with generations."""
    ecs = SimulatedEcs(declared, gpu_instances=gpus)
    ecs.mute_images = {f"{name}:{MUTE}" for name in ("prefill", "decode")}
    ecs.crashes = {
        f"{name}:{CRASHING}": ("EssentialContainerExited", "exited")
        for name in ("prefill", "decode")
    }
    return ecs, converge(ecs, declared, Memory(started_at=ecs.now)).memory


def impatient(declared: Graph) -> Graph:
    """Return the graph with a short progress deadline of its workers."""
    for name in ("prefill", "decode"):
        declared = rolls_by(declared, name, progress_deadline_seconds=120.0)
    return declared


def routed(ecs: SimulatedEcs, name: str) -> int:
    """Return the serving workers of a component in the generations that are complete."""
    etcds = {ecs._store(ecs._etcd_of(task)) for _, _, task in ecs._workers()}
    complete = {n for etcd in etcds for n in ecs.complete_namespaces(etcd)}
    return sum(ecs._namespace_of(t) in complete for t in ecs.serving(name))


def check_services(ecs: SimulatedEcs) -> None:
    """Check that each generation of a component has exactly one service."""
    keys = [(s.component, s.tags.get(TAG_GENERATION)) for s in ecs.services.values()]
    assert len(keys) == len(set(keys)), keys
    assert all(s.tags[TAG_GRAPH] == "g" for s in ecs.services.values())


def test_another_card_is_exchanged_and_the_old_generation_is_the_rollback_target() -> None:
    declared = graph(prefill=1, decode=2)
    ecs, memory = started(declared, 8)
    edited = with_image(declared, "decode", "decode:2")
    result = converge(ecs, edited, memory)
    assert result.converged
    assert running_generations(ecs) == {generation_of(edited)}
    assert effective_graph(ecs, edited).generations.previous == generation_of(declared)


def test_a_change_of_an_excepted_part_rolls_its_component_alone_in_its_service() -> None:
    declared = graph(prefill=1, decode=2)
    ecs, memory = started(declared, 8)
    before = {s.name: s.revision for s in ecs.services.values()}
    assert converge(ecs, with_label(declared, "decode", "2"), memory).converged
    after = {s.name: s.revision for s in ecs.services.values()}
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {f"g-decode-{generation_of(declared)}"}


def test_a_revert_halfway_keeps_the_workers_that_still_serve() -> None:
    declared = graph(prefill=2, decode=2)
    ecs, memory = started(declared, 10)
    before = {t.arn for name in ("prefill", "decode") for t in ecs.serving(name)}
    edited = with_image(declared, "decode", "decode:2")
    for _ in range(3):
        memory = run_pass(ecs, edited, memory).memory
    assert len(running_generations(ecs)) == 2
    assert converge(ecs, declared, memory).converged
    assert running_generations(ecs) == {generation_of(declared)}
    assert {t.arn for name in ("prefill", "decode") for t in ecs.serving(name)} == before


def test_a_third_revision_halfway_replaces_the_second() -> None:
    declared = graph(prefill=2, decode=2)
    ecs, memory = started(declared, 12)
    for _ in range(4):
        second = with_image(declared, "decode", "decode:2")
        memory = run_pass(ecs, second, memory).memory
    third = with_image(declared, "decode", "decode:3")
    assert converge(ecs, third, memory).converged
    assert running_generations(ecs) == {generation_of(third)}
    assert effective_graph(ecs, third).generations.previous == generation_of(declared)


@pytest.mark.parametrize("name", ["prefill", "decode"])
@pytest.mark.parametrize("how", [MUTE, CRASHING])
def test_a_generation_that_fails_is_withdrawn_and_the_old_one_is_not_touched(
    name: str, how: str
) -> None:
    declared = impatient(graph(prefill=1, decode=2))
    ecs, memory = started(declared, 8)
    before = {t.arn for own in ("prefill", "decode") for t in ecs.serving(own)}
    failing = with_image(declared, name, f"{name}:{how}")
    result = converge(ecs, failing, memory)
    assert set(result.failures) == {"prefill", "decode"}
    assert "withdrawn" in result.failures[name]
    assert ("exited" if how == CRASHING else "registered") in result.failures[name]
    assert running_generations(ecs) == {generation_of(declared)}
    assert {t.arn for own in ("prefill", "decode") for t in ecs.serving(own)} == before
    # A new daemon knows it as well, and another declaration ends it.
    assert not run_pass(ecs, failing, Memory(started_at=ecs.now)).actions
    other = with_image(declared, name, f"{name}:3")
    assert converge(ecs, other, Memory(started_at=ecs.now)).converged
    assert running_generations(ecs) == {generation_of(other)}


def test_one_complete_set_without_room_waits_and_reports_the_shortage() -> None:
    declared = graph(prefill=1, decode=1)
    ecs, memory = started(declared, 2)
    before = {t.arn for name in ("prefill", "decode") for t in ecs.serving(name)}
    edited = with_image(declared, "decode", "decode:2")
    for _ in range(20):
        result = run_pass(ecs, edited, memory)
        memory = result.memory
    assert {t.arn for name in ("prefill", "decode") for t in ecs.serving(name)} == before
    short = {
        c.component: c.message
        for c in result.conditions
        if c.type is ConditionType.CAPACITY_SHORT and c.status
    }
    assert set(short) == {"prefill", "decode"}
    assert "minimumHealthyPercent 0" in short["prefill"]


def test_plain_workers_that_run_are_left_alone_by_a_new_daemon() -> None:
    declared = graph(prefill=1, decode=2)
    ecs, _ = convergence.converged(declared)
    result = run_pass(ecs, declared, Memory(started_at=ecs.now))
    assert mode_of(ecs, declared) is GenerationMode.PLAIN
    assert result.actions == ()
    assert any("adopts generations" in note for note in result.notes)


def test_an_excepted_change_of_plain_workers_adopts_nothing() -> None:
    declared = graph(prefill=1, decode=2)
    ecs, memory = convergence.converged(declared)
    edited = with_label(declared, "decode", "2")
    assert converge(ecs, edited, memory).converged
    assert running_generations(ecs) == {None}


def test_a_running_graph_is_adopted_without_an_outage() -> None:
    declared = graph(prefill=1, decode=2)
    ecs, memory = convergence.converged(declared)
    edited = with_image(declared, "decode", "decode:2")
    for _ in range(150):
        result = run_pass(ecs, edited, memory)
        memory = result.memory
        assert ecs.served()
        assert routed(ecs, "decode") >= 2
        if result.converged:
            break
    assert result.converged, result.waits
    assert running_generations(ecs) == {generation_of(edited)}
    assert mode_of(ecs, edited) is GenerationMode.IN_FORCE
    assert {"g-prefill", "g-decode"} & set(ecs.services) == set()


@pytest.mark.parametrize("edited", [False, True])
def test_workers_and_frontends_are_left_alone_while_their_services_are_unknown(
    edited: bool,
) -> None:
    declared = graph(prefill=1, decode=2)
    ecs, memory = convergence.converged(declared)
    changed = with_image(declared, "decode", "decode:2") if edited else declared
    changed = with_image(changed, "frontend", "frontend:2") if edited else changed
    unknown = expand(changed, {"gpu": Unknown("throttled")}, {})
    assert unknown.generations.mode is GenerationMode.UNKNOWN
    ecs.graph = unknown
    result = plan(unknown, ecs.snapshot(), memory, ecs.clock)
    assert not [a for a in result.actions if a.component != "etcd-nats"]
    assert not result.converged


Edit = tuple[str, str]
EDITS = st.tuples(
    st.sampled_from(["prefill", "decode"]),
    st.sampled_from(["1", "2", "3", MUTE, CRASHING]),
)
STEPS = st.lists(st.tuples(EDITS, st.integers(1, 12)), min_size=1, max_size=5)


@settings(max_examples=300 if LONG else 40, derandomize=not LONG)
@given(steps=STEPS, prefill=st.integers(1, 2), decode=st.integers(1, 3), spare=st.integers(2, 8))
def test_any_sequence_of_declarations_converges_and_never_stops_serving(
    steps: list[tuple[Edit, int]], prefill: int, decode: int, spare: int
) -> None:
    """A generation that serves stays until another one does, whatever is declared meanwhile."""
    declared = impatient(graph(prefill=prefill, decode=decode))
    desired = {"prefill": prefill, "decode": decode}
    ecs, memory = started(declared, prefill + decode + spare)
    for (name, image), passes in steps:
        declared = with_image(declared, name, f"{name}:{image}")
        for _ in range(passes):
            result = run_pass(ecs, declared, memory)
            memory = result.memory
            check_invariants(ecs, desired)
            deleted = {a.service for a in result.actions if isinstance(a, DeleteService)}
            assert not deleted & {c.service for c in ecs.graph.components}
    for name in ("prefill", "decode"):
        declared = with_image(declared, name, f"{name}:end")
    for _ in range(200):
        result = run_pass(ecs, declared, memory)
        memory = result.memory
        check_invariants(ecs, desired)
        if result.converged:
            break
    assert result.converged, (result.waits, result.actions)
    assert running_generations(ecs) == {generation_of(declared)}
    assert not run_pass(ecs, declared, memory).actions


def check_invariants(ecs: SimulatedEcs, desired: dict[str, int]) -> None:
    """Check that a generation is complete, and that enough of each component is routed."""
    check_services(ecs)
    assert ecs.served(), "no generation is complete"
    for name, number in desired.items():
        assert routed(ecs, name) >= min(number, max(number - 1, 1)), name
