"""Names of etcd and NATS: what dependants get, what services are given, and that nothing rolls."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import CreateService, Endpoints, Memory, Plan, UpdateService
from ecs_dynamo.model.service_settings import (
    PublishedPort,
    ServiceConnect,
    ServiceSettings,
    difference,
)
from ecs_dynamo.model.spec.security import SecuritySpec
from ecs_dynamo.planning.observed.endpoints import (
    reachable_endpoints,
    resolve_endpoints,
)
from tests.helpers.convergence import (
    converge,
    converged,
    run_pass,
)
from tests.helpers.graphs import (
    graph,
    redeclared,
    with_image,
)
from tests.helpers.simulated_ecs import SimulatedEcs

ARN = "arn:aws:servicediscovery:us-west-2:123456789012:service/srv-1"
DNS = {Role.ETCD: "etcd.dynamo.local", Role.NATS: "nats.dynamo.local"}
DEPENDANTS = ("g-frontend", "g-prefill", "g-decode")
NAMES = ("service_registry", "service_connect")
CLIENT = ServiceConnect("dynamo")
SERVER = ServiceConnect("dynamo", (PublishedPort("etcd", "g-etcd", "etcd", 2379),))


def named(base: Graph) -> Graph:
    """``base`` with the names of Cloud Map."""
    components = tuple(
        redeclared(c, service_registry=ARN) if c.is_infrastructure else c for c in base.components
    )
    return replace(base, components=components, names=DNS)


def connected(base: Graph) -> Graph:
    """``base`` in a Service Connect namespace."""
    components = tuple(
        redeclared(c, service_connect=SERVER if c.is_infrastructure else CLIENT)
        for c in base.components
    )
    return replace(base, components=components, names={Role.ETCD: "etcd", Role.NATS: "nats"})


def revisions(ecs: SimulatedEcs) -> dict[str, str]:
    return {name: ecs.services[name].revision for name in DEPENDANTS}


def test_dependants_get_the_names_and_the_daemon_the_addresses() -> None:
    declared = named(graph())
    ecs, _ = converged(declared)
    observation = ecs.snapshot()
    (task,) = ecs.services["g-etcd-nats"].tasks
    assert resolve_endpoints(declared, observation) == Endpoints(
        "http://etcd.dynamo.local:2379", "nats://nats.dynamo.local:4222"
    )
    assert reachable_endpoints(declared, observation) == Endpoints(
        f"http://{task.ip}:2379", f"nats://{task.ip}:4222"
    )
    content = ecs.content_of("g-prefill")
    assert environment_value(content, "ETCD_ENDPOINTS") == "http://etcd.dynamo.local:2379"
    assert ecs.services["g-etcd-nats"].settings.service_registry == ARN
    secure = replace(
        declared,
        security=SecuritySpec.model_validate(
            {"etcd": {"tls": {"ca": "/ca", "clientCert": "/cert", "clientKey": "/key"}}}
        ),
    )
    assert resolve_endpoints(secure, observation).etcd == "https://etcd.dynamo.local:2379"


def test_what_has_no_name_keeps_its_address() -> None:
    declared = replace(named(graph()), names={Role.ETCD: "etcd.dynamo.local"})
    ecs, _ = converged(declared)
    (task,) = ecs.services["g-etcd-nats"].tasks
    matches = resolve_endpoints(declared, ecs.snapshot())
    assert matches.nats == f"nats://{task.ip}:4222"


FAULTS = st.lists(
    st.sampled_from(["kill etcd-nats", "kill prefill", "kill frontend", "change", "die", "wait"]),
    max_size=8,
)


@given(faults=FAULTS, kind=st.sampled_from([named, connected]))
@settings(max_examples=60, deadline=None)
def test_a_replaced_etcd_rolls_nobody(faults: list[str], kind: object) -> None:
    declared = (named if kind is named else connected)(graph())
    ecs, memory = converged(declared)
    first = revisions(ecs)
    for number, fault in enumerate(faults):
        match fault.split():
            case ["kill", component]:
                ecs.kill(component)
            case ["change"]:
                declared = ecs.graph = with_image(declared, "etcd-nats", f"image:{number}")
                memory = run_pass(ecs, declared, memory).memory
            case ["die"]:
                run_pass(ecs, declared, memory, stop_after=1)
                memory = Memory(started_at=ecs.now)
            case _:
                memory = run_pass(ecs, declared, memory).memory
    converge(ecs, declared, memory)
    before = ecs.writes
    assert run_pass(ecs, declared, Memory(started_at=ecs.now)).converged
    assert ecs.writes == before
    assert revisions(ecs) == first
    assert ecs.served()
    assert all(ready for _, _, ready in ecs.injected_at_start)


def passes_until_the_old_is_gone(declared: Graph) -> int:
    """Return the number of passes in which a changed etcd has its previous task beside it."""
    ecs, memory = converged(declared)
    (old,) = ecs.services["g-etcd-nats"].tasks
    ecs.graph = declared = with_image(declared, "etcd-nats", "etcd:2")
    for number in range(60):
        memory = run_pass(ecs, declared, memory).memory
        if old not in ecs.services["g-etcd-nats"].tasks:
            return number
    raise AssertionError("it is never released")


def test_an_old_etcd_goes_as_soon_as_the_new_one_is_ready() -> None:
    """With a name, dependants find the new one only then; with addresses all roll before."""
    by_name, by_address = map(passes_until_the_old_is_gone, (named(graph()), graph()))
    assert by_name < by_address


@pytest.mark.parametrize("kind", [named, connected])
def test_a_graph_that_gets_names_rolls_once(kind: object) -> None:
    ecs, memory = converged(graph())
    before = revisions(ecs)
    declared = ecs.graph = (named if kind is named else connected)(graph())
    sent: list[Plan] = []
    for _ in range(60):
        sent.append(run_pass(ecs, declared, memory))
        memory = sent[-1].memory
    assert sent[-1].converged
    updates = [a for p in sent for a in p.actions if isinstance(a, UpdateService)]
    reported = {a.component for a in updates if a.settings.only(NAMES).members}
    assert reported == ({"etcd-nats"} if kind is named else {c.name for c in declared.components})
    assert all(ecs.services[name].revision != before[name] for name in DEPENDANTS)
    assert len([r for r in ecs.revisions.values() if r.family == "g-decode"]) == 2
    assert ecs.served()
    # etcd first: who asks for a name that is not there yet does not start.
    order = [a.component for a in updates]
    assert order[0] == "etcd-nats"


def test_a_service_is_created_with_its_names() -> None:
    declared = connected(graph())
    ecs = SimulatedEcs(declared)
    memory, result = Memory(started_at=ecs.now), []
    for _ in range(30):
        done = run_pass(ecs, declared, memory)
        memory = done.memory
        result += [a for a in done.actions if isinstance(a, CreateService)]
    assert {a.component: a.settings.service_connect for a in result} == {
        "etcd-nats": SERVER,
        **dict.fromkeys(("frontend", "prefill", "decode"), CLIENT),
    }


BY_ARN = ServiceConnect("arn:aws:servicediscovery:us-west-2:123456789012:namespace/ns-1")
OTHER = ServiceConnect("other")
NOTHING = ServiceSettings()


def names(registry: str | None = None, connect: ServiceConnect | None = None) -> ServiceSettings:
    return ServiceSettings(service_registry=registry, service_connect=connect)


@pytest.mark.parametrize(
    ("declared", "have", "missing"),
    [
        (names(registry=ARN), NOTHING, names(registry=ARN)),
        (
            names(registry=ARN),
            names(registry="arn:b"),
            names(registry=ARN),
        ),
        (names(registry=ARN), names(registry=ARN), NOTHING),
        # An undeclared setting is left alone.
        (NOTHING, names(registry=ARN, connect=CLIENT), NOTHING),
        (
            names(connect=CLIENT),
            names(registry=ARN, connect=CLIENT),
            NOTHING,
        ),
        (names(connect=CLIENT), NOTHING, names(connect=CLIENT)),
        (
            names(connect=CLIENT),
            names(connect=OTHER),
            names(connect=CLIENT),
        ),
        (
            names(connect=SERVER),
            names(connect=CLIENT),
            names(connect=SERVER),
        ),
        # ECS may answer a name with its ARN.
        (names(connect=CLIENT), names(connect=BY_ARN), NOTHING),
        (names(connect=BY_ARN), names(connect=CLIENT), NOTHING),
    ],
)
def test_only_what_is_declared_and_differs_is_set(
    declared: ServiceSettings, have: ServiceSettings, missing: ServiceSettings
) -> None:
    assert difference(have, declared) == missing
