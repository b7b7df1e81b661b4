"""The ports beside the system port at which every replica of a worker listens on its host.

Which ports these are depends on the engine and its settings. Sources: Dynamo 1.6.1
(``dynamo/vllm/{args,envs,main}.py``, ``dynamo/sglang/{args,publisher}.py``,
``dynamo/common/utils/nixl_telemetry.py``) and vLLM's ``envs.py``, ``config/kv_events.py`` and
``nixl_connector``. Everything else that a worker listens on has a port that its process chooses:
the request plane and the event plane (zmq), SGLang's bootstrap server, and SGLang's forward-pass
metrics, which use a socket file.

None of these settings takes 0 for a port of the process's choice, apart from the exporter's:

- vLLM announces the side channel's port as it is set, so 0 could not be reached;
- the engine's publisher and its reader must agree on the ports of KV events and forward-pass
  metrics, and Dynamo accepts 1024 to 49151 for the latter.

A command can choose a port before it starts the worker. It then assigns the variable a value that
is not a number (``VLLM_NIXL_SIDE_CHANNEL_PORT=$((...))``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.ecs.task_definition import (
    Container,
    command_line,
    containers_of,
    variable_value,
)
from ecs_dynamo.model.graph import Component

SIDE_CHANNEL_VARIABLE = "VLLM_NIXL_SIDE_CHANNEL_PORT"
SIDE_CHANNEL_PORT = 5600
"""vLLM's default. It adds the rank where a worker consists of several data-parallel engines."""

_ENGINE = re.compile(r"\bdynamo\.(vllm|sglang)\b")
_TRUE = frozenset({"y", "1", "yes", "on", "true", "enable"})
"""Words for true in NIXL's and Dynamo's variables, in lower case."""
_KV_EVENTS = re.compile(r"--kv-events-config[ =](?P<value>.*?)(?=\s--\w|$)", re.DOTALL)
_PUBLISHES = re.compile(r"enable_kv_cache_events\W+true|publisher\W+zmq", re.IGNORECASE)
_BOOTSTRAP = re.compile(r"--disaggregation-bootstrap-port[ =](?P<value>\d+)\b")


@dataclass(frozen=True, slots=True)
class FixedPort:
    """A port at which every replica listens.

    ``what`` names it, ``setting`` is the variable or option that sets it. ``declared`` is False if
    it is the engine's default.
    """

    what: str
    setting: str
    port: int
    declared: bool = True


def assigned_in_command(container: Container, name: str) -> str | None:
    """Return the value that the container's command assigns to a variable; None if it does not."""
    match = re.search(rf"(?<![\w$]){name}=(\S*)", command_line(container))
    return match[1].rstrip(";").strip("\"'") if match is not None else None


def _setting(container: Container, name: str) -> str | None:
    assigned = assigned_in_command(container, name)
    return assigned if assigned is not None else variable_value(container, name)


def _is_true(container: Container, name: str) -> bool:
    return (_setting(container, name) or "").lower() in _TRUE


def _by_variable(
    container: Container, what: str, name: str, default: int | None
) -> Iterator[FixedPort]:
    """Yield the port that a variable sets, or ``default`` where it is not set."""
    text = _setting(container, name)
    if text is None:
        if default is not None:
            yield FixedPort(what, name, default, declared=False)
    elif text.isdecimal() and int(text):
        yield FixedPort(what, name, int(text))


def _side_channel(container: Container, engine: str) -> Iterator[FixedPort]:
    if engine == "vllm" and "NixlConnector" in command_line(container):
        yield from _by_variable(
            container, "NIXL side channel", SIDE_CHANNEL_VARIABLE, SIDE_CHANNEL_PORT
        )


def _mooncake(container: Container, engine: str) -> Iterator[FixedPort]:
    if engine == "vllm" and "MooncakeConnector" in command_line(container):
        name = "VLLM_MOONCAKE_BOOTSTRAP_PORT"
        yield from _by_variable(container, "Mooncake bootstrap server", name, 8998)


def _exporter(container: Container) -> Iterator[FixedPort]:
    exporter = _setting(container, "NIXL_TELEMETRY_EXPORTER")
    if _is_true(container, "NIXL_TELEMETRY_ENABLE") and exporter == "prometheus":
        yield from _by_variable(
            container, "NIXL telemetry exporter", "NIXL_TELEMETRY_PROMETHEUS_PORT", 9090
        )


def _forward_pass_metrics(container: Container, engine: str) -> Iterator[FixedPort]:
    traced = _is_true(container, "DYN_FPM_TRACE") or "--fpm-trace" in command_line(container)
    if engine == "vllm":
        yield from _by_variable(
            container,
            "forward-pass metrics",
            "DYN_FORWARDPASS_METRIC_PORT",
            20380 if traced else None,
        )


def _kv_events(container: Container) -> Iterator[FixedPort]:
    option = _KV_EVENTS.search(command_line(container))
    if option is None or not _PUBLISHES.search(option["value"]):
        return
    endpoint = re.search(r"tcp://[^\"'\s]*:(?P<port>[^\"'\s:]+)", option["value"])
    if endpoint is None:
        yield FixedPort("KV events", "--kv-events-config", 5557, declared=False)
    elif endpoint["port"].isdecimal() and int(endpoint["port"]):
        yield FixedPort("KV events", "--kv-events-config", int(endpoint["port"]))


def _bootstrap(container: Container, engine: str) -> Iterator[FixedPort]:
    option = _BOOTSTRAP.search(command_line(container)) if engine == "sglang" else None
    if option is not None and int(option["value"]):
        port = int(option["value"])
        yield FixedPort("bootstrap server", "--disaggregation-bootstrap-port", port)


def fixed_ports(component: Component) -> tuple[FixedPort, ...]:
    """Return the ports, beside the system port, at which every replica of a worker listens."""
    if not component.is_worker:
        return ()
    names = dynamo_containers(component).names
    ports: list[FixedPort] = []
    for container in containers_of(component):
        if container.get("name") not in names:
            continue
        match = _ENGINE.search(command_line(container))
        engine = match[1] if match is not None else ""
        ports += [
            *_side_channel(container, engine),
            *_mooncake(container, engine),
            *_exporter(container),
            *_forward_pass_metrics(container, engine),
            *_kv_events(container),
            *_bootstrap(container, engine),
            *_by_variable(container, "request plane", "DYN_TCP_RPC_PORT", None),
        ]
    return tuple(ports)
