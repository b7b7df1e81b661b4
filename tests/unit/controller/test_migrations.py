"""Migrated requests: a counter per pass, and an event once the graph has converged again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.controller.telemetry.events import EventRing
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.controller.telemetry.reporter import PassReporter
from ecs_dynamo.model.plan import Wait
from ecs_dynamo.model.purposes import WaitPurpose
from tests.helpers.passes import SimulatedPasses


def with_migrations(done: Pass, migrations: Mapping[str, float], *, waits: bool) -> Pass:
    plan = replace(
        done.plan, waits=(Wait("decode", "a rollout", WaitPurpose.OBSTACLE),) if waits else ()
    )
    return replace(done, plan=plan, snapshot=replace(done.snapshot, migrations=migrations))


async def test_requests_that_a_rollout_moves_are_counted_and_reported_at_its_end() -> None:
    done = SimulatedPasses().run()
    metrics, events = Metrics(), EventRing()
    reporter = PassReporter("g", metrics, events)
    first = {"new_request": 2.0, "ongoing_request": 3.0, "too_long": 1.0}
    second = {"new_request": 0.0, "ongoing_request": 4.0, "too_long": 0.0}
    for migrations, waits in ((first, True), (second, True), ({}, False), ({}, False)):
        await reporter.report_pass(done, with_migrations(done, migrations, waits=waits))
        reported = [e.message for e in events.latest("g") if "moved" in e.message]
        assert reported == ([] if waits else ["9 requests were moved to another worker"])
    text = metrics.text().decode()
    for kind, count in (("new_request", 2), ("ongoing_request", 7), ("too_long", 1)):
        series = f'ecs_dynamo_request_migrations_total{{graph="{done.plan.graph}",kind="{kind}"}}'
        assert f"{series} {count}.0" in text
