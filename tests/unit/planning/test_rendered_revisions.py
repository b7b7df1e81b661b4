"""Rendered task definitions of graphs that run today, byte for byte.

Shipped files that have changed since are kept in ``tests/fixtures/rendered/inputs``.

A change of what is rendered, or of its fingerprint, rolls every GPU worker of every graph at the
next upgrade. So it must be a decision, which the change of the files in ``tests/fixtures/rendered``
records: ``UPDATE_RENDERED=1 pytest tests/unit/planning/test_rendered_revisions.py`` writes them.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.config import load_graph
from ecs_dynamo.model.graph import TAG_FINGERPRINT, Graph
from ecs_dynamo.model.plan import Memory, RegisterTaskDefinition
from ecs_dynamo.planning import plan
from tests.helpers.simulated_ecs import SimulatedEcs

ROOT = Path(__file__).parents[3]
RENDERED = ROOT / "tests/fixtures/rendered"
INPUTS = RENDERED / "inputs"
ENVIRON = {
    "AWS_ID": "123456789012",
    "AWS_REGION": "us-east-1",
    "SUBNET_ID": "subnet-0123456789abcdef0",
    "SECURITY_GROUP_ID": "sg-0123456789abcdef0",
}
SINGLE = {"taskDefinition": "taskdefs/etcd-nats.json"}
CLUSTER = {
    "etcd": {"taskDefinition": "taskdefs/etcd.json", "replicas": 3},
    "nats": {"taskDefinition": "taskdefs/nats.json"},
}


def _production(folder: Path, infrastructure: Any) -> Graph:
    """A graph of the definitions in ``inputs/taskdefs``."""
    shutil.copytree(INPUTS / "taskdefs", folder / "taskdefs")
    content = {
        "name": "llama",
        "region": "us-east-1",
        "variables": {"AWS_ID": ENVIRON["AWS_ID"]},
        "tags": {"team": "inference"},
        "network": {
            "subnets": [ENVIRON["SUBNET_ID"]],
            "securityGroups": [ENVIRON["SECURITY_GROUP_ID"]],
        },
        "infrastructure": infrastructure,
        "components": [
            {"name": name, "type": name, "taskDefinition": f"taskdefs/{name}.json", "replicas": 2}
            for name in ("frontend", "prefill", "decode")
        ],
    }
    path = folder / "ecs-dynamo.yaml"
    path.write_text(json.dumps(content))
    return load_graph(path, ENVIRON).graph


GRAPHS = {
    "seed": "tests/fixtures/seed/graph.yaml",
    "local": "examples/local/ecs-dynamo.yaml",
    "qwen-disagg": "tests/fixtures/rendered/inputs/qwen-disagg/ecs-dynamo.yaml",
    "taskdefs": SINGLE,
    "taskdefs-cluster": CLUSTER,
}


def _revisions(graph: Graph) -> list[dict[str, Any]]:
    """Return the revisions that are registered from nothing to the graph, in order."""
    ecs, memory = SimulatedEcs(graph), Memory(started_at=1000.0)
    registered: list[dict[str, Any]] = []
    for _ in range(40):
        result = plan(graph, ecs.snapshot(), memory, ecs.clock)
        memory = result.memory
        registered += [
            {
                "component": action.component,
                "fingerprint": action.fingerprint,
                "tag": action.tags[TAG_FINGERPRINT],
                "content": action.content,
            }
            for action in result.actions
            if isinstance(action, RegisterTaskDefinition)
        ]
        ecs.execute(result.actions, twice=False)
        ecs.step()
    return registered


@pytest.mark.parametrize("name", GRAPHS)
def test_revisions_of_shipped_graphs_stay_as_they_are(name: str, tmp_path: Path) -> None:
    source = GRAPHS[name]
    graph = (
        load_graph(ROOT / source, ENVIRON).graph
        if isinstance(source, str)
        else _production(tmp_path, source)
    )
    revisions = _revisions(graph)
    assert revisions
    text = json.dumps(revisions, indent=1) + "\n"
    path = RENDERED / f"{name}.json"
    if os.environ.get("UPDATE_RENDERED"):
        path.write_text(text)
    assert text == path.read_text()
