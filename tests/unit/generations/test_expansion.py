"""The effective graph, from the declared graph and the services that are observed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.model.generations import PLAIN, GenerationMode
from ecs_dynamo.model.graph import (
    TAG_COMPONENT,
    TAG_GENERATION,
    TAG_GOOD,
    TAG_GRAPH,
    TAG_WITHDRAWN,
    Component,
    Graph,
    Role,
)
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import Revision, Unknown
from ecs_dynamo.planning.desired.generations.expansion import (
    expand,
    expected_services,
    plain_services,
    service_name,
    why_off,
)
from ecs_dynamo.planning.desired.generations.identity import generation_of
from ecs_dynamo.planning.desired.rendering import render
from tests.helpers.graphs import component, graph, with_container, with_image, with_label

GRAPH = graph(prefill=1, decode=2)
DECLARED = generation_of(GRAPH)
OLD, OLDER = "g00000001", "g00000002"


def service_of(
    owner: Component, generation: str | None, *, number: int = 1, good: bool = True, **changes: Any
) -> Service:
    """Return a service of one generation, which runs and has served unless ``changes`` differ."""
    name = service_name(owner, generation)
    tags = {TAG_GRAPH: "g", TAG_COMPONENT: owner.name} | changes.pop("tags", {})
    if generation is not None:
        tags[TAG_GENERATION] = generation
    if good:
        tags[TAG_GOOD] = str(number)
    values: dict[str, Any] = {
        "status": "ACTIVE",
        "desired": 1,
        "running": 1,
        "pending": 0,
    } | changes
    arn = f"arn:td/{owner.family}:{number}"
    return Service(f"arn:{name}", name, "gpu", task_definition_arn=arn, tags=tags, **values)


def workers_of(declared: Graph, generation: str | None, **changes: Any) -> list[Service]:
    workers = [c for c in declared.components if c.is_worker]
    return [service_of(c, generation, **changes) for c in workers]


def revisions_of(rendered: Graph) -> dict[str, Revision]:
    """Return the first revision of each worker, as it was rendered without a generation."""
    endpoints = Endpoints("http://10.1.2.3:2379", "nats://10.1.2.3:4222")
    return {
        f"arn:td/{c.family}:1": Revision(
            f"arn:td/{c.family}:1", c.family, 1, render(rendered, c, endpoints, 8081)
        )
        for c in rendered.components
        if c.is_worker
    }


def effective(
    services: Iterable[Service] = (),
    declared: Graph = GRAPH,
    revisions: dict[str, Revision] | None = None,
) -> Graph:
    return expand(declared, {"gpu": {s.name: s for s in services}}, revisions or {})


def names(expanded: Graph) -> list[str]:
    return [c.name for c in expanded.components if c.is_worker]


IDLE = {"desired": 0, "running": 0}


def test_a_graph_that_never_ran_has_one_generation() -> None:
    expanded = effective()
    generations = expanded.generations
    assert generations.mode is GenerationMode.IN_FORCE
    assert (generations.declared, generations.target) == (DECLARED, DECLARED)
    assert (generations.previous, generations.withdrawn, generations.dormant) == (None, None, ())
    assert names(expanded) == ["prefill", "decode"]
    decode = expanded.component("decode")
    assert (decode.service, decode.generation) == (f"g-decode-{DECLARED}", DECLARED)
    assert (decode.declared_name, decode.origin, decode.family) == ("", "decode", "g-decode")
    for name in ("frontend", "etcd-nats"):
        assert expanded.component(name) == GRAPH.component(name)


def test_other_generations_with_replicas_are_components_beside_it() -> None:
    services = [*workers_of(GRAPH, OLD), *workers_of(GRAPH, DECLARED, number=2, good=False)]
    expanded = effective(services)
    assert names(expanded) == ["prefill", f"prefill@{OLD}", "decode", f"decode@{OLD}"]
    old = expanded.component(f"decode@{OLD}")
    assert (old.service, old.generation, old.origin) == (f"g-decode-{OLD}", OLD, "decode")
    generations = expanded.generations
    assert (generations.target, generations.previous) == (DECLARED, OLD)


def test_a_generation_without_replicas_is_dormant_and_the_rollback_target() -> None:
    services = [*workers_of(GRAPH, OLD, **IDLE), *workers_of(GRAPH, DECLARED, number=2)]
    expanded = effective(services)
    generations = expanded.generations
    assert names(expanded) == ["prefill", "decode"]
    assert generations.previous == OLD
    assert {(d.generation, d.component, d.service) for d in generations.dormant} == {
        (OLD, "prefill", f"g-prefill-{OLD}"),
        (OLD, "decode", f"g-decode-{OLD}"),
    }
    assert all(d.is_active for d in generations.dormant)


def test_one_component_with_a_task_keeps_its_whole_generation_awake() -> None:
    prefill, decode = workers_of(GRAPH, OLD, **IDLE)
    services = [prefill, replace(decode, running=1), *workers_of(GRAPH, DECLARED)]
    expanded = effective(services)
    assert names(expanded) == ["prefill", f"prefill@{OLD}", "decode", f"decode@{OLD}"]
    assert expanded.generations.dormant == ()


def test_a_running_generation_is_returned_to_before_an_ended_one() -> None:
    own = workers_of(GRAPH, DECLARED, number=4, good=False)
    running, ended = workers_of(GRAPH, OLD), workers_of(GRAPH, OLDER, number=3, **IDLE)
    assert effective([*own, *running, *ended]).generations.previous == OLD
    newer = workers_of(GRAPH, OLDER, number=3)
    assert effective([*own, *running, *newer]).generations.previous == OLDER
    bad = workers_of(GRAPH, OLDER, number=3, good=False)
    assert effective([*own, *running, *bad]).generations.previous == OLD


def test_a_withdrawn_generation_falls_back_to_the_previous_one() -> None:
    tags = {TAG_WITHDRAWN: f"{DECLARED} NeverRegistered"}
    own = workers_of(GRAPH, DECLARED, number=2, good=False)
    expanded = effective([*workers_of(GRAPH, OLD, tags=tags), *own])
    generations = expanded.generations
    assert (generations.declared, generations.target) == (DECLARED, OLD)
    assert generations.withdrawn == "NeverRegistered"
    assert names(expanded) == ["prefill", f"prefill@{DECLARED}", "decode", f"decode@{DECLARED}"]
    assert expanded.component("decode").service == f"g-decode-{OLD}"
    # The record alone, on a service without replicas, is enough: these are started again.
    asleep = effective([*workers_of(GRAPH, OLD, tags=tags, **IDLE), *own])
    assert asleep.component("decode").service == f"g-decode-{OLD}"


def test_a_withdrawal_of_another_declaration_means_nothing() -> None:
    tags = {TAG_WITHDRAWN: f"{OLDER} CrashLoop"}
    generations = effective(workers_of(GRAPH, OLD, tags=tags)).generations
    assert (generations.target, generations.withdrawn) == (DECLARED, None)


def test_a_generation_that_failed_is_never_the_one_to_return_to() -> None:
    tags = {TAG_WITHDRAWN: f"{OLDER} CrashLoop"}
    services = [*workers_of(GRAPH, OLD, tags=tags), *workers_of(GRAPH, OLDER, number=3)]
    assert effective(services).generations.previous == OLD


def test_nothing_is_withdrawn_where_no_other_generation_served() -> None:
    tags = {TAG_WITHDRAWN: f"{DECLARED} CrashLoop"}
    generations = effective(workers_of(GRAPH, OLD, good=False, tags=tags)).generations
    assert generations.target == DECLARED


def test_services_of_others_deleted_ones_and_those_with_edited_tags_do_not_count() -> None:
    decode = GRAPH.component("decode")
    services = [
        service_of(decode, OLD, tags={TAG_GRAPH: "other"}),
        service_of(decode, OLDER, status="INACTIVE"),
        replace(service_of(decode, "g00000003"), name="g-decode-renamed"),
        service_of(component("removed", Role.DECODE), "g00000004"),
    ]
    assert effective(services).generations == effective().generations


def test_a_service_that_is_being_deleted_is_no_longer_active() -> None:
    services = [
        *workers_of(GRAPH, OLD, status="DRAINING", **IDLE),
        *workers_of(GRAPH, DECLARED),
    ]
    dormant = effective(services).generations.dormant
    assert [d.is_active for d in dormant] == [False, False]


# Workers that run without a generation -----------------------------------------------------------


@pytest.mark.parametrize("edit", [lambda g: g, lambda g: with_label(g, "decode", "2")])
def test_plain_workers_stay_while_nothing_changes_that_alters_the_card(edit: Any) -> None:
    expanded = effective(workers_of(GRAPH, None), edit(GRAPH), revisions_of(GRAPH))
    generations = expanded.generations
    assert generations.mode is GenerationMode.PLAIN
    assert (generations.declared, generations.target) == (None, None)
    assert expanded.component("decode").service == "g-decode"
    assert expanded.component("decode").generation is None


def test_another_card_begins_the_adoption_beside_the_plain_workers() -> None:
    edited = with_image(GRAPH, "decode", "dynamo:2")
    expanded = effective(workers_of(GRAPH, None), edited, revisions_of(GRAPH))
    generations = expanded.generations
    assert generations.mode is GenerationMode.ADOPTING
    assert generations.target == generation_of(edited)
    assert generations.previous == PLAIN
    assert names(expanded) == ["prefill", f"prefill@{PLAIN}", "decode", f"decode@{PLAIN}"]
    assert expanded.component(f"decode@{PLAIN}").service == "g-decode"
    assert expanded.component(f"decode@{PLAIN}").generation is None


def test_adoption_goes_on_until_the_plain_services_are_gone() -> None:
    own = workers_of(GRAPH, DECLARED, number=2)
    plain = workers_of(GRAPH, None, **IDLE)
    unread = effective([*plain, *own])
    assert unread.generations.mode is GenerationMode.UNKNOWN
    other = revisions_of(with_image(GRAPH, "decode", "dynamo:0"))
    expanded = effective([*plain, *own], GRAPH, other)
    assert expanded.generations.mode is GenerationMode.ADOPTING
    assert {d.generation for d in expanded.generations.dormant} == {PLAIN}
    assert effective(own).generations.mode is GenerationMode.IN_FORCE


def test_a_revert_during_the_adoption_returns_to_the_plain_workers() -> None:
    services = [*workers_of(GRAPH, None), *workers_of(GRAPH, OLD, number=2, good=False)]
    expanded = effective(services, GRAPH, revisions_of(GRAPH))
    generations = expanded.generations
    assert generations.mode is GenerationMode.ADOPTING
    assert (generations.declared, generations.target) == (None, None)
    assert names(expanded) == ["prefill", f"prefill@{OLD}", "decode", f"decode@{OLD}"]


@pytest.mark.parametrize(
    "services",
    [
        {"gpu": Unknown("throttled")},
        {"gpu": {"g-decode": Unknown("not in the answer")}},
        {"gpu": {s.name: s for s in workers_of(GRAPH, None)}},
    ],
)
def test_what_is_not_known_of_plain_services_makes_the_mode_unknown(services: Any) -> None:
    generations = expand(GRAPH, services, {}).generations
    assert generations.mode is GenerationMode.UNKNOWN
    assert "prefill" in generations.why or "decode" in generations.why


def test_another_generation_that_is_not_observed_is_not_taken_for_absent() -> None:
    services: dict[str, Any] = {s.name: s for s in workers_of(GRAPH, DECLARED)}
    in_doubt = {**services, f"g-decode-{OLD}": Unknown("missing for 3 s")}
    generations = expand(GRAPH, {"gpu": in_doubt}, {}).generations
    assert generations.mode is GenerationMode.UNKNOWN
    assert generations.why == f"generation {OLD} of decode is unknown: missing for 3 s"
    # The declared generation is a component itself, and has the obstacle of its own service.
    own = {**services, f"g-decode-{DECLARED}": Unknown("missing for 3 s")}
    assert expand(GRAPH, {"gpu": own}, {}).generations.mode is GenerationMode.IN_FORCE


# Graphs without generations ----------------------------------------------------------------------


def with_variables(name: str, **values: str) -> Graph:
    environment = [{"name": n, "value": v} for n, v in values.items()]
    return with_container(GRAPH, name, environment=environment)


OFF = {
    "no workers": replace(GRAPH, components=tuple(c for c in GRAPH.components if not c.is_worker)),
    "no frontend": replace(
        GRAPH, components=tuple(c for c in GRAPH.components if not c.is_frontend)
    ),
    "a frontend with its worker": replace(
        GRAPH, components=(*GRAPH.components, component("both", Role.FRONTEND, Role.WORKER))
    ),
    "its own suffix": with_variables("decode", DYN_NAMESPACE_WORKER_SUFFIX="mine"),
    "its own prefix": with_variables("frontend", DYN_NAMESPACE_PREFIX="mine"),
    "its own namespace": with_variables("prefill", DYN_NAMESPACE="mine"),
}


@pytest.mark.parametrize("why", OFF)
def test_a_graph_that_cannot_have_generations_stays_as_it_is(why: str) -> None:
    declared = OFF[why]
    expanded = effective(workers_of(GRAPH, OLD), declared)
    assert expanded.components == declared.components
    assert expanded.generations.mode is GenerationMode.OFF
    assert expanded.generations.why == why_off(declared) != ""
    assert plain_services(declared) == ()
    declared_names = {(c.cluster, c.service) for c in declared.components}
    asked = {(k, n) for k, own in expected_services(declared).items() for n in own}
    assert asked == declared_names


def test_services_that_matter_are_asked_for_by_name() -> None:
    workers = {"g-prefill", "g-decode"}
    assert expected_services(GRAPH) == {
        "fargate": {"g-etcd-nats"},
        "gpu": {"g-frontend"} | workers | {f"{name}-{DECLARED}" for name in workers},
    }
    assert set(plain_services(GRAPH)) == {("gpu", name) for name in workers}
