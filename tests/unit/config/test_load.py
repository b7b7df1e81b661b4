"""Loading of graph files: task definitions, warnings, variables, the shipped examples."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecs_dynamo.config import load_graph
from ecs_dynamo.config.schema import graph_schema
from ecs_dynamo.model import graph as model_graph
from ecs_dynamo.model.errors import InputError
from ecs_dynamo.model.graph import Role
from tests.helpers.graph_files import ROOT, Edit, load, prefill
from tests.rights.widest import ENVIRON

SHIPPED = ROOT / "ecs_dynamo" / "config" / "graph.schema.json"

TASK_EDITS: list[tuple[Edit, str]] = [
    (lambda d: d.pop("containerDefinitions"), "containerDefinitions"),
    (lambda d: d.update(containerDefinitions=[]), "containerDefinitions"),
    (lambda d: d.update(networkMode="none"), "networkMode"),
    (lambda d: d.update(netwrkMode="host"), "networkMode"),
    (lambda d: d["containerDefinitions"][0].pop("image"), "image"),
    (lambda d: d["containerDefinitions"][0].update(stopTimeout="long"), "stopTimeout"),
    (lambda d: d["containerDefinitions"].append(d["containerDefinitions"][0]), "containerDef"),
    (
        lambda d: d["containerDefinitions"][0]["environment"].append({"name": "A", "value": [1]}),
        "environment",
    ),
    (
        lambda d: d["containerDefinitions"][0].update(
            portMappings=[{"containerPort": 1, "hostPort": 2}]
        ),
        "hostPort",
    ),
    (lambda d: d["containerDefinitions"][0].update(image="${secret:x}"), "image"),
]


@pytest.mark.parametrize(("edit", "field"), TASK_EDITS)
def test_a_bad_task_definition_is_refused(folder: Path, edit: Edit, field: str) -> None:
    path = folder / "taskdefs" / "decode.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document, indent=1))
    with pytest.raises(InputError) as caught:
        load(folder)
    problems = caught.value.problems
    assert any("decode.json" in (p.file or "") and field in str(p) for p in problems), problems


def test_every_problem_is_reported_at_once(folder: Path) -> None:
    def edit(document: Any) -> None:
        document["nmae"] = "x"
        prefill(document)["scaling"]["mx"] = 3
        document["components"][1]["type"] = "decoder"

    with pytest.raises(InputError) as caught:
        load(folder, edit)
    assert len(caught.value.problems) >= 3


def test_warnings_do_not_stop(folder: Path) -> None:
    def edit(document: Any) -> None:
        prefill(document)["image"] = "busybox:latest"
        prefill(document)["env"] = {
            "ETCD_ENDPOINTS": "http://mine:2379",
            "HF_TOKEN": "hf_plain",
            "TOKENIZERS_PARALLELISM": "false",
        }
        prefill(document)["scaling"].update(
            policy="slo", min=0, signals=[{"source": "jetstream", "stream": "s", "consumer": "c"}]
        )

    path = folder / "ecs-dynamo.yaml"
    load(folder, edit)
    reported = " ".join(str(w) for w in load_graph(path, {}).warnings)
    for words in ("not pinned", "is replaced by the endpoint", "by queue depth only"):
        assert words in reported, reported
    assert "HF_TOKEN is in plain text" in reported
    assert "hf_plain" not in reported
    assert "TOKENIZERS" not in reported


def test_secrets_become_references_and_variables_are_filled(folder: Path) -> None:
    def edit(document: Any) -> None:
        document["variables"]["LEVEL"] = "${DYN_LEVEL:-warn}"
        prefill(document)["env"] = {
            "DYN_LOG": "${LEVEL}",
            "HF_TOKEN": "${secret:hf-token}",
            "PRICE": "$${literal}",
        }

    result = load(folder, edit, {"DYN_LEVEL": "debug"})
    (container,) = result.component("prefill").template["containerDefinitions"]
    values = {e["name"]: e["value"] for e in container["environment"]}
    assert (values["DYN_LOG"], values["PRICE"]) == ("debug", "${literal}")
    assert container["secrets"] == [
        {
            "name": "HF_TOKEN",
            "valueFrom": "arn:aws:secretsmanager:us-east-1:123456789012:secret:hf-token",
        }
    ]


@pytest.mark.parametrize(
    "path",
    [
        ROOT / "examples" / "local" / "ecs-dynamo.yaml",
        ROOT / "examples" / "qwen-disagg" / "ecs-dynamo.yaml",
        ROOT / "tests" / "fixtures" / "seed" / "graph.yaml",
    ],
)
def test_the_examples_are_valid_and_ours_without_a_warning(path: Path) -> None:
    loaded = load_graph(path, ENVIRON)
    assert loaded.graph.with_role(Role.FRONTEND) is not None
    if "examples" in path.parts:
        assert loaded.warnings == ()


APART = {"taskDefinition": "taskdefs/nats.json"}


@pytest.mark.parametrize(
    "parts",
    [
        {"taskDefinition": "taskdefs/etcd-nats.json"},
        {"etcd": {"taskDefinition": "taskdefs/etcd.json", "replicas": 3}, "nats": APART},
    ],
    ids=["together", "cluster"],
)
def test_the_task_definitions_of_production_are_valid(
    tmp_path: Path, parts: dict[str, Any]
) -> None:
    shutil.copytree(ROOT / "taskdefs", tmp_path / "taskdefs")
    graph = {
        "name": "prod",
        "region": "us-east-1",
        "network": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]},
        "infrastructure": parts,
        "components": [
            {"name": name, "type": name, "taskDefinition": f"taskdefs/{name}.json"}
            for name in ("frontend", "decode", "prefill")
        ],
    }
    path = tmp_path / "graph.yaml"
    path.write_text(yaml.safe_dump(graph))
    assert load_graph(path, ENVIRON).warnings == ()


def test_the_shipped_schema_is_up_to_date() -> None:
    shipped = json.loads(SHIPPED.read_text())
    assert shipped == graph_schema(), "run python -m ecs_dynamo.config.schema"


def test_every_tag_of_a_service_is_counted() -> None:
    """A service has at most 50 tags, so each new tag must be in `SERVICE_TAGS`."""
    own = {v for k, v in vars(model_graph).items() if k.startswith("TAG_")}
    assert own - {model_graph.TAG_FINGERPRINT} == set(model_graph.SERVICE_TAGS)


def test_as_many_tags_as_ecs_leaves_room_for(folder: Path) -> None:
    most = 50 - len(model_graph.SERVICE_TAGS)
    graph = load(folder, lambda d: d.update(tags={f"t{i}": "v" for i in range(most)}))
    assert len(graph.tags) == most
