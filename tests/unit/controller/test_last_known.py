"""An unobserved state is shown as it was last known, with its age and the reason, never as zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.cli.status import show_status
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.controller.telemetry.status import pass_status
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.conditions import ConditionType
from tests.helpers.passes import SimulatedPasses


def part(status: dict[str, Any], name: str) -> dict[str, Any]:
    (component,) = (c for c in status["components"] if c["name"] == name)
    return dict(component)


COUNTS = ("desired", "running", "ready")


def test_a_frozen_api_changes_no_number_in_status() -> None:
    passes = SimulatedPasses()
    before = pass_status(passes.graph, passes.run())
    done = passes.run(30.0, frozen=True)
    after = pass_status(passes.graph, done, Now.at(done.now.wall + 12.0))
    for component in passes.graph.components:
        was, now = part(before, component.name), part(after, component.name)
        assert was["unknown"] is None
        assert [now["replicas"][k] for k in COUNTS] == [was["replicas"][k] for k in COUNTS]
        assert now["replicas"]["ready"] == component.replicas
        assert (now["tasks"], now["revision"]) == (was["tasks"], was["revision"])
        assert now["unknown"]["ageSeconds"] == 42.0
        assert now["unknown"]["lastKnownAt"] == before["observedAt"]
        assert "took longer than 20 s" in now["unknown"]["reason"]
    assert after["endpoints"] == before["endpoints"]
    assert after["endpoints"]["etcd"] is not None
    assert after["endpointsUnknown"]["ageSeconds"] == 42.0
    assert not after["converged"]
    seen_again = pass_status(passes.graph, passes.run())
    assert all(c["unknown"] is None for c in seen_again["components"])
    assert seen_again["endpointsUnknown"] is None


def test_ready_keeps_its_status_and_gives_the_reason() -> None:
    passes = SimulatedPasses()
    passes.run()
    done = passes.run(30.0, frozen=True)
    for component in passes.graph.components:
        (ready,) = (
            c
            for c in done.plan.conditions
            if (c.type, c.component) == (ConditionType.READY, component.name)
        )
        assert (ready.status, ready.reason) == (True, "NotObserved")
        assert "0 of" not in ready.message
    assert not [w for w in done.plan.waits if "0 of" in w.reason]


def test_running_replicas_stay_known_without_the_registry() -> None:
    passes = SimulatedPasses()
    passes.run()
    status = pass_status(passes.graph, passes.run(10.0, unread=True))
    assert part(status, "frontend")["unknown"] is None
    prefill = part(status, "prefill")
    assert prefill["unknown"]["reason"].startswith("its registrations could not be read")
    assert [t["ready"] for t in prefill["tasks"]] == [True, True]
    assert prefill["replicas"]["ready"] == 2


def test_a_component_that_was_never_observed_has_no_numbers() -> None:
    passes = SimulatedPasses()
    status = pass_status(passes.graph, passes.run(frozen=True))
    decode = part(status, "decode")
    assert decode["replicas"] is None
    assert decode["unknown"]["lastKnownAt"] is None
    assert decode["unknown"]["ageSeconds"] is None
    assert status["endpointsUnknown"] is not None


def metrics_of(text: bytes, name: str) -> dict[str, float]:
    lines = [line for line in text.decode().splitlines() if line.startswith(name + "{")]
    return {labels: float(value) for labels, value in (line.rsplit(" ", 1) for line in lines)}


def test_gauges_keep_their_values_and_have_an_age(monkeypatch: pytest.MonkeyPatch) -> None:
    passes, metrics = SimulatedPasses(), Metrics()
    metrics.record(passes.run())
    before = metrics_of(metrics.text(), "ecs_dynamo_replicas")
    assert before['ecs_dynamo_replicas{component="prefill",graph="g",state="ready"}'] == 2.0
    done = passes.run(30.0, frozen=True)
    metrics.record(done)
    monkeypatch.setattr("time.monotonic", lambda: done.now.monotonic + 5.0)
    assert metrics_of(metrics.text(), "ecs_dynamo_replicas") == before
    ages = metrics_of(metrics.text(), "ecs_dynamo_observation_age_seconds")
    assert ages == {
        f'ecs_dynamo_observation_age_seconds{{component="{c.name}",graph="g"}}': 35.0
        for c in passes.graph.components
    }
    conditions = metrics_of(metrics.text(), "ecs_dynamo_condition")
    assert conditions['ecs_dynamo_condition{component="prefill",graph="g",type="Ready"}'] == 1.0


def test_lost_replicas_are_gauges() -> None:
    passes, metrics = SimulatedPasses(), Metrics()
    done = passes.run()
    lost = '{component="prefill",graph="g"}'
    for count, nobody in ((2, True), (0, False)):
        plan = replace(done.plan, lost={"prefill": count}, serves_nobody=nobody)
        metrics.record(replace(done, plan=plan))
        gauges = metrics_of(metrics.text(), "ecs_dynamo_lost_replicas")
        assert gauges[f"ecs_dynamo_lost_replicas{lost}"] == count
        assert gauges['ecs_dynamo_lost_replicas{component="decode",graph="g"}'] == 0
        gauges = metrics_of(metrics.text(), "ecs_dynamo_serves_nobody")
        assert gauges == {'ecs_dynamo_serves_nobody{graph="g"}': float(nobody)}


def test_a_component_that_was_never_observed_has_no_gauge() -> None:
    passes, metrics = SimulatedPasses(), Metrics()
    metrics.record(passes.run(frozen=True))
    assert metrics_of(metrics.text(), "ecs_dynamo_replicas") == {}


@pytest.mark.parametrize("seen_before", [True, False])
def test_the_command_line_shows_unknown_values(
    seen_before: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    passes = SimulatedPasses()
    if seen_before:
        passes.run()
    show_status(pass_status(passes.graph, passes.run(30.0, frozen=True)))
    printed = " ".join(capsys.readouterr().out.split())
    assert ("as of 30 s ago" in printed) == seen_before
    assert ("not observed yet" in printed) == (not seen_before)
    assert "unknown: prefill" in printed
    assert "none ready" not in printed
