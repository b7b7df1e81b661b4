"""The documents that users parse: `/status` and `plan --json` keep every key and type.

The expected shapes are in tests/fixtures/contracts. A change there is a change for users: keys may
be added, but a renamed field in the code must not rename a key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from ecs_dynamo.aws.execute.executor import ActionResult
from ecs_dynamo.aws.server_clock import ServerClock
from ecs_dynamo.config import load_settings
from ecs_dynamo.controller.daemon.graph_file import GraphFile
from ecs_dynamo.controller.daemon.loop import GraphLoop
from ecs_dynamo.controller.daemon.run import daemon_status
from ecs_dynamo.controller.reconcile.reconciler import Pass, Reconciler
from ecs_dynamo.controller.telemetry.events import Event, EventKind, EventRing
from ecs_dynamo.controller.telemetry.metrics import Metrics
from ecs_dynamo.controller.telemetry.status import plan_document
from ecs_dynamo.controller.triggers.ecs_events import EventQueueReader, MessageKind
from ecs_dynamo.model.capacity import Shortage
from ecs_dynamo.model.conditions import Condition, ConditionReason, ConditionType
from ecs_dynamo.model.generations import Dormant, GenerationMode, Generations
from ecs_dynamo.model.plan import (
    AnyAction,
    ChangeMembership,
    CreateService,
    Decision,
    DeleteService,
    Endpoints,
    Limitation,
    MembershipStep,
    ProtectTasks,
    RegisterTaskDefinition,
    RetireRevisions,
    RevisionRef,
    SetDesiredCapacity,
    SetInstancesState,
    StopTask,
    TagService,
    TerminateInstance,
    UpdateService,
    Wait,
)
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.service import Deployment, Service
from ecs_dynamo.model.service_settings import (
    DeploymentLimits,
    LoadBalancer,
    PlacementConstraint,
    PlacementStrategy,
    PublishedPort,
    ServiceConnect,
    ServiceSettings,
)
from ecs_dynamo.model.snapshot import Signal, SignalKind, Task, Unknown
from ecs_dynamo.model.spec.capacity import CapacityProviderItem
from ecs_dynamo.model.spec.scaling import QueueScaling
from ecs_dynamo.model.spec.service import NetworkSpec
from tests.helpers.graph_loop import ROOT
from tests.helpers.passes import SimulatedPasses
from tests.helpers.shapes import shape_of

CONTRACTS = ROOT / "tests" / "fixtures" / "contracts"
NETWORK = NetworkSpec(subnets=("subnet-1",), security_groups=("sg-1",), assign_public_ip=True)
REF = RevisionRef("g-decode", "abc", "arn:aws:ecs:us-east-1:1:task-definition/g-decode:1")
AT = 1_800_000_000.0
COMMON: dict[str, Any] = {"component": "decode", "reason": "a test"}
OWN: dict[str, Any] = {**COMMON, "cluster": "gpu", "service": "g-decode"}
SETTINGS = ServiceSettings(
    launch_type="EC2",
    capacity_providers=(CapacityProviderItem(name="spot"),),
    service_registry="arn:aws:servicediscovery:us-east-1:1:service/s",
    service_connect=ServiceConnect("ns", (PublishedPort("p", "d", "etcd.local", 2379),)),
    load_balancers=(LoadBalancer("arn:t", "frontend", 8000),),
    network=NETWORK,
    limits=DeploymentLimits(),
    availability_zone_rebalancing=True,
    health_check_grace_seconds=5,
    placement_strategy=(PlacementStrategy("spread", "host"),),
    placement_constraints=(PlacementConstraint("distinctInstance"),),
    tags_reach_tasks=True,
    enable_execute_command=True,
)
ACTIONS: tuple[AnyAction, ...] = (
    RegisterTaskDefinition(
        **COMMON, family="g-decode", fingerprint="abc", content={"a": 1}, tags={"k": "v"}
    ),
    CreateService(**OWN, revision=REF, desired=1, settings=SETTINGS, tags={"k": "v"}),
    UpdateService(**OWN, revision=REF, desired=1, settings=SETTINGS),
    UpdateService(**OWN),
    ProtectTasks(**COMMON, cluster="gpu", tasks=("arn:t",), minutes=10),
    ProtectTasks(**COMMON, cluster="gpu", tasks=("arn:t",), minutes=None),
    StopTask(**OWN, task="arn:t", why="lost"),
    DeleteService(**OWN),
    TagService(**OWN, set_tags={"k": "v"}, remove_tags=("x",), revision="arn:r"),
    TagService(**OWN, set_tags={"k": "v"}),
    RetireRevisions(**COMMON, family="g-decode", arns=("arn:r",)),
    SetDesiredCapacity(**COMMON, group="asg", desired=2),
    SetInstancesState(**COMMON, cluster="gpu", instances=("arn:i",), status="DRAINING"),
    TerminateInstance(
        **COMMON, group="asg", cluster="gpu", instance="arn:i", ec2_instance_id="i-1", floor=1
    ),
    ChangeMembership(**COMMON, step=MembershipStep.ADD, servers=("http://s",), peer_url="http://p"),
)


def full_pass(simulated: SimulatedPasses) -> Pass:
    """A pass in which every part of the documents has a value."""
    done = simulated.run()
    decode = done.snapshot.components["decode"]
    service = decode.service
    assert isinstance(service, Service)
    deployment = Deployment(
        "d", "PRIMARY", service.task_definition_arn, 1, 1, 0, 1, "FAILED", "why", AT, AT, NETWORK
    )
    tasks = decode.tasks
    assert not isinstance(tasks, Unknown)
    protected = tuple(replace(task, protected_until=AT, private_ip="10.0.0.1") for task in tasks)
    stopped = Task(
        arn="arn:aws:ecs:us-east-1:1:task/gpu/stopped",
        task_definition_arn=service.task_definition_arn,
        last_status="STOPPED",
        desired_status="STOPPED",
        stopped_at=done.at,
        stop_code="EssentialContainerExited",
        stopped_reason="Essential container in task exited",
    )
    changed = replace(
        decode,
        service=replace(service, deployments=(deployment,), events=("an event of ECS",)),
        tasks=protected,
        stopped=(stopped, replace(stopped, stop_code=None)),
    )
    signals = (Signal("prefill", SignalKind.QUEUE_DEPTH, 1.0, "requests", done.now.monotonic, "s"),)
    snapshot = replace(
        done.snapshot,
        components={**done.snapshot.components, "decode": changed},
        signals=signals,
    )
    plan = replace(
        done.plan,
        actions=ACTIONS,
        waits=(Wait("decode", "a wait", WaitPurpose.READINESS),),
        notes=("a note",),
        conditions=(
            Condition(ConditionType.READY, True, "Word", "text", AT, "decode"),
            Condition(ConditionType.READY, True, "Word", "text", AT),
        ),
        decisions=(
            Decision("prefill", 1, 2, "a decision"),
            Decision("prefill", 1, 2, "a decision", demand=3, limitation=LIMITATION),
        ),
        shortages=(
            Shortage("decode", 1, 1, "a shortage", ("p5.48xlarge",), "a group"),
            Shortage("prefill", 1, 1, "a shortage"),
        ),
        unattributed=("a registration",),
        effective=replace(
            simulated.graph,
            generations=GENERATIONS,
            components=tuple(
                replace(c, generation="g22222222" if c.is_worker else None)
                for c in simulated.graph.components
            ),
        ),
    )
    results = (
        ActionResult(ACTIONS[0], True, True, 0.1),
        ActionResult(ACTIONS[1], False, False, 0.1, "an error"),
    )
    return replace(
        done,
        snapshot=snapshot,
        plan=plan,
        results=results,
        problems={"prefill": "a problem"},
        malformed=("an answer",),
    )


GENERATIONS = Generations(
    GenerationMode.IN_FORCE,
    declared="g11111111",
    target="g22222222",
    previous="g22222222",
    withdrawn="CrashLoop",
    dormant=(Dormant("g33333333", "decode", "gpu", "g-decode-g33333333", is_active=True),),
)


@pytest.fixture
def simulated() -> SimulatedPasses:
    passes = SimulatedPasses()
    components = tuple(
        replace(c, scaling=QueueScaling(min=1, max=4)) if c.name == "prefill" else c
        for c in passes.graph.components
    )
    passes.graph = replace(passes.graph, components=components)
    return passes


def status_documents(simulated: SimulatedPasses) -> Iterator[dict[str, Any]]:
    """`/status` before the first pass, after passes of several kinds, and after a failure."""
    aws: Any = SimpleNamespace(calls={}, clock=ServerClock())
    file: Any = GraphFile(ROOT / "examples" / "local" / "ecs-dynamo.yaml", {})
    file.graph = simulated.graph
    settings = load_settings({})
    events = EventRing()
    loop = GraphLoop(file, Reconciler(file.graph, aws, settings), settings, Metrics(), events)
    queue = EventQueueReader(aws, "http://q", lambda *_: None)
    yield daemon_status(AT, [loop], None)
    loop.last = SimulatedPasses().run(frozen=True)  # Never observed before.
    yield daemon_status(AT, [loop], queue)
    loop.last = full_pass(simulated)
    for component in ("decode", None):
        events.add(Event(AT, file.graph.name, EventKind.ACTION, component, "text", warning=True))
    queue.messages.update(MessageKind)
    queue.problem = file.error = "a problem"
    yield daemon_status(AT, [loop], queue)
    loop.last = simulated.run(30.0, frozen=True)
    loop.failure = Condition(ConditionType.RECONCILE_FAILED, True, "PassRaised", "text", AT)
    yield daemon_status(AT, [loop], queue)


def assert_contract(name: str, shape: dict[str, list[str]]) -> None:
    """Compare a shape with the pinned one. Missing keys are the error to look for."""
    path: Path = CONTRACTS / name
    pinned = json.loads(path.read_text())
    changed = {
        key: (pinned.get(key), shape.get(key))
        for key in sorted(pinned.keys() | shape.keys())
        if pinned.get(key) != shape.get(key)
    }
    assert not changed, f"{name}: (pinned, actual) of each changed key: {changed}"


def test_status_keeps_its_keys_and_types(simulated: SimulatedPasses) -> None:
    documents = [json.loads(json.dumps(d)) for d in status_documents(simulated)]
    assert_contract("status.json", shape_of(documents, {"graphs[].signalProblems"}))


def plan_shape(simulated: SimulatedPasses) -> dict[str, list[str]]:
    """The shape of `plan --json`, with one entry per kind of action."""
    done = full_pass(simulated)
    plans = [replace(done.plan, actions=()), replace(done.plan, endpoints=Endpoints())]
    documents = [json.loads(json.dumps(plan_document(p, done.snapshot))) for p in plans]
    for document in documents:
        by_kind: dict[str, list[Any]] = {}
        for action in document["actions"]:
            by_kind.setdefault(action["action"], []).append(action)
        document["actions"] = by_kind
    maps = {f"actions.{kind}[].{key}" for kind in KINDS for key in ("tags", "setTags", "content")}
    return shape_of(documents, maps)


LIMITATION = Limitation(ConditionReason.AT_MAXIMUM, "a limit")
KINDS = {action.__name__ for action in get_args(AnyAction)}


def test_plan_json_keeps_its_keys_and_types(simulated: SimulatedPasses) -> None:
    assert {type(action).__name__ for action in ACTIONS} == KINDS
    assert_contract("plan.json", plan_shape(simulated))
