"""No secret leaves through what is shown, also where a user wrote it in plain text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.controller.telemetry.status import plan_document
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import RegisterTaskDefinition
from ecs_dynamo.model.redaction import (
    is_secret_name,
    without_secrets,
)
from ecs_dynamo.planning import describe, plan
from ecs_dynamo.planning.describe import content_diff
from tests.helpers.convergence import converged
from tests.helpers.graphs import graph

SECRET = "hunter2-do-not-show"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("HF_TOKEN", True),
        ("NGC_API_KEY", True),
        ("NATS_PASSWORD", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("db_password", True),
        ("TOKENIZERS_PARALLELISM", False),
        ("MAX_TOKENS", False),
        ("DYN_SYSTEM_PORT", False),
        ("KEY", False),
    ],
)
def test_a_name_tells_what_is_a_secret(name: str, secret: bool) -> None:
    assert is_secret_name(name) == secret


def entry(name: str, value: str) -> dict[str, Any]:
    return {
        "containerDefinitions": [{"name": "x", "environment": [{"name": name, "value": value}]}]
    }


def test_a_changed_secret_is_reported_and_not_shown() -> None:
    lines = content_diff(entry("HF_TOKEN", "old-" + SECRET), entry("HF_TOKEN", SECRET))
    assert len(lines) == 2
    assert all(line.endswith(": (hidden)") for line in lines)
    assert content_diff(entry("HF_TOKEN", SECRET), entry("HF_TOKEN", SECRET)) == []
    assert content_diff(entry("LOG", "a"), entry("LOG", "b"))[1].endswith(": b")


def test_passwords_in_urls_are_hidden_wherever_they_stand() -> None:
    shown = without_secrets({"command": [f"serve nats://me:{SECRET}@10.0.0.1:4222 --x"]})
    assert shown == {"command": ["serve nats://me:(hidden)@10.0.0.1:4222 --x"]}
    assert without_secrets("http://10.0.0.1:2379/a@b") == "http://10.0.0.1:2379/a@b"


def with_secret(declared: Graph, value: str) -> Graph:
    """Every dependant has a secret in plain text."""
    changed = []
    for component in declared.components:
        (container,) = component.template["containerDefinitions"]
        own = {"name": "HF_TOKEN", "value": value}
        container = {**container, "environment": [*container.get("environment", ()), own]}
        template = {**component.template, "containerDefinitions": [container]}
        changed.append(replace(component, template=template))
    return replace(declared, components=tuple(changed))


def test_no_plan_shows_it_and_no_action_tags_it() -> None:
    declared = with_secret(graph(), SECRET + "-1")
    ecs, memory = converged(declared)
    ecs.graph = declared = with_secret(graph(), SECRET + "-2")
    observed = ecs.snapshot()
    result = plan(declared, observed, memory, ecs.clock)
    registers = [a for a in result.actions if isinstance(a, RegisterTaskDefinition)]
    assert registers
    assert SECRET in json.dumps(registers[0].content)  # ECS is given it.
    shown = json.dumps(plan_document(result, observed)) + "\n".join(describe(result, observed))
    assert "HF_TOKEN" in shown
    assert SECRET not in shown
    for action in registers:
        assert SECRET not in json.dumps([dict(action.tags), action.reason])
