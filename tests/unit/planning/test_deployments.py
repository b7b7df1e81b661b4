"""Rollouts under what ECS does by itself: old revisions come back, counts rise on both sides."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.execute.executor import Executor
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.controller.reconcile.reconciler import rejections
from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.dynamo.discovery import WorkerPage
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import ChangeMembership, Memory, Plan, UpdateService
from ecs_dynamo.model.purposes import ActionPurpose, WaitPurpose
from ecs_dynamo.planning import plan
from tests.helpers.convergence import (
    converge,
    run_pass,
)
from tests.helpers.facts import purposes_of
from tests.helpers.graphs import (
    graph,
    with_image,
)
from tests.helpers.simulated_ecs import SimulatedEcs
from tests.helpers.simulated_services import SimDeployment, SimTask


def settled(declared: Graph, gpus: int) -> tuple[SimulatedEcs, Memory]:
    ecs = SimulatedEcs(declared, gpu_instances=gpus)
    return ecs, converge(ecs, declared, Memory(started_at=ecs.now)).memory


def replicas(base: Graph, name: str, count: int) -> Graph:
    return replace(
        base,
        components=tuple(
            replace(c, replicas=count) if c.name == name else c for c in base.components
        ),
    )


@given(
    prefill=st.integers(1, 3),
    decode=st.integers(1, 3),
    spare=st.integers(0, 3),
    silence=st.integers(0, 8),
)
@settings(max_examples=40, deadline=None)
def test_old_replicas_that_come_back_without_etcd_do_not_hold_the_new_ones_up(
    prefill: int, decode: int, spare: int, silence: int
) -> None:
    """``silence``: steps without the daemon, in which they exit and take their slots again."""
    declared = graph(prefill=prefill, decode=decode)
    ecs, memory = settled(declared, prefill + decode + spare)
    ecs.kill("etcd-nats")
    for _ in range(silence):
        ecs.step()
    for number in range(40):
        result = run_pass(ecs, declared, memory)
        memory = result.memory
        if ecs.served() and number > 3:
            break
    assert ecs.served()
    assert number <= 16
    converge(ecs, declared, memory)


def test_where_no_surge_fits_replicas_that_lost_etcd_go_first_all_of_them() -> None:
    declared = graph(prefill=1, decode=3)
    ecs, memory = settled(declared, 4)
    ecs.kill("etcd-nats")
    limits = set()
    for _ in range(30):
        result = run_pass(ecs, declared, memory)
        memory = result.memory
        limits |= {
            (a.settings.limits.minimum_healthy_percent, a.settings.limits.maximum_percent)
            for a in result.actions
            if isinstance(a, UpdateService) and a.settings.limits and a.component == "decode"
        }
        if result.converged:
            break
    assert result.converged
    assert limits == {(0, 100), (100, 200)}


def test_a_replica_that_is_lost_during_a_rollout_is_replaced_by_its_own_revision() -> None:
    """While the new side has one place of two: ECS does it, and the rollout ends all the same."""
    declared = graph(decode=2)
    ecs, memory = settled(declared, 4)
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    ecs.slow = 3
    service = ecs.services["g-decode"]
    memory = run_pass(ecs, edited, memory).memory
    service.tasks.remove(next(t for t in service.tasks if ecs._image(t.revision) == "dynamo:1"))
    ecs.step()
    images = [ecs._image(t.revision) for t in service.tasks]
    assert sorted(images) == ["dynamo:1", "dynamo:1", "dynamo:2"]
    converge(ecs, edited, memory)
    assert {t.revision for t in service.tasks} == {service.revision}


@given(gpus=st.integers(5, 12), more=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_a_count_that_rises_during_a_rollout_never_takes_a_slot_from_the_new_side(
    gpus: int, more: int
) -> None:
    declared = graph(decode=2)
    ecs, memory = settled(declared, gpus)
    edited = with_image(declared, "decode", "dynamo:2")
    ecs.graph = edited
    ecs.slow = 4
    service = ecs.services["g-decode"]
    for _ in range(3):
        memory = run_pass(ecs, edited, memory).memory
    ecs.graph = grown = replicas(edited, "decode", 2 + more)
    reported: list[WaitPurpose] = []
    for _ in range(80):
        before, free = service.desired, gpus - len(ecs._gpus_used())
        rolling = len(service.deployments) > 1
        result = run_pass(ecs, grown, memory)
        memory = result.memory
        reported += purposes_of(result, "decode")
        if rolling and service.desired > before:
            assert 2 * (service.desired - before) <= free
        if result.converged:
            break
    # With fewer slots than replicas it waits for places, at the count that is declared.
    assert service.desired == 2 + more
    if gpus >= 3 + more:
        assert result.converged
        assert {t.revision for t in service.tasks} == {service.revision}
    if gpus == 5:
        assert WaitPurpose.BOTH_SIDES_FIT in reported


def crowd(ecs: SimulatedEcs, count: int, protected: bool) -> None:
    """Give decode's service ``count`` former deployments whose tasks are kept and do not serve."""
    service = ecs.services["g-decode"]
    for number in range(count):
        result = SimDeployment(f"d-old-{number}", service.revision, service.network, 900.0 + number)
        service.deployments.append(result)
        until = ecs.now + 600 if protected else 0.0
        service.tasks.append(
            SimTask(
                arn=f"arn:task/{90_000 + number}",
                revision=service.revision,
                ip=f"10.9.9.{number}",
                age=5,
                mute=True,
                deployment=result.id,
                protected_until=until,
                instance=90 + number,
            )
        )


