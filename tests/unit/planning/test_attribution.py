"""A registration counts for the task that made it, and for no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.dynamo.discovery import (
    ModelCard,
    NoAnswer,
    Registration,
    WorkerPage,
)
from ecs_dynamo.model.graph import Component, Graph, Role
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    Container,
    PortBinding,
    Revision,
    Snapshot,
    Task,
)
from ecs_dynamo.planning.observed.attribution import (
    attribute,
    page_urls,
)
from ecs_dynamo.planning.observed.facts import observe_graph
from tests.helpers.facts import ready_tasks
from tests.helpers.graphs import (
    component,
    graph,
)

HOST = "10.9.0.1"
NOW = 5000.0


@dataclass(frozen=True)
class Process:
    """A worker process: its page (None: it does not answer), and whether it is registered."""

    lease: int
    url: str
    started: float
    routing_id: str | None = None
    registered: bool = True
    answers: bool = True
    name: str = "prefill"
    card: bool = True
    address: str | None = HOST


def revision(number: int, port: int, routing_id: str | None = None) -> Revision:
    environment = [{"name": "DYN_SYSTEM_PORT", "value": str(port)}]
    if routing_id is not None:
        environment.append({"name": "DYN_STABLE_ROUTING_ID", "value": routing_id})
    content: dict[str, Any] = {"containerDefinitions": [{"name": "c", "environment": environment}]}
    return Revision(f"td:{number}", "td", number, content)


def task(number: int, of: Revision, started: float, **changes: Any) -> Task:
    base = Task(f"t{number}", of.arn, "RUNNING", "RUNNING", private_ip=HOST, started_at=started)
    return replace(base, **changes)


def look(
    tasks: Mapping[Task, Revision], processes: list[Process], mode: str = "host"
) -> tuple[Graph, Component, Snapshot]:
    prefill = component("prefill", Role.PREFILL, mode=mode)
    declared = replace(graph(), components=(prefill,))
    observation = ComponentSnapshot(
        service=None, tasks=tuple(tasks), revisions={r.arn: r for r in tasks.values()}
    )
    return (
        declared,
        prefill,
        Snapshot(
            graph="g",
            observed_at=NOW,
            components={"prefill": observation},
            registrations=tuple(
                Registration(
                    "ns",
                    p.name,
                    "generate",
                    p.lease,
                    p.address,
                    ModelCard(p.url, p.routing_id) if p.card else None,
                )
                for p in processes
                if p.registered
            ),
            pages={
                p.url: WorkerPage(frozenset({p.lease}), p.started)
                if p.answers
                else NoAnswer("connection refused", 60.0)
                for p in processes
            },
        ),
    )


def ready(observation: tuple[Graph, Component, Snapshot], proven: bool = False) -> set[str]:
    declared, prefill, snapshot = observation
    return {t.arn for t in ready_tasks(declared, prefill, snapshot, proven=proven)}


def may_serve(graph: Graph, component: Component, snapshot: Snapshot) -> frozenset[str]:
    return observe_graph(graph, snapshot).components[component.name].readiness.may_serve


def test_an_old_registration_does_not_make_a_new_task_ready() -> None:
    """Several workers a host, each with a port of its own choice: the reproduced fault."""
    old, new = revision(1, 0, "ecs-dynamo-a"), revision(2, 0, "ecs-dynamo-b")
    tasks = {task(1, old, 100.0): old, task(2, new, 4000.0): new}
    serving = Process(11, f"http://{HOST}:40001", 105.0, "ecs-dynamo-a")
    assert ready(look(tasks, [serving])) == {"t1"}
    arrived = Process(12, f"http://{HOST}:40002", 4002.0, "ecs-dynamo-b")
    assert ready(look(tasks, [serving, arrived])) == {"t1", "t2"}
    # A stale one, whose process is gone, counts for neither; nor does one of another component.
    stale = replace(arrived, answers=False)
    assert ready(look(tasks, [serving, stale])) == {"t1"}
    assert ready(look(tasks, [serving, replace(arrived, name="backend")])) == {"t1"}
    _, _, snapshot = observation = look(tasks, [serving, stale])
    ((lost, why),) = attribute(observation[0], snapshot).unattributed
    assert (lost.lease_id, "connection refused" in why) == (12, True)


def test_without_a_routing_id_time_and_exclusion_tell_revisions_apart() -> None:
    old, new = revision(1, 0), revision(2, 0)
    tasks = {task(1, old, 100.0): old, task(2, new, 4000.0): new}
    first = Process(11, f"http://{HOST}:40001", 105.0)
    second = Process(12, f"http://{HOST}:40002", 4002.0)
    assert ready(look(tasks, [first])) == {"t1"}
    assert ready(look(tasks, [first, second])) == {"t1", "t2"}
    # Alone, the second may be a late one of the old task: it counts for nobody, and is reported.
    alone = look(tasks, [second])
    assert ready(alone) == set()
    ((_, why),) = attribute(alone[0], alone[2]).unattributed
    assert why == "it may belong to tasks of several revisions at its address"
    # The daemon's clock is an hour behind: time does not help.
    behind = look(tasks, [replace(first, started=-3495.0)])
    assert ready(behind) == set()
    assert "older than every task" in attribute(behind[0], behind[2]).unattributed[0][1]


def test_a_wrong_clock_does_not_hide_who_is_reported_by_a_routing_id() -> None:
    old, new = revision(1, 0, "ecs-dynamo-a"), revision(2, 0, "ecs-dynamo-b")
    tasks = {task(1, old, 100.0): old, task(2, new, 4000.0): new}
    for shift in (-3600.0, 3600.0):
        serving = Process(11, f"http://{HOST}:40001", 105.0 + shift, "ecs-dynamo-a")
        assert ready(look(tasks, [serving])) == {"t1"}
    strange = Process(11, f"http://{HOST}:40001", 4002.0, "ecs-dynamo-c")
    observation = look(tasks, [strange])
    assert ready(observation) == set()
    assert "that of no revision" in attribute(observation[0], observation[2]).unattributed[0][1]


def test_within_a_revision_replicas_are_counted() -> None:
    item = revision(1, 0, "ecs-dynamo-a")
    tasks = {task(n, item, 100.0 + n): item for n in range(4)}
    matches = [
        Process(10 + n, f"http://{HOST}:4000{n}", 103.0 + n, "ecs-dynamo-a") for n in range(4)
    ]
    for count in range(5):
        assert len(ready(look(tasks, matches[:count]))) == count
    # The last one to start cannot be an earlier process.
    late = {**tasks, task(9, item, 4000.0): item}
    fifth = Process(19, f"http://{HOST}:40009", 4003.0, "ecs-dynamo-a")
    assert "t9" in ready(look(late, [*matches[:2], fifth]))
    declared, _, snapshot = look(late, [*matches, fifth])
    claims = {c.registration.lease_id: c.tasks for c in attribute(declared, snapshot).claims}
    assert claims[19] == ("t9",)


@pytest.mark.parametrize("form", ["{}", "arn:aws:ecs:us-east-1:1:task/gpu/{}"])
def test_a_worker_that_reports_its_task_is_never_taken_for_another(form: str) -> None:
    item = revision(1, 0, "ecs-dynamo-a")
    arns = [f"arn:aws:ecs:us-east-1:1:task/gpu/{n:032x}" for n in range(8)]
    # All start at the same moment, so neither time nor the revision's id distinguishes them.
    tasks = {replace(task(n, item, 100.0), arn=arn): item for n, arn in enumerate(arns)}
    processes = [
        Process(10 + n, f"http://{HOST}:4000{n}", 101.0, form.format(f"{n:032x}")) for n in range(8)
    ]
    assert ready(look(tasks, processes)) == {*arns}
    for lost in range(8):
        others = [p for n, p in enumerate(processes) if n != lost]
        assert ready(look(tasks, others)) == {a for n, a in enumerate(arns) if n != lost}
        silent = [replace(p, answers=n != lost) for n, p in enumerate(processes)]
        assert ready(look(tasks, silent)) == {a for n, a in enumerate(arns) if n != lost}
    # One whose command could not read its task's id has the revision's: exclusion decides.
    anonymous = replace(processes[3], routing_id="ecs-dynamo-a")
    declared, _, snapshot = look(tasks, [*processes[:3], anonymous, *processes[4:]])
    claims = {c.registration.lease_id: c.tasks for c in attribute(declared, snapshot).claims}
    assert claims == {10 + n: (arn,) for n, arn in enumerate(arns)}
    # The registration of a task that has ended belongs to no task.
    stale = Process(99, f"http://{HOST}:40099", 101.0, f"{99:032x}")
    declared, _, snapshot = look(tasks, [stale])
    ((former, why),) = attribute(declared, snapshot).unattributed
    assert (former.lease_id, "that of no revision" in why) == (99, True)


def test_a_page_of_its_own_tells_in_every_mode_and_on_both_planes() -> None:
    item = revision(1, 8081)
    for address in (HOST, None):  # None: the nats request plane.
        tasks = {task(1, item, 100.0): item}
        serving = Process(11, f"http://{HOST}:8081", 105.0, address=address)
        assert ready(look(tasks, [serving], "awsvpc")) == {"t1"}
        assert ready(look(tasks, [replace(serving, registered=False)], "awsvpc")) == set()
        other = replace(serving, lease=12, url="http://10.9.0.2:8081")
        assert ready(look(tasks, [other], "awsvpc")) == set()
    bound = Container("c", "RUNNING", bindings=(PortBinding(8081, 32768),))
    bridged = {task(1, item, 100.0, containers=(bound,)): item, task(2, item, 100.0): item}
    inside = Process(11, f"http://{HOST}:32768", 105.0, address="172.17.0.2")
    declared, _, snapshot = observation = look(bridged, [inside], "bridge")
    assert page_urls(declared, snapshot) == (f"http://{HOST}:32768",)
    assert ready(observation) == {"t1"}


def test_two_tasks_with_one_fixed_port_share_no_answer() -> None:
    old, new = revision(1, 8081), revision(2, 8081)
    tasks = {task(1, old, 100.0): old, task(2, new, 4000.0): new}
    assert ready(look(tasks, [Process(11, f"http://{HOST}:8081", 105.0)])) == {"t1"}


def test_a_card_without_a_page_is_a_worker_without_one() -> None:
    item = revision(1, 0, "ecs-dynamo-a")
    observation = look(
        {task(1, item, 100.0): item}, [Process(11, f"http://{HOST}:4", 105.0, card=False)]
    )
    declared, prefill, snapshot = observation
    blind = replace(snapshot, pages={})
    assert ready((declared, prefill, blind)) == set()
    assert attribute(declared, blind).unattributed[0][1] == "it has no model card"
    assert page_urls(declared, blind) == ()


def test_a_worker_that_is_silent_is_kept_but_is_not_proof() -> None:
    item = revision(1, 8081)
    declared, prefill, snapshot = look(
        {task(1, item, 100.0): item}, [Process(11, f"http://{HOST}:8081", 105.0)]
    )
    last = snapshot.pages[f"http://{HOST}:8081"]
    assert isinstance(last, WorkerPage)
    for seconds, is_ready in ((3.0, True), (60.0, False)):
        page = NoAnswer("no answer", seconds, last)
        silent = declared, prefill, replace(snapshot, pages={f"http://{HOST}:8081": page})
        assert ready(silent) == ({"t1"} if is_ready else set())
        assert ready(silent, proven=True) == set()
        tasks = snapshot.components["prefill"].tasks
        assert isinstance(tasks, tuple)
        assert may_serve(*silent) == {"t1"}
        # Its registration is gone: it no longer serves.
        gone = replace(silent[2], registrations=())
        assert may_serve(declared, prefill, gone) == frozenset()


@settings(max_examples=200, deadline=None)
@given(
    identified=st.booleans(),
    old=st.lists(st.floats(0, 900), max_size=4),
    new=st.lists(st.floats(1000, 2000), max_size=4),
    alive=st.lists(st.booleans(), min_size=8, max_size=8),
    joined=st.lists(st.booleans(), min_size=8, max_size=8),
    loading=st.lists(st.floats(0, 300), min_size=8, max_size=8),
    mode=st.sampled_from(["host", "fixed", "bridge"]),
)
@pytest.mark.parametrize("plane", ["tcp", "nats"])
def test_no_revision_has_more_ready_replicas_than_of_it_are_registered(
    plane: str,
    identified: bool,
    old: list[float],
    new: list[float],
    alive: list[bool],
    joined: list[bool],
    loading: list[float],
    mode: str,
) -> None:
    """Whatever replicas of two revisions share a host, crash, load or stay away."""
    port = 0 if mode == "host" else 8081
    before = revision(1, port, "ecs-dynamo-a" if identified else None)
    after = revision(2, port, "ecs-dynamo-b" if identified else None)
    tasks: dict[Task, Revision] = {}
    processes: list[Process] = []
    truth: dict[str, bool] = {}
    started = [(at, before) for at in old] + [(at, after) for at in new]
    for number, (at, of) in enumerate(started):
        host_port = 40000 + number
        bound = Container("c", "RUNNING", bindings=(PortBinding(8081, host_port),))
        address = f"10.9.1.{number}" if mode == "fixed" else HOST
        result = task(number, of, at, private_ip=address)
        if mode == "bridge":
            result = replace(result, containers=(bound,))
        tasks[result] = of
        url = f"http://{address}:{8081 if mode == 'fixed' else host_port}"
        routing_id = ("ecs-dynamo-a" if of is before else "ecs-dynamo-b") if identified else None
        late = 1.0 if mode == "host" and not identified else loading[number]
        processes.append(
            Process(
                lease=100 + number,
                url=url,
                started=at + late,
                routing_id=routing_id,
                registered=joined[number],
                answers=alive[number],
                address=None if plane == "nats" else address,
            )
        )
        truth[result.arn] = joined[number] and alive[number]
    observation = look(tasks, processes, "bridge" if mode == "bridge" else "host")
    matches = ready(observation)
    for of in (before, after):
        arns = {t.arn for t, revision_of in tasks.items() if revision_of is of}
        really = sum(truth[arn] for arn in arns)
        assert len(matches & arns) <= really
        if identified or mode != "host":
            assert len(matches & arns) == really
    if mode != "host":
        assert matches == {arn for arn, is_ready in truth.items() if is_ready}
