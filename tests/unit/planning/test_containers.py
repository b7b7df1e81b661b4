"""Which containers of a task run Dynamo: by what they run, not by being essential."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.model.dynamo.containers import (
    containers_note,
    find_dynamo_containers,
)
from ecs_dynamo.model.graph import JsonObject, Role
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.spec.security import SecuritySpec
from ecs_dynamo.planning.desired.declaration import with_endpoints
from ecs_dynamo.planning.desired.rendering import render
from ecs_dynamo.planning.observed.endpoints import injected_endpoints
from tests.helpers.graphs import (
    component,
    graph,
)

ENDS = Endpoints("http://10.0.0.9:2379", "nats://10.0.0.9:4222")
ROUTER = {
    "name": "log_router",
    "image": "amazon/aws-for-fluent-bit:2.32.0",
    "firelensConfiguration": {"type": "fluentbit"},
}
AGENT = {"name": "datadog-agent", "image": "public.ecr.aws/datadog/agent:7"}
EXPORTER = {
    "name": "etcd-exporter",
    "image": "example.com/exporter:1",
    "environment": [{"name": "ETCD_ENDPOINTS", "value": "http://IP_ADDRESS:2379"}],
}
VLLM = {"name": "vllm", "image": "example.com/serve:1", "command": ["python3", "-m", "dynamo.vllm"]}
ENGINE = {"name": "engine", "image": "example.com/vllm:1"}
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:nats-a1b2c3"
BARE = {"name": "app", "image": "example.com/app:1"}


def content(*containers: dict[str, Any]) -> JsonObject:
    return {"containerDefinitions": list(containers)}


@pytest.mark.parametrize(
    ("containers", "names"),
    [
        ([BARE], ("app",)),
        ([{**BARE, "essential": False}], ("app",)),
        ([ROUTER, BARE], ("app",)),
        ([ROUTER, ENGINE, AGENT], ("engine",)),
        ([AGENT, VLLM], ("vllm",)),
        # A module in a shell's command line, and a program that is only named after it.
        ([AGENT, {**BARE, "command": ["sh", "-c", "cd /w && python3 -m dynamo.sglang"]}], ("app",)),
        ([{**AGENT, "command": ["--host", "http://dynamo.local:1"]}, ENGINE], ("engine",)),
        ([AGENT, {**BARE, "environment": [{"name": "DYN_LOG", "value": "debug"}]}], ("app",)),
        ([AGENT, {**BARE, "secrets": [{"name": "NATS_SERVER", "valueFrom": "x"}]}], ("app",)),
        ([AGENT, {**BARE, "command": ["--etcd", "http://IP_ADDRESS:2379"]}], ("app",)),
        # A second Dynamo container next to one that declares endpoints.
        (
            [
                {**VLLM, "name": "decode", "environment": EXPORTER["environment"]},
                {**VLLM, "name": "frontend", "command": ["python3", "-m", "dynamo.frontend"]},
            ],
            ("decode", "frontend"),
        ),
        # The one beside it is started by the image's own entry point.
        (
            [VLLM, {**BARE, "image": VLLM["image"], "environment": EXPORTER["environment"]}],
            ("vllm", "app"),
        ),
        # A download with Dynamo's image, before the worker starts.
        (
            [{**ENGINE, "name": "download", "essential": False, "command": ["hf", "get"]}, ENGINE],
            ("engine",),
        ),
        ([BARE, {**AGENT, "essential": False}], ("app",)),
        (
            [AGENT, {**BARE, "resourceRequirements": [{"type": "GPU", "value": "1"}]}],
            ("app",),
        ),
        # DynamoDB is something else.
        ([{**AGENT, "image": "amazon/dynamodb-local:1"}, ENGINE], ("engine",)),
    ],
)
def test_what_runs_dynamo(containers: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    matches = find_dynamo_containers(content(*containers))
    assert (matches.names, matches.doubtful) == (names, False)


@pytest.mark.parametrize("containers", [[BARE, AGENT], [VLLM, EXPORTER], [EXPORTER, VLLM, AGENT]])
def test_what_may_run_dynamo_is_doubtful(containers: list[dict[str, Any]]) -> None:
    assert find_dynamo_containers(content(*containers)).doubtful


def test_credentials_endpoints_and_settings_reach_dynamo_alone() -> None:
    base = component("decode", Role.DECODE, template=content(ROUTER, ENGINE, AGENT))
    security = SecuritySpec.model_validate({"nats": {"username": SECRET, "password": SECRET}})
    result = render(replace(graph(), security=security), base, ENDS, 8081)["containerDefinitions"]
    assert result[0] == ROUTER
    assert result[2] == AGENT
    assert {e["name"] for e in result[1]["secrets"]} == {"NATS_AUTH_USERNAME", "NATS_AUTH_PASSWORD"}
    names = {e["name"] for e in result[1]["environment"]}
    assert {"ETCD_ENDPOINTS", "NATS_SERVER", "DYN_NAMESPACE", "DYN_SYSTEM_PORT"} <= names


def test_a_container_beside_dynamo_keeps_what_it_has_and_gets_addresses_it_asks_for() -> None:
    own = [
        {"name": "Z", "value": "1"},
        {"name": "ETCD_ENDPOINTS", "value": "http://etcd.corp:2379"},
        {"name": "TARGET", "value": "http://IP_ADDRESS:2379"},
    ]
    side = {**EXPORTER, "environment": own}
    base = component("decode", Role.DECODE, template=content(side, VLLM), containers=("vllm",))
    result = render(graph(), base, ENDS, 8081)
    values = [e["value"] for e in result["containerDefinitions"][0]["environment"]]
    assert values == ["1", "http://etcd.corp:2379", ENDS.etcd]
    # The container's value differs from Dynamo's.
    moved = with_endpoints(
        result, Endpoints("http://10.0.0.7:2379", "nats://10.0.0.7:4222"), ("vllm",)
    )
    after = {c["name"]: c["environment"] for c in moved["containerDefinitions"]}
    assert [e["value"] for e in after["etcd-exporter"]][1:] == [
        "http://etcd.corp:2379",
        "http://10.0.0.7:2379",
    ]
    matches = {e["name"]: e["value"] for e in after["vllm"]}
    assert matches["ETCD_ENDPOINTS"] == "http://10.0.0.7:2379"


def test_plan_says_which_containers_run_dynamo() -> None:
    item = component("decode", Role.DECODE, template=content(ROUTER, ENGINE))
    assert containers_note(item) == (
        "decode: Dynamo runs in engine (no other container could run it); "
        "left as written: log_router"
    )
    both = component("decode", Role.DECODE, template=content(VLLM, {**VLLM, "name": "b"}))
    assert containers_note(both) == ("decode: Dynamo runs in vllm, b (by command and environment)")
    assert containers_note(component("decode", Role.DECODE)) is None
    assert containers_note(component("etcd-nats", Role.ETCD)) is None


def test_endpoints_in_force_are_those_of_dynamos_container() -> None:
    from ecs_dynamo.model.service import Service
    from ecs_dynamo.model.snapshot import (
        ComponentSnapshot,
        Revision,
        Snapshot,
    )

    side = {**EXPORTER, "environment": [{"name": "ETCD_ENDPOINTS", "value": "http://other:2379"}]}
    base = component("decode", Role.DECODE, template=content(side, VLLM), containers=("vllm",))
    result = Revision("arn:x:1", "g-decode", 1, render(graph(), base, ENDS, 8081))
    service = Service("arn:s", "g-decode", "gpu", "ACTIVE", 1, 1, 0, "arn:x:1")
    snapshot = Snapshot(
        "g", 0.0, {"decode": ComponentSnapshot(service, revisions={"arn:x:1": result})}
    )
    matches = injected_endpoints(replace(graph(), components=(base,)), snapshot)
    assert matches["decode"] == ENDS
