"""What is not known now is shown as it was last, with its age and the reason: never as zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.cli import status as cli
from ecs_dynamo.controller.reconcile.last_known import (
    NOTHING_KNOWN,
    LastKnown,
)
from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.controller.telemetry.status import pass_status
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Plan
from ecs_dynamo.model.snapshot import ComponentSnapshot, Snapshot, Unknown
from ecs_dynamo.planning import plan
from tests.unit.planning.graphs import graph
from tests.unit.planning.test_parts import converged

FROZEN = Unknown("services took longer than 20 s (DescribeServices: Unreachable: AWS)")


class Daemon:
    """Passes over a graph that has converged, of which some look at an AWS that is frozen."""

    def __init__(self) -> None:
        self.graph: Graph = graph(prefill=2)
        self.ecs, self.memory = converged(self.graph)
        self.known: LastKnown = NOTHING_KNOWN

    def run(self, later: float = 0.0, *, frozen: bool = False, unread: bool = False) -> Pass:
        self.ecs.now += later
        seen = self.ecs.snapshot()
        if frozen:
            nothing = ComponentSnapshot(service=FROZEN, tasks=FROZEN)
            seen = Snapshot(
                graph=seen.graph,
                observed_at=seen.observed_at,
                components=dict.fromkeys(seen.components, nothing),
                clusters=dict.fromkeys(seen.clusters, FROZEN),
                orphans=FROZEN,
                registrations=Unknown("no etcd replica answers"),
            )
        if unread:
            seen = replace(seen, registrations=Unknown("etcd: timed out"))
        now: Now = self.ecs.clock
        made: Plan = plan(self.graph, seen, self.memory, now)
        self.memory = made.memory
        self.known = self.known.after(self.graph, seen, made, now)
        return Pass("p", now, 0.1, seen, made, known=self.known)


def part(found: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = (c for c in found["components"] if c["name"] == name)
    return dict(one)


COUNTS = ("desired", "running", "ready")


def test_a_frozen_api_changes_no_number_in_status() -> None:
    daemon = Daemon()
    before = pass_status(daemon.graph, daemon.run())
    done = daemon.run(30.0, frozen=True)
    asked = Now.at(done.now.wall + 12.0)
    after = pass_status(daemon.graph, done, asked)
    for component in daemon.graph.components:
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
    seen_again = pass_status(daemon.graph, daemon.run())
    assert all(c["unknown"] is None for c in seen_again["components"])
    assert seen_again["endpointsUnknown"] is None


def test_ready_stays_as_it_was_and_says_why() -> None:
    daemon = Daemon()
    daemon.run()
    done = daemon.run(30.0, frozen=True)
    for component in daemon.graph.components:
        (ready,) = (
            c
            for c in done.plan.conditions
            if (c.type, c.component) == (ConditionType.READY, component.name)
        )
        assert (ready.status, ready.reason) == (True, "NotObserved")
        assert "0 of" not in ready.message
    assert not [w for w in done.plan.waits if "0 of" in w.reason]


def test_registrations_that_cannot_be_read_leave_running_replicas_known() -> None:
    daemon = Daemon()
    daemon.run()
    found = pass_status(daemon.graph, daemon.run(10.0, unread=True))
    assert part(found, "frontend")["unknown"] is None
    prefill = part(found, "prefill")
    assert prefill["unknown"]["reason"].startswith("its registrations could not be read")
    assert [t["ready"] for t in prefill["tasks"]] == [True, True]
    assert prefill["replicas"]["ready"] == 2


def test_what_was_never_seen_is_unknown_and_no_number() -> None:
    daemon = Daemon()
    found = pass_status(daemon.graph, daemon.run(frozen=True))
    decode = part(found, "decode")
    assert decode["replicas"] is None
    assert decode["unknown"]["lastKnownAt"] is None
    assert decode["unknown"]["ageSeconds"] is None
    assert found["endpointsUnknown"] is not None


def metrics_of(text: bytes, name: str) -> dict[str, float]:
    lines = [line for line in text.decode().splitlines() if line.startswith(name + "{")]
    return {labels: float(value) for labels, value in (line.rsplit(" ", 1) for line in lines)}


def test_gauges_keep_their_values_and_tell_their_age(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon, metrics = Daemon(), Metrics()
    metrics.record(daemon.run())
    before = metrics_of(metrics.text(), "ecs_dynamo_replicas")
    assert before['ecs_dynamo_replicas{component="prefill",graph="g",state="ready"}'] == 2.0
    done = daemon.run(30.0, frozen=True)
    metrics.record(done)
    monkeypatch.setattr("time.monotonic", lambda: done.now.monotonic + 5.0)
    assert metrics_of(metrics.text(), "ecs_dynamo_replicas") == before
    ages = metrics_of(metrics.text(), "ecs_dynamo_observation_age_seconds")
    assert ages == {
        f'ecs_dynamo_observation_age_seconds{{component="{c.name}",graph="g"}}': 35.0
        for c in daemon.graph.components
    }
    conditions = metrics_of(metrics.text(), "ecs_dynamo_condition")
    assert conditions['ecs_dynamo_condition{component="prefill",graph="g",type="Ready"}'] == 1.0


def test_lost_replicas_are_gauges() -> None:
    daemon, metrics = Daemon(), Metrics()
    done = daemon.run()
    lost = '{component="prefill",graph="g"}'
    for count, nobody in ((2, True), (0, False)):
        made = replace(done.plan, lost={"prefill": count}, serves_nobody=nobody)
        metrics.record(replace(done, plan=made))
        found = metrics_of(metrics.text(), "ecs_dynamo_lost_replicas")
        assert found[f"ecs_dynamo_lost_replicas{lost}"] == count
        assert found['ecs_dynamo_lost_replicas{component="decode",graph="g"}'] == 0
        told = metrics_of(metrics.text(), "ecs_dynamo_serves_nobody")
        assert told == {'ecs_dynamo_serves_nobody{graph="g"}': float(nobody)}


def test_a_daemon_that_never_saw_a_component_gives_no_gauge_of_it() -> None:
    daemon, metrics = Daemon(), Metrics()
    metrics.record(daemon.run(frozen=True))
    assert metrics_of(metrics.text(), "ecs_dynamo_replicas") == {}


@pytest.mark.parametrize("seen_before", [True, False])
def test_the_command_line_says_unknown(
    seen_before: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = Daemon()
    if seen_before:
        daemon.run()
    cli.show_status(pass_status(daemon.graph, daemon.run(30.0, frozen=True)))
    told = " ".join(capsys.readouterr().out.split())
    assert ("as of 30 s ago" in told) == seen_before
    assert ("not observed yet" in told) == (not seen_before)
    assert "unknown: prefill" in told
    assert "none ready" not in told
