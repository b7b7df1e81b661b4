"""A user's own values of Dynamo's namespace variables are respected, with an explanation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.config import load_graph
from ecs_dynamo.planning.desired.generations.expansion import why_off
from tests.helpers.graph_files import ENVIRON, copy_example, load, warnings


def set_variable(index: int, name: str, value: str) -> Any:
    """Set a variable of a component in the graph file."""
    return lambda d: d["components"][index].setdefault("env", {}).update({name: value})


FRONTEND, PREFILL = 0, 2


@pytest.mark.parametrize(
    ("index", "name", "value"),
    [
        (PREFILL, "DYN_NAMESPACE_WORKER_SUFFIX", "blue"),
        (FRONTEND, "DYN_NAMESPACE_PREFIX", "dynamo"),
        (FRONTEND, "DYN_NAMESPACE_PREFIX_STRICT", "1"),
        (PREFILL, "DYN_NAMESPACE", "another"),
        (FRONTEND, "DYN_NAMESPACE_PREFIX", "${secret:prefix}"),
    ],
)
def test_own_values_are_respected_and_turn_generations_off(
    tmp_path: Path, index: int, name: str, value: str
) -> None:
    copy_example(tmp_path / "graph")
    (text,) = (
        line
        for line in warnings(tmp_path / "graph", set_variable(index, name, value)).splitlines()
        if name in line
    )
    assert f"components[{index}].env.{name}" in text
    assert "workers have no generations" in text
    graph = load_graph(tmp_path / "graph" / "ecs-dynamo.yaml", ENVIRON).graph
    off = why_off(graph)
    assert off is not None
    assert f"sets {name} " in off
    assert off in text


def test_the_graphs_own_namespace_may_be_repeated(tmp_path: Path) -> None:
    copy_example(tmp_path / "graph")
    graph = load(tmp_path / "graph", environ=ENVIRON)
    edit = set_variable(PREFILL, "DYN_NAMESPACE", graph.namespace)
    assert "generations" not in warnings(tmp_path / "graph", edit)
    assert why_off(load(tmp_path / "graph", environ=ENVIRON)) is None
