"""`validate` and the local ECS, independent implementations, accept the same definitions."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ecs_dynamo.common.botocore_data import register_task_definition_input
from ecs_dynamo.config.ecs_rules import RULES, STRUCTURE, Content, violations
from ecs_dynamo.config.task_definitions.ecs_shape import (
    conform,
)
from ecs_dynamo.local.registration import admit
from ecs_dynamo.local.wire.protocol import EcsError, parse
from tests.unit.definitions.builders import Json
from tests.unit.definitions.invalid import INVALID, InvalidDefinition
from tests.unit.definitions.valid import VALID

ROOT = Path(__file__).parents[3]
RULES_OF_CREATE_SERVICE = {"volume-configured-at-launch"}
"""Rules of CreateService: RegisterTaskDefinition accepts such a task definition."""
FILES = sorted(
    [
        *(ROOT / "taskdefs").glob("*.json"),
        *(ROOT / "tests" / "fixtures" / "seed").glob("*.json"),
        *(ROOT / "examples").glob("*/taskdefs/*.json"),
    ]
)


def rejected_by_validate(definition: Json) -> list[str]:
    """Return the ids of the violated rules; ``shape`` if the definition does not have the shape."""
    shape_problems: list[str] = []
    content = conform(
        copy.deepcopy(definition),
        register_task_definition_input(),
        (),
        lambda path, message, remedy: shape_problems.append("shape"),
        lambda path: None,
    )
    if shape_problems:
        return shape_problems
    fargate = "FARGATE" in content.get("requiresCompatibilities", ())
    violated = list(violations(STRUCTURE, Content(content, fargate)))
    violated = violated or list(violations(RULES, Content(content, fargate)))
    return [v.rule.id for v in violated if v.rule.id not in RULES_OF_CREATE_SERVICE]


def rejected_by_local_ecs(definition: Json) -> EcsError | None:
    """Return the error of RegisterTaskDefinition, or None if it accepts the definition."""
    try:
        admit(parse("RegisterTaskDefinition", json.dumps(definition).encode()))
    except EcsError as error:
        return error
    return None


@pytest.mark.parametrize("invalid", INVALID, ids=[f"{n}-{d.rule}" for n, d in enumerate(INVALID)])
def test_both_reject_what_ecs_rejects(invalid: InvalidDefinition) -> None:
    error = rejected_by_local_ecs(invalid.definition)
    if invalid.rule in RULES_OF_CREATE_SERVICE:
        assert error is None
        return
    assert rejected_by_validate(invalid.definition)
    assert error is not None
    assert error.code == "ClientException"
    assert str(error)


@pytest.mark.parametrize("name", VALID)
def test_both_accept_what_ecs_accepts(name: str) -> None:
    assert rejected_by_validate(VALID[name]) == []
    assert rejected_by_local_ecs(VALID[name]) is None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_both_accept_the_task_definitions_of_the_project_and_of_dynamo(path: Path) -> None:
    definition = json.loads(
        path.read_text().replace("AWS_ID", "123456789012").replace("AWS_REGION", "us-east-1")
    )
    if "containerDefinitions" not in definition:
        pytest.skip("a service, not a task definition")
    ignored = {"tags", "taskDefinitionArn", "revision", "status", "requiresAttributes"}
    ignored |= {"compatibilities", "registeredAt", "registeredBy"}
    definition = {k: v for k, v in definition.items() if k not in ignored}
    assert rejected_by_validate(definition) == []
    assert rejected_by_local_ecs(definition) is None


def test_sizes_with_units_are_converted_to_numbers() -> None:
    admitted = admit({**VALID["smallest"], "cpu": ".25 vCPU", "memory": "0.5 GB"})
    assert (admitted["cpu"], admitted["memory"]) == ("256", "512")
    admitted = admit({**VALID["smallest"], "cpu": "2 vcpu", "memory": "1GB"})
    assert (admitted["cpu"], admitted["memory"]) == ("2048", "1024")


NUMBERS = st.sampled_from([-1, 0, 1, 2, 4, 5, 10, 11, 60, 61, 120, 121, 300, 301, 65_535, 65_536])
TEXTS = st.sampled_from(
    [
        *("", "app", "b", "nobody", "a b", "<x>", "$X", "1-2", "9-3", "80", "256", "512", "1024"),
        *("1 vCPU", ".5 vCPU", "2 GB", "0.5GB", "/x", "x", "ALL", "net.x", "vm.x", "awslogs"),
    ]
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in ((*path, k), *_paths(v, (*path, k)))]
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in ((*path, i), *_paths(v, (*path, i)))]
    return []


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@st.composite
def mutated(draw: st.DrawFn) -> Json:
    """A valid task definition with one to three random changes.

    A change removes a member, replaces a value, or adds a part of another valid definition.
    """
    definition = copy.deepcopy(VALID[draw(st.sampled_from(sorted(VALID)))])
    for _ in range(draw(st.integers(1, 3))):
        paths = _paths(definition)
        path = draw(st.sampled_from(paths))
        parent, old = _at(definition, path[:-1]), _at(definition, path)
        kind = draw(st.sampled_from(["remove", "value", "graft"]))
        if kind == "remove" and path[:1] != ("family",):
            del parent[path[-1]]
        elif kind == "value":
            parent[path[-1]] = _different_value(draw, old)
        else:
            donor = VALID[draw(st.sampled_from(sorted(VALID)))]
            key = draw(st.sampled_from(sorted(donor["containerDefinitions"][0])))
            part = copy.deepcopy(donor["containerDefinitions"][0][key])
            if definition.get("containerDefinitions"):
                definition["containerDefinitions"][0][key] = part
    mode = draw(st.sampled_from([None, "host", "bridge", "awsvpc", "none"]))
    if mode is not None:
        definition["networkMode"] = mode
    return definition


def _different_value(draw: st.DrawFn, old: Any) -> Any:
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return draw(NUMBERS)
    if isinstance(old, str):
        return draw(TEXTS)
    return [*old, *old] if isinstance(old, list) else {}


def _protocols(definition: Json) -> set[Any]:
    return {
        mapping["protocol"]
        for container in definition.get("containerDefinitions") or ()
        if isinstance(container, dict)
        for mapping in container.get("portMappings") or ()
        if isinstance(mapping, dict) and isinstance(mapping.get("protocol"), str)
    }


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_both_agree_on_mutated_definitions(definition: Json) -> None:
    # ECS treats any other protocol as tcp; `validate` deliberately rejects it as a misspelling.
    assume(_protocols(definition) <= {"tcp", "udp"})
    rules, error = rejected_by_validate(definition), rejected_by_local_ecs(definition)
    assert bool(rules) == (error is not None), (rules, error)
