"""The drain time in rendered task definitions: Dynamo's variables and ``stopTimeout``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.dynamo.drain import MAX_FARGATE_DRAIN_SECONDS, MAX_FARGATE_STOP_SECONDS
from ecs_dynamo.model.dynamo.variables import (
    DRAIN_VARIABLES,
    GRACE_VARIABLE,
    HTTP_DRAIN_VARIABLE,
    RUNTIME_DRAIN_VARIABLE,
)
from ecs_dynamo.model.generations import GenerationMode, Generations
from ecs_dynamo.model.graph import Component, Role
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.spec.service import LaunchType
from ecs_dynamo.planning.desired.rendering import render
from ecs_dynamo.planning.rollout.handover.drain_record import keep_minutes, renew_below
from ecs_dynamo.planning.rollout.protection import drain_minutes
from tests.helpers.graphs import component, graph, template
from tests.helpers.observations import environment

ENDS = Endpoints("http://10.0.0.9:2379", "nats://10.0.0.8:4222")


def draining(
    role: Role, drain: float | None, *, own: dict[str, str] | None = None, **container: Any
) -> Component:
    """A component with this drain time, and variables and container keys of the user."""
    content = template("main", "awsvpc")
    first = content["containerDefinitions"][0]
    first["environment"] += [{"name": k, "value": v} for k, v in (own or {}).items()]
    first.update(container)
    return replace(component("main", role), template=content, drain_seconds=drain)


def rendered(
    item: Component, runtime_drain: float = 60.0, mode: GenerationMode = GenerationMode.OFF
) -> tuple[dict[str, str], int | None]:
    """Return the rendered drain variables and the stopTimeout of the component's container."""
    base = replace(graph(), generations=Generations(mode))
    runtime = base.runtime.model_copy(update={"drain_seconds": runtime_drain})
    content = render(replace(base, runtime=runtime), item, ENDS, 8081)
    values = {k: v for k, v in environment(content, "main").items() if k in DRAIN_VARIABLES}
    return values, content["containerDefinitions"][0].get("stopTimeout")


@pytest.mark.parametrize("role", [Role.DECODE, Role.PREFILL, Role.WORKER, Role.FRONTEND])
def test_without_a_declared_drain_time_the_content_stays_as_it_was(role: Role) -> None:
    assert rendered(draining(role, None), 90.5) == ({RUNTIME_DRAIN_VARIABLE: "90.5"}, None)
    kept = draining(role, None, own={GRACE_VARIABLE: "300"}, stopTimeout=20)
    assert rendered(kept) == ({GRACE_VARIABLE: "300", RUNTIME_DRAIN_VARIABLE: "60"}, 20)


@pytest.mark.parametrize(
    ("role", "variable"),
    [
        (Role.DECODE, GRACE_VARIABLE),
        (Role.PREFILL, GRACE_VARIABLE),
        (Role.FRONTEND, HTTP_DRAIN_VARIABLE),
    ],
)
def test_a_declared_drain_time_sets_the_variables_of_the_role(role: Role, variable: str) -> None:
    values = {variable: "45", RUNTIME_DRAIN_VARIABLE: "45"}
    assert rendered(draining(role, 45.0)) == (values, 55)
    # A frontend ignores a fraction of a second, and would wait for 5 s only.
    assert rendered(draining(role, 44.2)) == (values, 55)


@pytest.mark.parametrize("role", [Role.DECODE, Role.PREFILL, Role.WORKER])
def test_workers_of_a_generation_get_the_graphs_drain_time(role: Role) -> None:
    item = replace(draining(role, None), generation="g1a2b3c4d")
    values = {GRACE_VARIABLE: "91", RUNTIME_DRAIN_VARIABLE: "91"}
    assert rendered(item, 90.5, GenerationMode.IN_FORCE) == (values, 101)


def test_frontends_that_serve_generations_get_the_graphs_drain_time() -> None:
    old = ({RUNTIME_DRAIN_VARIABLE: "60"}, None)
    new = ({HTTP_DRAIN_VARIABLE: "60", RUNTIME_DRAIN_VARIABLE: "60"}, 70)
    for mode in GenerationMode:
        serves = mode in (GenerationMode.IN_FORCE, GenerationMode.ADOPTING)
        item = draining(Role.FRONTEND, None)
        assert rendered(item, mode=mode) == (new if serves else old)
        assert rendered(draining(Role.PLANNER, None), mode=mode) == old


