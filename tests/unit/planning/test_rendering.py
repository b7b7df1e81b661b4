"""Rendered task definitions: endpoints, secrets and settings of the user."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.plan import (
    Endpoints,
)
from ecs_dynamo.planning.desired.canonical import fingerprint
from ecs_dynamo.planning.desired.declaration import with_endpoints
from ecs_dynamo.planning.desired.rendering import (
    fill_placeholders,
    render,
)
from tests.helpers.graphs import (
    component,
    graph,
    template,
)
from tests.helpers.observations import environment

ENDS = Endpoints("http://10.0.0.9:2379", "nats://10.0.0.8:4222")


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("http://IP_ADDRESS:2379", "", "http://10.0.0.9:2379"),
        ("nats://IP_ADDRESS:4222", "", "nats://10.0.0.8:4222"),
        ("IP_ADDRESS", "", "10.0.0.9"),
        ("IP_ADDRESS", "MY_NATS_HOST", "10.0.0.8"),
        ("IP_ADDRESS:2379", "NATS_OR_NOT", "10.0.0.9:2379"),
        (
            "curl IP_ADDRESS:2379; curl IP_ADDRESS:4222",
            "",
            "curl 10.0.0.9:2379; curl 10.0.0.8:4222",
        ),
        ("nothing to fill", "", "nothing to fill"),
    ],
)
def test_placeholders(text: str, name: str, expected: str) -> None:
    assert fill_placeholders(text, ENDS, name) == expected
    assert fill_placeholders("IP_ADDRESS", Endpoints()) == "IP_ADDRESS"


def test_secrets_and_the_users_own_settings_stay() -> None:
    base = component("prefill", Role.PREFILL)
    content = template("prefill", "awsvpc", gpus=1)
    container = content["containerDefinitions"][0]
    container["environment"] = [
        {"name": "DYN_NAMESPACE", "value": "mine"},
        {"name": "ETCD_HOST", "value": "IP_ADDRESS"},
    ]
    container["secrets"] = [{"name": "NATS_SERVER", "valueFrom": "arn:aws:ssm:x"}]
    container["command"] = ["--etcd", "http://IP_ADDRESS:2379"]
    content["containerDefinitions"].append(
        {"name": "logs", "image": "fluentbit", "essential": True}
    )
    result = render(graph(), replace(base, template=content), ENDS, 8081)
    matches = environment(result, "prefill")
    assert matches["DYN_NAMESPACE"] == "mine"
    assert matches["ETCD_ENDPOINTS"] == ENDS.etcd
    assert matches["ETCD_HOST"] == "10.0.0.9"
    assert "NATS_SERVER" not in matches
    assert matches["DYN_SYSTEM_PORT"] == "8081"
    assert result["containerDefinitions"][0]["command"] == ["--etcd", ENDS.etcd]
    assert environment(result, "logs") == {}
    assert container["command"] == ["--etcd", "http://IP_ADDRESS:2379"]  # the template is as it was


def test_a_graph_without_nats_has_no_address_that_nobody_serves() -> None:
    result = render(graph(), component("prefill", Role.PREFILL), Endpoints(ENDS.etcd), 8081)
    assert "NATS_SERVER" not in environment(result, "prefill")


def test_a_fingerprint_is_of_content_not_of_order() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert len(fingerprint({})) == 16


def test_endpoints_are_swapped_wherever_they_stand() -> None:
    content = {
        "containerDefinitions": [
            {
                "name": "a",
                "command": ["--etcd", "10.0.0.1:2379", "--host", "10.0.0.1"],
                "environment": [
                    {"name": "ETCD_ENDPOINTS", "value": "http://10.0.0.1:2379"},
                    {"name": "NATS_SERVER", "value": "nats://10.0.0.1:4222"},
                ],
            }
        ]
    }
    result = with_endpoints(content, ENDS)
    (container,) = result["containerDefinitions"]
    assert container["command"] == ["--etcd", "10.0.0.9:2379", "--host", "10.0.0.9"]
    assert environment(result, "a") == {"ETCD_ENDPOINTS": ENDS.etcd, "NATS_SERVER": ENDS.nats}
    assert with_endpoints(result, ENDS) is result
