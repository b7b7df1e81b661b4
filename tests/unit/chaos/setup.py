"""The start of a run: the declared graph and the size of its cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.spec.rollout import CanarySpec
from ecs_dynamo.model.spec.scaling import SloScaling
from tests.helpers.graphs import (
    graph,
    redeclared,
    with_rollout,
)

COMPONENTS = ("etcd-nats", "frontend", "prefill", "decode")
WORKERS = ("prefill", "decode")
SCALING = SloScaling(
    min=1, max=3, target=4, scale_down_stabilization_seconds=120, max_signal_age_seconds=30
)
SHARED_GPUS = 3
"""GPUs of an instance if workers share instances."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The parameters of a run.

    ``prefill``, ``decode``, ``frontends``: replicas. ``gpus``: GPUs of the cluster. ``scaled``:
    prefill follows its signal. ``minimum_healthy_percent``: that of decode. ``shared``: workers use
    host mode and choose their ports, and several of them share an instance. ``plain``: workers
    were started before there were generations.
    """

    prefill: int = 1
    decode: int = 2
    frontends: int = 1
    gpus: int = 8
    scaled: bool = False
    canary: bool = False
    minimum_healthy_percent: int = 100
    shared: bool = False
    plain: bool = False

    @property
    def gpus_per_instance(self) -> int:
        return SHARED_GPUS if self.shared else 1

    def graph(self) -> Graph:
        """Return the declared graph."""
        declared = graph(
            prefill=self.prefill,
            decode=self.decode,
            frontends=self.frontends,
            scaling=SCALING if self.scaled else None,
        )
        rollout: dict[str, Any] = {
            "minimum_healthy_percent": self.minimum_healthy_percent,
            "progress_deadline_seconds": 900,
        }
        if self.canary:
            rollout["canary"] = CanarySpec(bake_seconds=60)
        for name in WORKERS if self.shared else ():
            declared = _with_own_port(declared, name)
        return with_component(declared, "decode", rollout=rollout)


def _with_own_port(declared: Graph, name: str) -> Graph:
    """Return the graph with a component in host mode whose workers choose their system port."""
    template = {**declared.component(name).template, "networkMode": "host"}
    (container,) = template["containerDefinitions"]
    environment = [*container["environment"], {"name": "DYN_SYSTEM_PORT", "value": "0"}]
    template["containerDefinitions"] = [{**container, "environment": environment}]
    return with_component(declared, name, template=template)


def with_component(
    declared: Graph, name: str, *, rollout: dict[str, Any] | None = None, **fields: Any
) -> Graph:
    """Return the graph with changed ``fields`` and rollout settings of a component."""

    def changed(component: Component) -> Component:
        return redeclared(with_rollout(component, **(rollout or {})), **fields)

    return replace(
        declared,
        components=tuple(changed(c) if c.name == name else c for c in declared.components),
    )
