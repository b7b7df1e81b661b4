"""The parts of a task definition that make another generation, and those that do not."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
from botocore.session import get_session

from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.planning.desired.generations.identity import (
    EXCEPTED_CONTAINER_MEMBERS,
    EXCEPTED_MEMBERS,
    EXCEPTED_VARIABLES,
    card_content,
    declared_card_content,
    generation_of,
)
from ecs_dynamo.planning.desired.rendering import render
from tests.helpers.graphs import component, graph, redeclared, with_container

SHAPED_BY_OTHERS = {"containerDefinitions", "environment", "name"}
"""Members with tests of their own, and the name by which a container is known."""


@lru_cache(maxsize=1)
def request_shape() -> Any:
    """The request of RegisterTaskDefinition, as botocore describes it."""
    model = get_session().get_service_model("ecs")
    return model.operation_model("RegisterTaskDefinition").input_shape


def container_shape() -> Any:
    return request_shape().members["containerDefinitions"].member


def sample(shape: Any, variant: int) -> Any:
    """Return a value of a shape, in which every part differs between variants."""
    match shape.type_name:
        case "structure":
            return {name: sample(member, variant) for name, member in shape.members.items()}
        case "list":
            return [sample(shape.member, variant)]
        case "map":
            return {"key": sample(shape.value, variant)}
        case "boolean":
            return variant == 1
        case "integer" | "long" | "double" | "float":
            return variant + 7
        case _:
            return f"word{variant}"


def card(member: str, value: object, *, of_container: bool) -> object:
    container = {"name": "decode", "image": "dynamo:1"}
    if of_container:
        return card_content({"containerDefinitions": [{**container, member: value}]}, ["decode"])
    return card_content({"containerDefinitions": [container], member: value}, ["decode"])


@pytest.mark.parametrize("member", sorted(set(request_shape().members) - SHAPED_BY_OTHERS))
def test_each_member_of_a_task_definition_counts_unless_it_is_excepted(member: str) -> None:
    shape = request_shape().members[member]
    first, second = (card(member, sample(shape, n), of_container=False) for n in (1, 2))
    assert (first == second) == (member in EXCEPTED_MEMBERS)


@pytest.mark.parametrize("member", sorted(set(container_shape().members) - SHAPED_BY_OTHERS))
def test_each_member_of_a_container_counts_unless_it_is_excepted(member: str) -> None:
    shape = container_shape().members[member]
    first, second = (card(member, sample(shape, n), of_container=True) for n in (1, 2))
    assert (first == second) == (member in EXCEPTED_CONTAINER_MEMBERS)


def test_the_exceptions_are_members_that_exist_and_say_why_they_are_safe() -> None:
    assert set(EXCEPTED_MEMBERS) <= set(request_shape().members)
    assert set(EXCEPTED_CONTAINER_MEMBERS) <= set(container_shape().members)
    tables = (EXCEPTED_MEMBERS, EXCEPTED_CONTAINER_MEMBERS, EXCEPTED_VARIABLES)
    assert all(len(why.split()) >= 3 for table in tables for why in table.values())


def with_variable(base: Graph, name: str, variable: str, value: str) -> Graph:
    """Return the graph with an environment variable in one component."""
    (container,) = base.component(name).template["containerDefinitions"]
    others = [e for e in container.get("environment", ()) if e["name"] != variable]
    environment = [*others, {"name": variable, "value": value}]
    return with_container(base, name, environment=environment)


@pytest.mark.parametrize("variable", sorted(EXCEPTED_VARIABLES))
def test_an_excepted_variable_leaves_the_generation_alone(variable: str) -> None:
    base = graph()
    assert generation_of(with_variable(base, "decode", variable, "17")) == generation_of(base)


@pytest.mark.parametrize("variable", ["DYN_LOG", "VLLM_USE_V1", "DYN_NAMESPACE", "HF_HOME"])
def test_any_other_variable_makes_another_generation(variable: str) -> None:
    first, second = (with_variable(graph(), "decode", variable, value) for value in ("1", "2"))
    assert len({generation_of(g) for g in (graph(), first, second)}) == 3


def test_one_generation_covers_all_workers_and_nothing_else() -> None:
    base = graph()
    assert generation_of(with_container(base, "prefill", image="other")) != generation_of(base)
    for name in ("frontend", "etcd-nats"):
        assert generation_of(with_container(base, name, image="other")) == generation_of(base)


def test_it_depends_neither_on_counts_and_limits_nor_on_the_order() -> None:
    base = graph()
    changed = [
        graph(prefill=3, decode=2),
        replace(base, components=tuple(reversed(base.components))),
        replace(
            base,
            components=tuple(
                redeclared(c, service=f"other-{c.name}", enable_execute_command=True)
                for c in base.components
            ),
        ),
    ]
    assert {generation_of(g) for g in changed} == {generation_of(base)}


def test_it_depends_on_roles_namespace_and_the_set_of_workers() -> None:
    base = graph()
    roles = {"prefill": frozenset({Role.WORKER})}
    others = [
        replace(base, namespace="other"),
        replace(base, components=(*base.components, component("more", Role.DECODE))),
        replace(
            base,
            components=tuple(replace(c, roles=roles.get(c.name, c.roles)) for c in base.components),
        ),
    ]
    assert len({generation_of(g) for g in (base, *others)}) == 4


def test_other_generations_in_the_effective_graph_do_not_count() -> None:
    base = graph()
    old = replace(base.component("decode"), name="decode@g1", declared_name="decode")
    effective = replace(base, components=(*base.components, old))
    assert generation_of(effective) == generation_of(base)


def test_it_is_written_as_dynamo_and_ecs_accept_it() -> None:
    generation = generation_of(graph())
    assert generation[0] == "g"
    assert len(generation) == 9
    assert set(generation[1:]) <= set("0123456789abcdef")


def described(content: Any) -> Any:
    """Return a task definition as ECS describes it: with defaults, in another order."""
    containers = [
        {
            **c,
            "cpu": 0,
            "essential": True,
            "portMappings": [{"containerPort": 8081, "hostPort": 8081, "protocol": "tcp"}],
            "environment": list(reversed(c["environment"])),
            "mountPoints": [],
            "volumesFrom": [],
            "systemControls": [],
        }
        for c in content["containerDefinitions"]
    ]
    added = {"placementConstraints": [], "volumes": [], "requiresCompatibilities": ["EC2"]}
    return {**content, "containerDefinitions": containers, **added}


@pytest.mark.parametrize("mode", ["awsvpc", "host", "bridge"])
def test_a_declaration_is_equal_to_what_ecs_describes_of_its_revision(mode: str) -> None:
    """Wherever etcd is, whichever port the worker has, and whether it has a generation."""
    base = replace(
        graph(),
        components=tuple(
            component(c.name, *c.roles, mode=mode) if c.is_worker else c for c in graph().components
        ),
    )
    endpoints = Endpoints("http://10.1.2.3:2379", "nats://10.1.2.3:4222")
    for generation in (None, "g1a2b3c4d"):
        decode = replace(base.component("decode"), generation=generation)
        content = described(render(base, decode, endpoints, 8099))
        declared = declared_card_content(base, base.component("decode"))
        assert card_content(content, ["decode"]) == declared
