"""Graph files for tests: the example `examples/local`, edits of it, and graphs built anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from ecs_dynamo.config import LoadedGraph, load_graph
from ecs_dynamo.model.graph import Graph

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "local"
ENVIRON = {"AWS_ID": "123456789012", "AWS_REGION": "us-east-1"}
TLS = {"ca": "${secret:ca}", "clientCert": "${secret:cert:pem::}", "clientKey": "${ssm:/key}"}
FS = "fs-0123456789abcdef0"
EXTERNAL_ETCD = {"etcd": {"endpoints": ["http://127.0.0.1:2379"]}}
Edit = Callable[[Any], object]
"""Change of a parsed graph file, in place."""


def copy_example(target: Path) -> Path:
    """Copy the example graph and its task definitions to ``target``."""
    return Path(shutil.copytree(EXAMPLE, target, ignore=shutil.ignore_patterns("model")))


def load(folder: Path, edit: Edit | None = None, environ: dict[str, str] | None = None) -> Graph:
    """Load the example in ``folder`` after ``edit``."""
    path = folder / "ecs-dynamo.yaml"
    if edit is not None:
        document = yaml.safe_load(path.read_text())
        edit(document)
        path.write_text(yaml.safe_dump(document, sort_keys=False))
    return load_graph(path, environ or {}).graph


def warnings(folder: Path, edit: Edit) -> str:
    """Load the example after ``edit`` and return its warnings."""
    load(folder, edit, ENVIRON)
    loaded = load_graph(folder / "ecs-dynamo.yaml", ENVIRON)
    return "\n".join(str(w) for w in loaded.warnings)


def prefill(document: Any) -> Any:
    """Return the component prefill of the example."""
    return document["components"][2]


def scaling(**changes: Any) -> Edit:
    """Change the scaling of prefill."""
    return lambda d: prefill(d)["scaling"].update(changes)


def providers(*items: dict[str, Any], **more: Any) -> Edit:
    """Give prefill capacity providers, and change ``more`` of it."""
    return lambda d: prefill(d).update(capacityProviders=list(items), **more)


def placement(**parts: Any) -> Edit:
    """Set the placement of prefill."""
    return lambda d: prefill(d).update(placement=parts)


def groups(*items: dict[str, Any]) -> Edit:
    """Declare Auto Scaling groups."""
    return lambda d: d.update(capacity={"autoScalingGroups": list(items)})


def infrastructure(**parts: Any) -> Edit:
    """Replace the infrastructure."""

    def edit(document: Any) -> None:
        document["infrastructure"] = parts

    return edit


def volume(**fields: Any) -> Edit:
    """Run NATS in its own task, with a volume."""
    parts = {"taskDefinition": "taskdefs/etcd-nats.json"}
    return infrastructure(etcd=parts, nats={**parts, "volume": {"fileSystemId": FS, **fields}})


def cluster(**fields: Any) -> Edit:
    """Declare an etcd cluster of three members."""
    return infrastructure(
        etcd={"taskDefinition": "taskdefs/etcd-nats.json", "replicas": 3, **fields}
    )


def production(tmp_path: Path, **etcd: Any) -> Path:
    """Write a graph of the shipped task definitions with an etcd cluster."""
    shutil.copytree(ROOT / "taskdefs", tmp_path / "taskdefs")
    path = tmp_path / "graph.yaml"
    graph = {
        "name": "prod",
        "region": "us-east-1",
        "network": {"subnets": ["subnet-a", "subnet-b"], "securityGroups": ["sg-1"]},
        "infrastructure": {"etcd": {"taskDefinition": "taskdefs/etcd.json", "replicas": 3, **etcd}},
        "components": [
            {"name": name, "type": name, "taskDefinition": f"taskdefs/{name}.json"}
            for name in ("frontend", "decode", "prefill")
        ],
    }
    path.write_text(yaml.safe_dump(graph))
    return path


def single_component_graph(
    folder: Path,
    definition: dict[str, Any],
    sections: dict[str, Any] | None = None,
    **component: Any,
) -> Path:
    """Write a graph file with one component of ``definition`` and further ``sections``."""
    (folder / "app.json").write_text(json.dumps(definition, indent=1))
    document = {
        "name": "g",
        "region": "us-east-1",
        "variables": {"AWS_ID": "123456789012"},
        "network": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]},
        "infrastructure": EXTERNAL_ETCD,
        **(sections or {}),
        "components": [
            {
                "name": "app",
                "type": "frontend",
                "alsoRuns": ["worker"],
                "taskDefinition": "app.json",
                **component,
            }
        ],
    }
    path = folder / "ecs-dynamo.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def load_containers(
    folder: Path,
    containers: list[dict[str, Any]],
    environ: dict[str, str] | None = None,
    infrastructure: dict[str, Any] | None = None,
    **component: Any,
) -> LoadedGraph:
    """Load a graph of one component with ``containers`` and an external etcd."""
    content = {
        "family": "x",
        "networkMode": "host",
        "executionRoleArn": "arn:aws:iam::123456789012:role/exec",
        "containerDefinitions": [{"memory": 64, "stopTimeout": 5, **c} for c in containers],
    }
    sections = {
        "infrastructure": {**EXTERNAL_ETCD, **(infrastructure or {})},
        "runtime": {"drainSeconds": 5},
    }
    return load_graph(single_component_graph(folder, content, sections, **component), environ or {})


def containers_by_name(loaded: LoadedGraph) -> dict[str, Any]:
    """Return the containers of the first component by name."""
    template = loaded.graph.components[0].template
    return {c["name"]: c for c in template["containerDefinitions"]}
