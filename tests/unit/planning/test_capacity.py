"""Capacity in the whole plan."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.doctor.checks.capacity import check_capacity
from ecs_dynamo.model.capacity import (
    CapacityProvider,
)
from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.graph import TAG_GRAPH
from ecs_dynamo.model.plan import (
    CreateService,
    Memory,
    UpdateService,
)
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    Snapshot,
    Unknown,
)
from ecs_dynamo.model.spec.capacity import (
    CapacityProviderItem,
)
from ecs_dynamo.planning import describe, down, plan
from tests.helpers.capacity import NOW, declared, group, instance, service, snapshot, worker
from tests.helpers.graphs import (
    graph,
    redeclared,
)


def test_the_plan_says_what_does_not_fit_before_anything_is_created() -> None:
    base = graph(decode=3)
    observed = Snapshot(
        "g",
        NOW,
        {c.name: ComponentSnapshot(service=None) for c in base.components},
        clusters={"gpu": True, "fargate": True},
        container_instances={"gpu": (instance(1), instance(2), instance(3))},
    )
    result = plan(base, observed, Memory(started_at=NOW), Now.at(NOW))
    (short,) = result.shortages
    assert short.replicas == 1
    assert f"short: {short.component}: {short.message}" in describe(result)
    (condition,) = (
        c for c in result.conditions if c.type is ConditionType.CAPACITY_SHORT and c.status
    )
    assert (condition.component, condition.reason) == (short.component, "DoesNotFit")


def test_ecs_own_words_are_distinguished() -> None:
    base = replace(graph(), components=(graph().components[0], worker(name="decode")))
    words = "(service g-decode) was unable to place a task because ..."
    own = service(
        desired=1, running=0, events=(words,), tags={TAG_GRAPH: "g"}, task_definition_arn="arn:td"
    )
    observed = Snapshot(
        "g",
        NOW,
        {
            "etcd-nats": ComponentSnapshot(service=None),
            "decode": ComponentSnapshot(service=own),
        },
        clusters={"gpu": True, "fargate": True},
        container_instances={"gpu": (instance(1, used=1),)},
    )
    # Its revision cannot be read, so it is left alone; ECS's event is reported all the same.
    result = plan(base, observed, Memory(started_at=NOW), Now.at(NOW))
    matches = {c.component: c for c in result.conditions if c.type is ConditionType.CAPACITY_SHORT}
    assert (matches["decode"].reason, matches["decode"].message) == ("NoPlace", words)


def test_another_provider_strategy_rolls_with_a_forced_deployment() -> None:
    from tests.helpers.convergence import converge
    from tests.helpers.simulated_ecs import SimulatedEcs

    base = graph()
    ecs = SimulatedEcs(base)
    memory = converge(ecs, base, Memory(started_at=ecs.now)).memory
    spot = (CapacityProviderItem(name="spot"),)
    changed = tuple(
        redeclared(c, capacity_providers=spot) if c.name == "decode" else c for c in base.components
    )
    result = plan(replace(base, components=changed), ecs.snapshot(), memory, ecs.clock)
    (update,) = (a for a in result.actions if isinstance(a, UpdateService))
    assert (update.component, update.settings.capacity_providers) == ("decode", spot)
    assert "capacity providers differ" in update.reason
    assert not any(isinstance(a, CreateService) for a in result.actions)


def test_down_tells_what_is_left() -> None:
    base = declared()
    parts = {c.name: ComponentSnapshot(service=None) for c in base.components}
    result = down(base, snapshot(components=parts, groups=group(desired=2)))
    assert result.notes == ("Auto Scaling group asg keeps its 2 instances: set its size yourself",)


def test_doctor_knows_providers_and_groups() -> None:
    item = worker(
        capacity_providers=(CapacityProviderItem(name="mi"), CapacityProviderItem(name="none"))
    )
    base = replace(declared(most=20), components=(item,))
    providers = {
        "mi": CapacityProvider("mi", "ACTIVE", "MANAGED_INSTANCES"),
    }
    matches = list(check_capacity(base, snapshot(providers=providers, groups=group())))
    texts = [f"{f.severity}: {f.evidence}" for f in matches]
    assert texts == [
        "ok: capacity provider mi (MANAGED_INSTANCES)",
        "error: capacity provider none is not one of cluster gpu",
        "warning: Auto Scaling group asg: 0 of 0 to 20; its own bounds, 0 to 10, apply as well",
    ]
    gone = list(check_capacity(base, snapshot(providers=Unknown("x"), groups={})))
    assert [str(f.severity) for f in gone] == ["unknown", "error"]
