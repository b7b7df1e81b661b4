"""A daemon that cannot reach any task says so; one silent replica proves nothing."""

from __future__ import annotations

import socket
from dataclasses import replace

from ecs_dynamo.discovery.probe import probe
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.plan import Memory, Plan
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    Probe,
    Snapshot,
    Task,
)
from ecs_dynamo.planning import plan
from tests.helpers.graphs import graph

NOW = 1_000.0
ETCD = "http://10.0.1.5:2379"
NATS = "nats://10.0.1.5:4222"


def snapshot(*, started: float, etcd: Probe, nats: Probe) -> Snapshot:
    """etcd and NATS run and are healthy as ECS sees it; nothing else exists yet."""
    declared = graph()
    task = Task("t1", "g-etcd-nats:1", "RUNNING", "RUNNING", private_ip="10.0.1.5")
    service = Service(
        arn="a",
        name="g-etcd-nats",
        cluster="fargate",
        status="ACTIVE",
        desired=1,
        running=1,
        pending=0,
        task_definition_arn="g-etcd-nats:1",
        tags={"ecs-dynamo:graph": "g"},
    )
    components = {c.name: ComponentSnapshot(service=None) for c in declared.components}
    components["etcd-nats"] = ComponentSnapshot(
        service=service,
        tasks=(replace(task, started_at=started),),
        probes={("t1", Role.ETCD): etcd, ("t1", Role.NATS): nats},
    )
    return Snapshot("g", NOW, components, clusters={"fargate": True, "gpu": True})


def planned(observed: Snapshot) -> Plan:
    result = plan(graph(), observed, Memory(0.0), Now.at(NOW))
    return replace(result, actions=())


def silent(url: str) -> Probe:
    return Probe(url, False, f"{url}: no complete answer within 3 s", unreachable=True)


def test_no_connection_to_any_task_is_reported_as_such() -> None:
    result = planned(snapshot(started=NOW - 60, etcd=silent(ETCD), nats=silent(NATS)))
    reported = [w.reason for w in result.waits if w.purpose is WaitPurpose.REACHABILITY]
    assert len(reported) == 1
    assert ETCD in reported[0]
    (degraded,) = [
        c for c in result.conditions if c.type is ConditionType.DEGRADED and c.component is None
    ]
    assert (degraded.status, degraded.reason) == (True, "Unreachable")


def test_a_task_that_has_just_started_or_one_silent_server_is_not_proof() -> None:
    young = planned(snapshot(started=NOW - 5, etcd=silent(ETCD), nats=silent(NATS)))
    refused = Probe(NATS, False, "connection refused")
    half = planned(snapshot(started=NOW - 60, etcd=silent(ETCD), nats=refused))
    for result in (young, half):
        assert not any(w.purpose is WaitPurpose.REACHABILITY for w in result.waits)
        assert not result.stuck


def test_what_waits_for_endpoints_quotes_why_there_are_none() -> None:
    result = planned(snapshot(started=NOW - 60, etcd=silent(ETCD), nats=Probe(NATS, True)))
    waits = {w.component: w.reason for w in result.waits}
    assert waits["frontend"].startswith("waiting for a ready etcd")
    assert f"{ETCD}: no complete answer within 3 s" in waits["frontend"]


async def test_a_refused_connection_is_an_answer_of_the_host() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    matches = await probe(Role.FRONTEND, f"http://127.0.0.1:{port}", 1.0)
    assert (matches.healthy, matches.unreachable, matches.silent) == (False, False, False)


async def test_a_frontend_that_takes_connections_and_does_not_answer_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        matches = await probe(Role.FRONTEND, url, 0.2)
    assert (matches.healthy, matches.unreachable, matches.silent) == (False, False, True)
