"""`validate` and the local ECS, written apart, agree on what ECS takes and what it rejects."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ecs_dynamo.config.ecs_rules import RULES, STRUCTURE, Content, violations
from ecs_dynamo.config.task_definitions.ecs_shape import (
    conform,
    register_shape,
)
from ecs_dynamo.local.registration import admit
from ecs_dynamo.local.wire.protocol import EcsError, parse
from tests.unit.definitions.examples import BAD, GOOD, Bad, Json

ROOT = Path(__file__).parents[3]
AT_CREATION = {"volume-configured-at-launch"}
"""Rules of CreateService: RegisterTaskDefinition takes such a task definition."""
FILES = sorted(
    [
        *(ROOT / "taskdefs").glob("*.json"),
        *(ROOT / "tests" / "fixtures" / "seed").glob("*.json"),
        *(ROOT / "examples").glob("*/taskdefs/*.json"),
    ]
)


def rejected_by_validate(definition: Json) -> list[str]:
    """The ids of the broken rules; the word ``shape`` for what is ill-typed."""
    complaints: list[str] = []
    content = conform(
        copy.deepcopy(definition),
        register_shape(),
        (),
        lambda path, message, remedy: complaints.append("shape"),
        lambda path: None,
    )
    if complaints:
        return complaints
    fargate = "FARGATE" in content.get("requiresCompatibilities", ())
    found = list(violations(STRUCTURE, Content(content, fargate)))
    found = found or list(violations(RULES, Content(content, fargate)))
    return [v.rule.id for v in found if v.rule.id not in AT_CREATION]


def rejected_by_local_ecs(definition: Json) -> EcsError | None:
    try:
        admit(parse("RegisterTaskDefinition", json.dumps(definition).encode()))
    except EcsError as error:
        return error
    return None


@pytest.mark.parametrize("bad", BAD, ids=[f"{n}-{b.rule}" for n, b in enumerate(BAD)])
def test_both_reject_what_ecs_rejects(bad: Bad) -> None:
    error = rejected_by_local_ecs(bad.definition)
    if bad.rule in AT_CREATION:
        assert error is None
        return
    assert rejected_by_validate(bad.definition)
    assert error is not None
    assert error.code == "ClientException"
    assert str(error)


@pytest.mark.parametrize("name", GOOD)
def test_both_take_what_ecs_takes(name: str) -> None:
    assert rejected_by_validate(GOOD[name]) == []
    assert rejected_by_local_ecs(GOOD[name]) is None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_both_take_the_files_of_the_project_and_of_dynamo(path: Path) -> None:
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


def test_sizes_in_words_are_answered_as_numbers() -> None:
    made = admit({**GOOD["smallest"], "cpu": ".25 vCPU", "memory": "0.5 GB"})
    assert (made["cpu"], made["memory"]) == ("256", "512")
    made = admit({**GOOD["smallest"], "cpu": "2 vcpu", "memory": "1GB"})
    assert (made["cpu"], made["memory"]) == ("2048", "1024")


NUMBERS = st.sampled_from([-1, 0, 1, 2, 4, 5, 10, 11, 60, 61, 120, 121, 300, 301, 65_535, 65_536])
WORDS = st.sampled_from(
    [
        *("", "app", "b", "nobody", "a b", "<x>", "$X", "1-2", "9-3", "80", "256", "512", "1024"),
        *("1 vCPU", ".5 vCPU", "2 GB", "0.5GB", "/x", "x", "ALL", "net.x", "vm.x", "awslogs"),
    ]
)


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in ((*path, k), *_leaves(v, (*path, k)))]
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in ((*path, i), *_leaves(v, (*path, i)))]
    return []


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@st.composite
def mutated(draw: st.DrawFn) -> Json:
    """A good task definition with one to three changes: a value, a missing key, another's part."""
    definition = copy.deepcopy(GOOD[draw(st.sampled_from(sorted(GOOD)))])
    for _ in range(draw(st.integers(1, 3))):
        paths = _leaves(definition)
        path = draw(st.sampled_from(paths))
        parent, old = _at(definition, path[:-1]), _at(definition, path)
        kind = draw(st.sampled_from(["remove", "value", "graft"]))
        if kind == "remove" and path[:1] != ("family",):
            del parent[path[-1]]
        elif kind == "value":
            parent[path[-1]] = _other(draw, old)
        else:
            other = GOOD[draw(st.sampled_from(sorted(GOOD)))]
            key = draw(st.sampled_from(sorted(other["containerDefinitions"][0])))
            grafted = copy.deepcopy(other["containerDefinitions"][0][key])
            if definition.get("containerDefinitions"):
                definition["containerDefinitions"][0][key] = grafted
    mode = draw(st.sampled_from([None, "host", "bridge", "awsvpc", "none"]))
    if mode is not None:
        definition["networkMode"] = mode
    return definition


def _other(draw: st.DrawFn, old: Any) -> Any:
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return draw(NUMBERS)
    if isinstance(old, str):
        return draw(WORDS)
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
def test_verdicts_agree_on_whatever_becomes_of_a_good_one(definition: Json) -> None:
    # ECS takes any other word for tcp, and `validate` rejects it on purpose: it is a typing error.
    assume(_protocols(definition) <= {"tcp", "udp"})
    ours, theirs = rejected_by_validate(definition), rejected_by_local_ecs(definition)
    assert bool(ours) == (theirs is not None), (ours, theirs)