@pytest.mark.parametrize("count", [2, 3, 4])
def test_with_four_deployments_the_next_one_waits_for_the_oldest_to_end(count: int) -> None:
    declared = graph()
    ecs, memory = settled(declared, 6)
    crowd(ecs, count, protected=True)
    ecs.graph = edited = with_image(declared, "decode", "dynamo:2")
    observed = ecs.snapshot()
    # They answer, and what they name is not registered: nobody is sent to them.
    idle = {f"http://10.9.9.{n}:8081": WorkerPage(frozenset({900 + n}), 1.0) for n in range(count)}
    observed = replace(observed, pages={**observed.pages, **idle})
    result = plan(edited, observed, memory, ecs.clock)
    begun = [a for a in result.actions if isinstance(a, UpdateService) and a.revision is not None]
    released = [a for a in result.actions if a.purpose is ActionPurpose.END_OLDEST_DEPLOYMENT]
    if count == 2:
        assert begun
        assert not released
    else:
        assert not begun
        assert purposes_of(result, "decode")[0] is WaitPurpose.DEPLOYMENTS_END
        assert len(released) == 1
        assert {a.tasks for a in released} == {("arn:task/90000",)}  # type: ignore[union-attr]
    converge(ecs, edited, memory)  # The simulator refuses a sixth deployment, as ECS does.
    assert {t.revision for t in ecs.services["g-decode"].tasks} == {
        ecs.services["g-decode"].revision
    }


def degraded(result: Plan, name: str) -> tuple[str, str] | None:
    return next(
        (
            (c.reason, c.message)
            for c in result.conditions
            if c.type is ConditionType.DEGRADED and c.component == name and c.status
        ),
        None,
    )


def test_what_aws_rejected_is_stated_until_it_is_accepted() -> None:
    declared = graph()
    ecs, memory = settled(declared, 6)
    words = "update service g-decode: 5 active deployments exist"
    reported = replace(memory, rejected={"decode": words})
    assert degraded(plan(declared, ecs.snapshot(), reported, ecs.clock), "decode") == (
        "Rejected",
        words,
    )
    assert degraded(plan(declared, ecs.snapshot(), memory, ecs.clock), "decode") is None


@pytest.mark.parametrize(
    ("code", "rejected"),
    [
        ("InvalidParameterException", True),
        ("ClientException", True),
        ("ThrottlingException", False),
        ("Unreachable", False),
    ],
)
async def test_a_rejection_is_distinguished_from_what_says_nothing_of_the_action(
    code: str, rejected: bool
) -> None:
    class Refusing:
        async def call(self, _: str, operation: str, **__: object) -> dict[str, object]:
            raise AwsError(operation, code, "5 active deployments exist")

    async def never(_: ChangeMembership) -> bool:
        raise AssertionError

    executor = Executor(cast(Aws, Refusing()), "g", GraphCache(), lambda: 0.0, never)
    update = UpdateService(component="decode", reason="", cluster="c", service="g-decode")
    result = replace(run_pass(*_fresh()), actions=(update,))
    results = await executor.execute(result)
    assert [r.rejected for r in results] == [rejected]
    reported = rejections(results)
    assert ("decode" in reported) == rejected
    if rejected:
        assert "update service g-decode" in reported["decode"]
        assert "5 active deployments exist" in reported["decode"]


def _fresh() -> tuple[SimulatedEcs, Graph, Memory]:
    ecs = SimulatedEcs(graph())
    return ecs, ecs.graph, Memory(started_at=ecs.now)
