"""`container:`, and what a component's image, command and env are put into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.model.errors import InputError
from tests.helpers.graph_files import containers_by_name as by_name
from tests.helpers.graph_files import load_containers as load
from tests.unit.planning.test_containers import AGENT, BARE, ENGINE, EXPORTER, ROUTER, VLLM


def problems(folder: Path, containers: list[dict[str, Any]], **component: Any) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, containers, **component)
    return str(caught.value)


def test_image_and_env_never_reach_a_log_router(tmp_path: Path) -> None:
    containers = by_name(
        load(tmp_path, [ROUTER, BARE], image="dynamo:1", env={"HF_HOME": "/models"})
    )
    assert containers["log_router"]["image"] == ROUTER["image"]
    assert "environment" not in containers["log_router"]
    assert containers["app"]["image"] == "dynamo:1"
    assert containers["app"]["environment"] == [{"name": "HF_HOME", "value": "/models"}]


def test_env_and_image_reach_every_dynamo_container(tmp_path: Path) -> None:
    second = {**VLLM, "name": "frontend", "command": ["python3", "-m", "dynamo.frontend"]}
    loaded = load(tmp_path, [VLLM, second, AGENT], image="dynamo:2", env={"A": "1"})
    assert loaded.graph.components[0].containers == ("vllm", "frontend")
    containers = by_name(loaded)
    assert [containers[n]["image"] for n in ("vllm", "frontend")] == ["dynamo:2", "dynamo:2"]
    assert containers["frontend"]["environment"] == [{"name": "A", "value": "1"}]
    assert containers["datadog-agent"]["image"] == AGENT["image"]


@pytest.mark.parametrize("container", ["app", ["app"]])
def test_a_declared_container_is_taken(tmp_path: Path, container: Any) -> None:
    loaded = load(tmp_path, [AGENT, BARE], container=container, env={"A": "1"})
    assert loaded.graph.components[0].containers == ("app",)
    assert "environment" not in by_name(loaded)["datadog-agent"]


def test_what_is_doubtful_is_refused_with_the_key_that_settles_it(tmp_path: Path) -> None:
    text = problems(tmp_path, [BARE, AGENT])
    assert "which of the containers app, datadog-agent run Dynamo is not clear" in text
    assert "container: app" in text
    assert "container: [vllm, etcd-exporter]" in problems(tmp_path, [VLLM, EXPORTER])
    assert load(tmp_path, [VLLM, EXPORTER], container="vllm").graph.components[0].containers == (
        "vllm",
    )


def test_wrong_names_are_refused(tmp_path: Path) -> None:
    text = problems(tmp_path, [BARE, AGENT], container="ap")
    assert "has no container 'ap'" in text
    assert "app, datadog-agent" in text
    assert "it routes logs" in problems(tmp_path, [ROUTER, BARE], container=["log_router"])
    assert "all of them route logs" in problems(tmp_path, [ROUTER])
    assert "container" in problems(tmp_path, [BARE], container=5)


def test_image_and_command_that_could_mean_several_containers_are_refused(tmp_path: Path) -> None:
    second = {**VLLM, "name": "frontend", "image": "example.com/frontend:1"}
    assert "different images of vllm, frontend" in problems(tmp_path, [VLLM, second], image="x:1")
    text = problems(tmp_path, [VLLM, second], command=["python3", "-m", "dynamo.vllm"])
    assert "command is for one container" in text


def test_a_secret_in_plain_text_of_a_sidecar_has_a_remedy_that_reaches_it(tmp_path: Path) -> None:
    side = {**AGENT, "environment": [{"name": "DD_API_KEY", "value": "abc"}]}
    warnings = load(tmp_path, [ENGINE, side]).warnings
    (warning,) = [w for w in warnings if "DD_API_KEY" in w.message]
    assert warning.remedy is not None
    assert '"value": "${secret:NAME}"' in warning.remedy


def test_an_address_that_does_not_stay_is_reported(tmp_path: Path) -> None:
    def reported(name: str, value: str, **infrastructure: Any) -> list[str]:
        container = {**BARE, "environment": [{"name": name, "value": value}]}
        return [
            w.message for w in load(tmp_path, [container], infrastructure=infrastructure).warnings
        ]

    (removed,) = reported("NATS_SERVER", "nats://u:hidden-word@nats.corp.internal:4222")
    assert "is removed, because the graph declares no NATS" in removed
    assert "hidden-word" not in removed
    (replaced,) = reported("ETCD_ENDPOINTS", "http://etcd.corp:2379")
    assert "is replaced by the endpoints of the graph's etcd" in replaced
    assert reported("NATS_SERVER", "nats://IP_ADDRESS:4222") == []
    assert reported("ETCD_ENDPOINTS", "http://127.0.0.1:2379") == []
    nats = {"endpoints": ["nats://n:4222"]}
    assert reported("NATS_SERVER", "nats://n:4222", nats=nats) == []


def test_ecss_own_time_to_stop_suffices_for_a_short_drain(tmp_path: Path) -> None:
    container = {"stopTimeout": None, **BARE}
    assert not [w for w in load(tmp_path, [container]).warnings if "stopTimeout" in w.message]


def test_the_server_is_looked_for_where_no_container_maps_its_port() -> None:
    from ecs_dynamo.config.build.volumes import serving_container
    from ecs_dynamo.model.graph import Role

    etcd = {"name": "a", "image": "quay.io/coreos/etcd:v3.5.21"}
    nats = {"name": "b", "image": "nats:2.11-alpine"}
    content = {"containerDefinitions": [ROUTER, AGENT, nats, etcd]}
    assert serving_container(content, Role.ETCD) == 3
    assert serving_container(content, Role.NATS) == 2
    assert serving_container({"containerDefinitions": [ROUTER, BARE]}, Role.ETCD) == 1
