"""etcd and NATS in the graph file: volumes, and the members of an etcd cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.config import load_graph
from ecs_dynamo.model.errors import InputError
from tests.helpers.graph_files import FS, load, production, volume
from tests.rights.widest import ENVIRON


def test_a_volume_is_mounted_where_the_data_is_and_its_task_runs_alone(folder: Path) -> None:
    graph = load(folder, volume(accessPointId="fsap-01234567", iam=True))
    nats = graph.component("nats")
    assert nats.template["volumes"] == [
        {
            "name": "ecs-dynamo-data",
            "efsVolumeConfiguration": {
                "fileSystemId": FS,
                "transitEncryption": "ENABLED",
                "authorizationConfig": {"iam": "ENABLED", "accessPointId": "fsap-01234567"},
            },
        }
    ]
    etcd, server = nats.template["containerDefinitions"]
    assert server["mountPoints"] == [
        {"sourceVolume": "ecs-dynamo-data", "containerPath": "/data", "readOnly": False}
    ]
    assert "mountPoints" not in etcd
    assert (nats.limits.minimum_healthy_percent, nats.limits.maximum_percent) == (0, 100)
    assert "volumes" not in graph.component("etcd").template
    assert graph.component("etcd").limits.maximum_percent == 200


def test_a_cluster_has_a_service_for_each_member(tmp_path: Path) -> None:
    path = production(tmp_path)
    file = tmp_path / "taskdefs" / "etcd.json"
    document = json.loads(file.read_text())
    document["containerDefinitions"][0]["command"].append("--peer-auto-tls")
    file.write_text(json.dumps(document))
    members = load_graph(path, ENVIRON).graph.etcd_members
    assert [m.service for m in members] == ["prod-etcd-0", "prod-etcd-1", "prod-etcd-2"]
    assert [m.network.subnets for m in members] == [("subnet-a",), ("subnet-b",), ("subnet-a",)]
    assert {(m.replicas, m.limits.maximum_percent, m.limits.circuit_breaker) for m in members} == {
        (1, 100, False)
    }
    environment = {
        e["name"]: e["value"] for e in members[1].template["containerDefinitions"][0]["environment"]
    }
    assert environment == {
        "ETCD_NAME": "etcd-1",
        "ETCD_LISTEN_PEER_URLS": "https://0.0.0.0:2380",
    }


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        (lambda d: d["containerDefinitions"][0]["command"].append("--name=x"), "command", "--name"),
        (
            lambda d: d["containerDefinitions"][0].update(
                command=["sh", "-c", "etcd -discovery x"]
            ),
            "command",
            "--discovery",
        ),
        (
            lambda d: d["containerDefinitions"][0].update(
                environment=[{"name": "ETCD_INITIAL_CLUSTER", "value": "x"}]
            ),
            "environment",
            "ETCD_INITIAL_CLUSTER",
        ),
        (lambda d: d.update(networkMode="host"), "networkMode", "awsvpc"),
    ],
)
def test_what_a_cluster_sets_itself_is_refused(
    tmp_path: Path, change: Callable[[Any], Any], field: str, words: str
) -> None:
    path = production(tmp_path)
    file = tmp_path / "taskdefs" / "etcd.json"
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    with pytest.raises(InputError) as caught:
        load_graph(path, ENVIRON)
    reported = [p for p in caught.value.problems if field in (p.field or "")]
    assert any(words in f"{p.message} {p.remedy}" for p in reported), caught.value.problems
    assert {p.file for p in reported} == {str(file)}
