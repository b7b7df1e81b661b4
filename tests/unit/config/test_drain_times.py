"""Drain times in the graph file, against the task definition and the limits of ECS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecs_dynamo.config import load_graph
from ecs_dynamo.model.dynamo.variables import (
    DRAIN_VARIABLES,
    GRACE_VARIABLE,
    HTTP_DRAIN_VARIABLE,
    RUNTIME_DRAIN_VARIABLE,
)
from ecs_dynamo.model.errors import InputError, Problem
from tests.helpers.graph_files import single_component_graph
from tests.unit.definitions.builders import container, ec2, fargate

WORKER, FRONTEND = "worker", "frontend"


def warnings(
    folder: Path,
    definition: dict[str, Any],
    runtime: dict[str, Any] | None = None,
    role: str = WORKER,
    **component: Any,
) -> list[Problem]:
    """Return the warnings about drain times of a component of one type.

    A component of the other type makes the graph complete. Its drain time is long enough.
    """
    sections = {"runtime": runtime or {}}
    own = {"type": role, "alsoRuns": [], **component}
    path = single_component_graph(folder, definition, sections, **own)
    document = yaml.safe_load(path.read_text())
    (folder / "other.json").write_text(json.dumps(ec2()))
    other = {"type": FRONTEND if role == WORKER else WORKER, "taskDefinition": "other.json"}
    document["components"].append({"name": "other", "drainSeconds": 7200, **other})
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    words = ("drainSeconds", "longestRequestSeconds", *DRAIN_VARIABLES)
    return [w for w in load_graph(path, {}).warnings if any(word in w.message for word in words)]


def with_variable(name: str, value: str, **keys: Any) -> dict[str, Any]:
    return container(environment=[{"name": name, "value": value}], **keys)


def test_a_declared_drain_time_reaches_its_component_only(tmp_path: Path) -> None:
    definition = ec2(container(stopTimeout=70))
    loaded = load_graph(single_component_graph(tmp_path, definition, drainSeconds=90.5), {})
    graph = loaded.graph
    assert graph.component("app").drain_seconds == 90.5
    assert graph.drain_seconds(graph.component("app")) == 90.5
    loaded = load_graph(single_component_graph(tmp_path, definition), {})
    assert loaded.graph.component("app").drain_seconds is None
    assert loaded.graph.drain_seconds(loaded.graph.component("app")) == 60.0


@pytest.mark.parametrize("seconds", [-1, 7201, "soon"])
def test_an_impossible_drain_time_is_rejected(tmp_path: Path, seconds: Any) -> None:
    with pytest.raises(InputError) as caught:
        warnings(tmp_path, ec2(), drainSeconds=seconds)
    (problem,) = caught.value.problems
    assert problem.field == "components[0].drainSeconds"
    assert problem.line


def test_a_stop_timeout_below_the_graphs_drain_time_is_reported(tmp_path: Path) -> None:
    (warning,) = warnings(tmp_path, ec2(container(stopTimeout=20)))
    assert str(warning.file).endswith("app.json")
    assert warning.field == "containerDefinitions[0].stopTimeout"
    assert "stopTimeout 20, but runtime.drainSeconds is 60" in warning.message
    assert "set stopTimeout to 60 or more, or declare drainSeconds of app" in str(warning.remedy)
    assert warnings(tmp_path, ec2(container(stopTimeout=60))) == []
    # A declared drain time raises it.
    assert warnings(tmp_path, ec2(container(stopTimeout=20)), drainSeconds=300) == []


def test_fargate_cannot_give_more_than_its_longest_stop_timeout(tmp_path: Path) -> None:
    (warning,) = warnings(tmp_path, fargate(), launchType="FARGATE", drainSeconds=300)
    assert str(warning.file).endswith("ecs-dynamo.yaml")
    assert warning.field == "components[0].drainSeconds"
    assert warning.line
    assert "drainSeconds 300 is cut short" in warning.message
    assert "replicas have 110 s" in warning.message
    assert "lower it to 110, or run app on EC2" in str(warning.remedy)
    assert warnings(tmp_path, fargate(), launchType="FARGATE", drainSeconds=110) == []
    (warning,) = warnings(tmp_path, fargate(), {"drainSeconds": 300}, launchType="FARGATE")
    assert "lower runtime.drainSeconds to 110" in str(warning.remedy)


@pytest.mark.parametrize(
    ("role", "name", "value", "words", "remedy"),
    [
        (
            WORKER,
            GRACE_VARIABLE,
            "5",
            "has precedence over drainSeconds 60",
            "set drainSeconds to 5",
        ),
        (FRONTEND, HTTP_DRAIN_VARIABLE, "5", "has precedence over drainSeconds 60", "remove it"),
        (WORKER, GRACE_VARIABLE, "soon", "'soon' is not a number of seconds", "correct it"),
        (WORKER, RUNTIME_DRAIN_VARIABLE, "60.5", "is not a whole number", "correct it"),
        (FRONTEND, HTTP_DRAIN_VARIABLE, "60.0", "is not a whole number", "correct it"),
    ],
)
def test_the_users_own_variables_are_compared_with_the_declared_drain_time(
    tmp_path: Path, role: str, name: str, value: str, words: str, remedy: str
) -> None:
    definition = ec2(with_variable(name, value, stopTimeout=120))
    (warning,) = warnings(tmp_path, definition, role=role, drainSeconds=60)
    assert str(warning.file).endswith("app.json")
    assert warning.field == "containerDefinitions[0].environment"
    assert words in warning.message
    assert remedy in str(warning.remedy)
    plain = ec2(container(stopTimeout=120))
    env = {name: value}
    (warning,) = warnings(tmp_path, plain, role=role, drainSeconds=60, env=env)
    assert str(warning.file).endswith("ecs-dynamo.yaml")
    assert warning.field == f"components[0].env.{name}"
    assert words in warning.message


def test_equal_and_unread_variables_are_not_reported(tmp_path: Path) -> None:
    equal = ec2(with_variable(GRACE_VARIABLE, "59.5", stopTimeout=120))
    assert warnings(tmp_path, equal, drainSeconds=60) == []
    unread = ec2(with_variable(HTTP_DRAIN_VARIABLE, "5", stopTimeout=120))
    assert warnings(tmp_path, unread, drainSeconds=60) == []


def test_a_variable_that_ecs_cuts_off_is_reported(tmp_path: Path) -> None:
    definition = ec2(with_variable(GRACE_VARIABLE, "200", stopTimeout=100))
    (warning,) = warnings(tmp_path, definition)
    assert f"{GRACE_VARIABLE} is 200, but ECS ends the container 100 s" in warning.message
    assert "set stopTimeout to 210 or more" in str(warning.remedy)
    definition = fargate(with_variable(GRACE_VARIABLE, "200", stopTimeout=120))
    (warning,) = warnings(tmp_path, definition, launchType="FARGATE")
    assert "ECS ends the container 120 s" in warning.message
    assert "set it to 110 or less" in str(warning.remedy)


@pytest.mark.parametrize("role", [WORKER, FRONTEND])
def test_a_drain_that_is_shorter_than_the_longest_request_is_reported(
    tmp_path: Path, role: str
) -> None:
    runtime = {"longestRequestSeconds": 1800}
    definition = ec2(container(stopTimeout=120))
    (warning,) = warnings(tmp_path, definition, runtime, role)
    assert warning.field == "components[0]"
    assert "has 60 s to finish its requests" in warning.message
    assert "longestRequestSeconds is 1800" in warning.message
    assert "set drainSeconds of app to 1800" in str(warning.remedy)
    assert ("--migration-limit" in str(warning.remedy)) == (role == WORKER)
    assert warnings(tmp_path, definition, runtime, role, drainSeconds=1800) == []
    *_, warning = warnings(
        tmp_path, fargate(), runtime, role, launchType="FARGATE", drainSeconds=1800
    )
    assert "has 110 s to finish its requests" in warning.message
    assert "run app on EC2 with drainSeconds 1800" in str(warning.remedy)
