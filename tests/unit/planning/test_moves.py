"""Endpoints that move while something else is under way: found by the machine of `unit/chaos`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ecs_dynamo.model.dynamo.discovery import (
    NoAnswer,
    WorkerPage,
)
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Memory, Plan, ProtectTasks, UpdateService
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning import plan
from tests.helpers.convergence import (
    converge,
    run_pass,
)
from tests.helpers.graphs import (
    graph,
    with_image,
)
from tests.helpers.simulated_ecs import SimulatedEcs
from tests.unit.planning.test_protection_properties import with_replicas


def converged(declared: Graph, gpus: int) -> tuple[SimulatedEcs, Memory]:
    ecs = SimulatedEcs(declared, gpu_instances=gpus)
    return ecs, converge(ecs, declared, Memory(started_at=ecs.now)).memory


def passes(ecs: SimulatedEcs, declared: Graph, memory: Memory, count: int) -> Plan:
    ecs.graph = declared
    for _ in range(count):
        result = run_pass(ecs, declared, memory)
        memory = result.memory
    return result


def serve_until_converged(
    ecs: SimulatedEcs,
    declared: Graph,
    memory: Memory,
    most: int,
    holds: Callable[[], object] = lambda: None,
) -> None:
    """Pass after pass: a request is served after each, ``holds`` asserts more, and within ``most``
    passes the graph converges."""
    for _ in range(most):
        result = passes(ecs, declared, memory, 1)
        memory = result.memory
        assert ecs.served()
        holds()
        if result.converged:
            return
    raise AssertionError(f"not converged within {most} passes")


def test_who_serves_at_the_former_etcd_is_kept_rather_than_who_has_never_registered() -> None:
    """The new etcd is read, which knows none of them."""
    declared = graph()
    ecs, memory = converged(declared, 8)
    ecs.mute_images.add("mute")
    (serving,) = ecs.serving("prefill")
    declared = with_image(declared, "prefill", "mute")
    memory = passes(ecs, declared, memory, 1).memory
    declared = with_image(declared, "etcd-nats", "etcd:2")
    for _ in range(20):
        result = passes(ecs, declared, memory, 1)
        memory = result.memory
        assert serving in ecs.services["g-prefill"].tasks
        released = [a for a in result.actions if isinstance(a, ProtectTasks) and a.minutes is None]
        assert not [a for a in released if serving.arn in a.tasks]


def test_an_old_side_stays_until_as_many_serve_as_must() -> None:
    """ECS calls a new replica healthy long before its model is loaded."""
    declared = graph(decode=3)
    ecs, memory = converged(declared, 12)
    memory = passes(ecs, with_image(declared, "etcd-nats", "etcd:2"), memory, 3).memory
    declared = with_image(declared, "etcd-nats", "etcd:2")
    for number, task in enumerate(t for t in ecs.services["g-decode"].tasks if t.age < 1):
        task.slow = 20 * number  # They load their models one after another.
    for _ in range(80):
        result = passes(ecs, declared, memory, 1)
        memory = result.memory
        assert len(ecs.serving("decode")) >= 3
        if result.converged:
            break
    assert result.converged


def test_a_correction_of_what_blocks_a_move_does_not_wait_for_the_move() -> None:
    declared = graph(frontends=2)
    ecs, memory = converged(declared, 8)
    ecs.mute_images.add("front:mute")
    declared = with_image(with_image(declared, "frontend", "front:mute"), "etcd-nats", "etcd:2")
    result = passes(ecs, declared, memory, 8)
    assert result.waits
    assert ecs.served()
    declared = with_image(declared, "frontend", "front:good")
    # Far fewer passes than a protection lasts.
    serve_until_converged(ecs, declared, result.memory, 25)


def test_a_second_change_of_etcd_keeps_the_one_at_which_replicas_serve() -> None:
    """ECS took the first back to a new task, which services are set to and nobody serves at yet."""
    declared = graph()
    ecs, memory = converged(declared, 8)
    (serving,) = ecs.services["g-etcd-nats"].tasks
    ecs.crashes["etcd:bad"] = ("EssentialContainerExited", "exited")
    memory = passes(ecs, with_image(declared, "etcd-nats", "etcd:bad"), memory, 6).memory
    declared = with_image(declared, "etcd-nats", "etcd:good")

    def kept_while_in_use() -> None:
        if serving not in ecs.services["g-etcd-nats"].tasks:
            assert len(ecs.services["g-decode"].tasks) == len(ecs.serving("decode")) == 1

    serve_until_converged(ecs, declared, memory, 60, kept_while_in_use)


def test_a_second_change_of_etcd_keeps_the_one_at_which_frontends_serve() -> None:
    """Workers serve at the newer one too, and its frontends have an image that never does."""
    declared = graph()
    ecs, memory = converged(declared, 8)
    ecs.mute_images.add("front:mute")
    ecs.crashes["etcd:bad"] = ("EssentialContainerExited", "exited")
    declared = with_image(with_image(declared, "frontend", "front:mute"), "etcd-nats", "etcd:bad")
    memory = passes(ecs, declared, memory, 9).memory
    assert len({ecs._etcd_of(t) for t in ecs.serving("decode")}) == 2
    declared = with_image(with_image(declared, "frontend", "front:good"), "etcd-nats", "etcd:good")
    serve_until_converged(ecs, declared, memory, 60)


def test_a_replica_on_a_draining_instance_goes_first_where_none_fits_beside_it() -> None:
    """It was kept until a replacement is ready, for which the limits left no room."""
    declared = graph(prefill=2)
    ecs, memory = converged(declared, 3)
    going = ecs.serving("prefill")[0]
    assert going.instance is not None
    ecs.drained.add(going.instance)
    declared = with_image(declared, "prefill", "prefill:2")
    memory = passes(ecs, declared, memory, 2).memory
    ecs.gpu_instances += 4
    for _ in range(30):
        result = passes(ecs, declared, memory, 1)
        memory = result.memory
        assert ecs.serving("prefill")
        if result.converged:
            break
    assert result.converged


def silent(observed: Snapshot, arn: str, seconds: float) -> Snapshot:
    """One worker's page has not answered for a while."""
    lease = int(arn.rpartition("/")[2])
    pages = {
        url: NoAnswer("timeout", seconds, page)
        if isinstance(page, WorkerPage) and lease in page.lease_ids
        else page
        for url, page in observed.pages.items()
    }
    return replace(observed, pages=pages, busy={})


def test_nobody_is_scaled_in_while_it_is_not_known_who_has_work() -> None:
    declared = graph(decode=2)
    ecs, memory = converged(declared, 6)
    task, _ = ecs.serving("decode")
    fewer = with_replicas(declared, "decode", 1)

    def scaled_in(seconds: float) -> bool:
        result = plan(fewer, silent(ecs.snapshot(), task.arn, seconds), memory, ecs.clock)
        updates = [a for a in result.actions if isinstance(a, UpdateService)]
        reported = [w for w in result.waits if w.purpose is WaitPurpose.KNOWN_WORK]
        assert bool(updates) != bool(reported)
        return bool(updates)

    drain = declared.runtime.drain_seconds
    assert not scaled_in(5.0)
    assert not scaled_in(drain - 1.0)
    assert scaled_in(drain)
    # A worker that has never registered has no work.
    task.mute = True
    assert plan(fewer, ecs.snapshot(), memory, ecs.clock).actions
