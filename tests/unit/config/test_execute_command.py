"""ECS Exec in the graph file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.config import load_graph
from ecs_dynamo.model.errors import InputError
from tests.helpers.graph_files import single_component_graph
from tests.unit.definitions.builders import ec2

ROLE = "arn:aws:iam::123456789012:role/dynamo-task"


@pytest.mark.parametrize("declared", [True, False, None])
def test_ecs_exec_is_off_unless_it_is_declared(tmp_path: Path, declared: bool | None) -> None:
    component: dict[str, Any] = {} if declared is None else {"enableExecuteCommand": declared}
    path = single_component_graph(tmp_path, {**ec2(), "taskRoleArn": ROLE}, **component)
    graph = load_graph(path, {}).graph
    assert graph.component("app").settings.enable_execute_command is bool(declared)


def test_ecs_exec_without_a_task_role_is_rejected(tmp_path: Path) -> None:
    path = single_component_graph(tmp_path, ec2(), enableExecuteCommand=True)
    with pytest.raises(InputError) as caught:
        load_graph(path, {})
    (problem,) = caught.value.problems
    assert problem.field == "taskRoleArn"
    assert "ssmmessages" in (problem.remedy or "")
