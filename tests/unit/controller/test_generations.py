"""Status and metrics of a graph with several generations of workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from ecs_dynamo.aws.execute.executor import ActionResult
from ecs_dynamo.cli.status import show_status
from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.controller.telemetry.status import pass_status
from ecs_dynamo.model.conditions import Condition, ConditionType
from ecs_dynamo.model.generations import GenerationMode, Generations
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import ReplicaCounts, StopTask
from tests.helpers.passes import SimulatedPasses

OLD, NEW = "g11111111", "g22222222"
IN_FORCE = Generations(GenerationMode.IN_FORCE, declared=NEW, target=NEW, previous=OLD)


def with_generations(graph: Graph, generations: Generations = IN_FORCE) -> Graph:
    """The effective graph in which decode workers of both generations run."""
    components = []
    for component in graph.components:
        if component.name != "decode":
            components.append(component)
            continue
        components.append(replace(component, generation=NEW))
        old = replace(component, name=f"decode@{OLD}", declared_name="decode", generation=OLD)
        components.append(old)
    return replace(graph, components=tuple(components), generations=generations)


def during_exchange(
    counts: Mapping[str, ReplicaCounts], generations: Generations = IN_FORCE
) -> tuple[Graph, Pass]:
    passes = SimulatedPasses()
    done = passes.run()
    old = f"decode@{OLD}"
    snapshot = replace(
        done.snapshot,
        components={**done.snapshot.components, old: done.snapshot.components["decode"]},
    )
    effective = with_generations(passes.graph, generations)
    stopping = StopTask(
        component=old, reason="r", cluster="gpu", service="s", task="t", why="the exchange"
    )
    plan = replace(
        done.plan,
        replicas={**done.plan.replicas, **counts},
        effective=effective,
        lost={old: 1},
        conditions=(
            Condition(ConditionType.READY, False, "NotReady", "", 1.0, "decode"),
            Condition(ConditionType.READY, True, "AllReady", "", 1.0, old),
            Condition(ConditionType.DEGRADED, False, "Fine", "", 1.0, "decode"),
            Condition(ConditionType.DEGRADED, True, "ReplicaLost", "", 1.0, old),
        ),
    )
    known = replace(
        done.known,
        components={**done.known.components, old: done.known.components["decode"]},
    )
    results = (ActionResult(stopping, True, True, 0.1),)
    return passes.graph, replace(done, snapshot=snapshot, plan=plan, known=known, results=results)


EXCHANGE = {
    "decode": ReplicaCounts(3, 2, 1, 1, 1),
    f"decode@{OLD}": ReplicaCounts(2, 2, 2, 2, None),
}


def samples(metrics: Metrics, name: str) -> dict[str, float]:
    lines = (x for x in metrics.text().decode().splitlines() if x.startswith(name + "{"))
    return {
        labels.removeprefix(name): float(value)
        for labels, value in (line.rsplit(" ", 1) for line in lines)
    }


def replicas(metrics: Metrics) -> dict[str, float]:
    values = samples(metrics, "ecs_dynamo_replicas")
    states = ("desired", "running", "ready", "registered", "routed")
    return {s: values[f'{{component="decode",graph="g",state="{s}"}}'] for s in states}


def of_generations(metrics: Metrics, state: str) -> dict[str, float]:
    values = samples(metrics, "ecs_dynamo_generation_replicas")
    return {
        word: values[f'{{component="decode",generation="{word}",graph="g",state="{state}"}}']
        for word in ("target", "other")
    }


def test_metrics_of_a_component_are_those_of_all_its_generations() -> None:
    metrics = Metrics()
    _, done = during_exchange(EXCHANGE)
    metrics.record(done)
    assert replicas(metrics) == {
        "desired": 5.0,
        "running": 4.0,
        "ready": 3.0,
        "registered": 3.0,
        "routed": 1.0,
    }
    assert of_generations(metrics, "ready") == {"target": 1.0, "other": 2.0}
    assert samples(metrics, "ecs_dynamo_lost_replicas")['{component="decode",graph="g"}'] == 1.0
    conditions = samples(metrics, "ecs_dynamo_condition")
    assert conditions['{component="decode",graph="g",type="Ready"}'] == 0.0
    assert conditions['{component="decode",graph="g",type="Degraded"}'] == 1.0


def test_no_label_grows_with_the_number_of_generations() -> None:
    metrics = Metrics()
    graph, done = during_exchange(EXCHANGE)
    metrics.record(done)
    text = metrics.text().decode()
    assert "@" not in text
    assert [line for line in text.splitlines() if OLD in line or NEW in line] == [
        f'ecs_dynamo_generation_info{{function="declared",generation="{NEW}",graph="g"}} 1.0',
        f'ecs_dynamo_generation_info{{function="target",generation="{NEW}",graph="g"}} 1.0',
        f'ecs_dynamo_generation_info{{function="previous",generation="{OLD}",graph="g"}} 1.0',
    ]
    # After the exchange nothing is left of the other generation.
    alone = with_generations(graph)
    alone = replace(alone, components=tuple(c for c in alone.components if not c.declared_name))
    counts = {name: c for name, c in done.plan.replicas.items() if "@" not in name}
    metrics.record(replace(done, plan=replace(done.plan, replicas=counts, effective=alone)))
    assert of_generations(metrics, "ready") == {"target": 1.0, "other": 0.0}


def test_an_unknown_generation_keeps_the_last_values_of_its_component() -> None:
    metrics = Metrics()
    _, done = during_exchange(EXCHANGE)
    metrics.record(done)
    before = replicas(metrics)
    unknown = replace(
        done.plan,
        unknown={f"decode@{OLD}": "throttled"},
        replicas={**done.plan.replicas, "decode": ReplicaCounts(9, 9, 9, 9, 9)},
    )
    metrics.record(replace(done, plan=unknown))
    assert replicas(metrics) == before


def test_a_graph_without_generations_has_no_metrics_of_them() -> None:
    metrics = Metrics()
    done = SimulatedPasses().run()
    metrics.record(replace(done, plan=replace(done.plan, effective=None)))
    assert "generation_info{" not in metrics.text().decode()
    assert samples(metrics, "ecs_dynamo_generation_replicas") == {}


def test_status_shows_each_generation(capsys: pytest.CaptureFixture[str]) -> None:
    graph, done = during_exchange(EXCHANGE)
    status = pass_status(graph, done)
    rows = [
        (c["name"], c["component"], c["generation"], (c["replicas"] or {}).get("ready"))
        for c in status["components"]
        if c["component"] == "decode"
    ]
    assert rows == [("decode", "decode", NEW, 1), (f"decode@{OLD}", "decode", OLD, 2)]
    assert status["generations"] == {
        "mode": "in force",
        "declared": NEW,
        "target": NEW,
        "previous": OLD,
        "withdrawn": None,
        "dormant": [],
        "why": "",
    }
    show_status(status)
    assert f"generation {NEW} of workers; previous {OLD}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("generations", "line"),
    [
        (Generations(GenerationMode.OFF, why="it has no workers"), None),
        (Generations(GenerationMode.PLAIN), "generations of workers: not adopted yet"),
        (
            Generations(GenerationMode.UNKNOWN, why="throttled"),
            "generations of workers: unknown (throttled)",
        ),
        (
            Generations(GenerationMode.ADOPTING, declared=NEW, target=NEW, previous="plain"),
            "previous plain; adopting: frontends also serve the namespace of plain workers",
        ),
        (
            replace(IN_FORCE, target=OLD, withdrawn="CrashLoop"),
            f"generation {OLD} of workers; the declared one, {NEW}, is withdrawn: CrashLoop",
        ),
    ],
)
def test_status_says_how_far_generations_are_in_force(
    generations: Generations, line: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, done = during_exchange(EXCHANGE, generations)
    show_status(pass_status(graph, done))
    printed = " ".join(capsys.readouterr().out.split())
    assert line in printed if line is not None else "of workers" not in printed