def test_a_planner_has_no_requests_and_gets_the_runtime_timeout_only() -> None:
    assert rendered(draining(Role.PLANNER, 45.0)) == ({RUNTIME_DRAIN_VARIABLE: "45"}, 55)


def test_a_larger_stop_timeout_and_the_users_variables_stay() -> None:
    assert rendered(draining(Role.DECODE, 45.0, stopTimeout=300))[1] == 300
    assert rendered(draining(Role.DECODE, 0.0))[1] == 30
    values, timeout = rendered(draining(Role.DECODE, 45.0, own={GRACE_VARIABLE: "90.5"}))
    assert (values[GRACE_VARIABLE], timeout) == ("90.5", 101)


def test_a_variable_that_comes_as_a_secret_stays_one() -> None:
    reference = {"name": GRACE_VARIABLE, "valueFrom": "arn:aws:ssm:x"}
    values, timeout = rendered(draining(Role.DECODE, 45.0, secrets=[reference]))
    assert (values, timeout) == ({RUNTIME_DRAIN_VARIABLE: "45"}, 55)


def test_containers_that_do_not_run_dynamo_are_left_as_written() -> None:
    item = draining(Role.DECODE, 45.0)
    logs = {"name": "logs", "image": "fluentbit", "stopTimeout": 5}
    content = {**item.template}
    content["containerDefinitions"] = [*content["containerDefinitions"], logs]
    result = render(graph(), replace(item, template=content), ENDS, 8081)
    assert result["containerDefinitions"][1] == logs


def test_fargate_caps_the_drain_so_that_it_ends_before_sigkill() -> None:
    item = replace(draining(Role.DECODE, 1800.0), launch_type=LaunchType.FARGATE)
    capped = str(MAX_FARGATE_DRAIN_SECONDS)
    values = {GRACE_VARIABLE: capped, RUNTIME_DRAIN_VARIABLE: capped}
    assert rendered(item) == (values, MAX_FARGATE_STOP_SECONDS)


@given(
    role=st.sampled_from([Role.DECODE, Role.PREFILL, Role.WORKER, Role.FRONTEND, Role.PLANNER]),
    drain=st.floats(0, 7200),
    own=st.dictionaries(
        st.sampled_from(DRAIN_VARIABLES),
        st.one_of(st.integers(0, 7200).map(str), st.sampled_from(["", "x", "-1", "1e3", "nan"])),
    ),
    timeout=st.one_of(st.none(), st.integers(2, 9000)),
    fargate=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_every_rendered_drain_ends_before_the_stop_timeout(
    role: Role, drain: float, own: dict[str, str], timeout: int | None, fargate: bool
) -> None:
    declared = {} if timeout is None else {"stopTimeout": min(timeout, 120 if fargate else timeout)}
    item = draining(role, drain, own={} if fargate else own, **declared)
    if fargate:
        item = replace(item, launch_type=LaunchType.FARGATE)
    values, stop = rendered(item)
    assert stop is not None
    assert stop >= declared.get("stopTimeout", 30)
    assert not fargate or stop <= MAX_FARGATE_STOP_SECONDS
    obeyed = {Role.FRONTEND: HTTP_DRAIN_VARIABLE, Role.PLANNER: RUNTIME_DRAIN_VARIABLE}
    for name in {RUNTIME_DRAIN_VARIABLE, obeyed.get(role, GRACE_VARIABLE)}:
        assert name in values
        if values[name].isdigit():
            assert int(values[name]) < stop


def test_planning_uses_the_components_own_drain_time() -> None:
    base = graph()
    decode = base.component("decode")
    own = replace(decode, drain_seconds=600.0)
    assert base.drain_seconds(decode) == 60.0
    assert base.drain_seconds(own) == 600.0
    assert (drain_minutes(base, decode), drain_minutes(base, own)) == (2, 11)
    assert keep_minutes(base, own) - keep_minutes(base, decode) == 9
    assert (renew_below(base, decode), renew_below(base, own)) == (5.0, 11.0)
