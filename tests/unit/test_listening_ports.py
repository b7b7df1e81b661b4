"""The ports at which every replica of a worker listens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ecs_dynamo.model.dynamo.listening_ports import FixedPort, fixed_ports
from ecs_dynamo.model.graph import Component, Role
from tests.helpers.graphs import component

NIXL = """--kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'"""
VLLM = "python3 -m dynamo.vllm --model m"
TELEMETRY = {"NIXL_TELEMETRY_ENABLE": "y", "NIXL_TELEMETRY_EXPORTER": "prometheus"}
EVENTS = """--kv-events-config '{"publisher": "zmq", "endpoint": "tcp://*:%s"}' --model m"""


def worker(command: str, environment: dict[str, str]) -> Component:
    base = component("decode", Role.DECODE, mode="host")
    container = {
        **base.template["containerDefinitions"][0],
        "command": [command],
        "environment": [{"name": k, "value": v} for k, v in environment.items()],
    }
    return replace(base, template={**base.template, "containerDefinitions": [container]})


@pytest.mark.parametrize(
    ("command", "environment", "ports"),
    [
        (VLLM, {}, {}),
        (f"{VLLM} {NIXL}", {}, {"NIXL side channel": 5600}),
        (f"{VLLM} {NIXL}", {"VLLM_NIXL_SIDE_CHANNEL_PORT": "5700"}, {"NIXL side channel": 5700}),
        (
            f"VLLM_NIXL_SIDE_CHANNEL_PORT=5800 {VLLM} {NIXL}",
            {"VLLM_NIXL_SIDE_CHANNEL_PORT": "5700"},
            {"NIXL side channel": 5800},
        ),
        (f'export VLLM_NIXL_SIDE_CHANNEL_PORT="$((5600 + 8 * N))"; exec {VLLM} {NIXL}', {}, {}),
        (f"python3 -m dynamo.sglang {NIXL}", {}, {}),
        (VLLM, TELEMETRY, {"NIXL telemetry exporter": 9090}),
        (
            VLLM,
            TELEMETRY | {"NIXL_TELEMETRY_PROMETHEUS_PORT": "19090"},
            {"NIXL telemetry exporter": 19090},
        ),
        (VLLM, TELEMETRY | {"NIXL_TELEMETRY_PROMETHEUS_PORT": "0"}, {}),
        (VLLM, TELEMETRY | {"NIXL_TELEMETRY_ENABLE": "no"}, {}),
        (VLLM, {"DYN_FORWARDPASS_METRIC_PORT": "20380"}, {"forward-pass metrics": 20380}),
        (f"{VLLM} --fpm-trace", {}, {"forward-pass metrics": 20380}),
        (VLLM, {"DYN_FPM_TRACE": "1"}, {"forward-pass metrics": 20380}),
        ("python3 -m dynamo.sglang", {"DYN_FORWARDPASS_METRIC_PORT": "20380"}, {}),
        (f"{VLLM} {EVENTS % 20080}", {}, {"KV events": 20080}),
        (f"{VLLM} {EVENTS % '$PORT'}", {}, {}),
        (
            f"""{VLLM} --kv-events-config '{{"enable_kv_cache_events":true}}'""",
            {},
            {"KV events": 5557},
        ),
        (f"""{VLLM} --kv-events-config '{{"enable_kv_cache_events":false}}'""", {}, {}),
        (VLLM, {"DYN_TCP_RPC_PORT": "7000"}, {"request plane": 7000}),
        (VLLM, {"DYN_TCP_RPC_PORT": "0"}, {}),
        # Only processes that send requests listen there.
        (VLLM, {"DYN_TCP_RESPONSE_STREAM_PORT": "7001"}, {}),
        (
            f"""{VLLM} --kv-transfer-config '{{"kv_connector":"MooncakeConnector"}}'""",
            {},
            {"Mooncake bootstrap server": 8998},
        ),
        (
            "python3 -m dynamo.sglang --disaggregation-bootstrap-port 12345",
            {},
            {"bootstrap server": 12345},
        ),
    ],
)
def test_fixed_ports_follow_from_the_engine_and_its_settings(
    command: str, environment: dict[str, str], ports: dict[str, int]
) -> None:
    assert {p.what: p.port for p in fixed_ports(worker(command, environment))} == ports


def test_a_default_is_distinguished_from_a_declaration() -> None:
    (port,) = fixed_ports(worker(f"{VLLM} {NIXL}", {}))
    assert port == FixedPort("NIXL side channel", "VLLM_NIXL_SIDE_CHANNEL_PORT", 5600, False)


def test_only_the_containers_of_workers_that_run_dynamo_count() -> None:
    base = worker(f"{VLLM} {NIXL}", {})
    assert fixed_ports(replace(base, roles=frozenset({Role.FRONTEND}))) == ()
    agent: dict[str, Any] = {
        "name": "agent",
        "image": "agent",
        "environment": [{"name": "DYN_TCP_RPC_PORT", "value": "7000"}],
    }
    containers = [*base.template["containerDefinitions"], agent]
    template = {**base.template, "containerDefinitions": containers}
    named = replace(base, containers=("decode",), template=template)
    assert [p.port for p in fixed_ports(named)] == [5600]
