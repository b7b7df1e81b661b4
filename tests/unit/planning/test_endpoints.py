"""Endpoints of infrastructure replicas and of external servers."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.plan import (
    Endpoints,
)
from ecs_dynamo.model.snapshot import (
    Container,
    PortBinding,
    Probe,
    Task,
)
from ecs_dynamo.planning import probe_targets
from ecs_dynamo.planning.observed.endpoints import resolve_endpoints
from tests.helpers.graphs import (
    component,
    graph,
)
from tests.helpers.simulated_ecs import SimulatedEcs


def test_bridge_mode_is_reached_at_its_mapped_port() -> None:
    bridged = component("etcd-nats", Role.ETCD, Role.NATS, mode="bridge")
    bound = (Container("etcd", "RUNNING", bindings=(PortBinding(2379, 49153),)),)
    task = Task("t", "td", "RUNNING", "RUNNING", private_ip="10.1.0.1", containers=bound)
    urls = probe_targets(graph(), bridged, [task, replace(task, last_status="PENDING")])
    # NATS's port is not mapped (yet): it cannot be reached, so it is not probed.
    assert urls == {("t", Role.ETCD): "http://10.1.0.1:49153"}
    nowhere = replace(task, private_ip=None)
    assert probe_targets(graph(), bridged, [nowhere]) == {}


def test_external_endpoints_count_when_one_answers() -> None:
    base = graph()
    urls = ("http://a:2379", "http://b:2379")
    declared = replace(base, components=base.components[1:], external_etcd=urls)
    ecs = SimulatedEcs(declared)
    observation = ecs.snapshot()
    assert resolve_endpoints(declared, observation) == Endpoints()
    up = replace(
        observation, external={urls[0]: Probe(urls[0], False), urls[1]: Probe(urls[1], True)}
    )
    assert resolve_endpoints(declared, up).etcd == "http://a:2379,http://b:2379"
    down_ = replace(observation, external={u: Probe(u, False) for u in urls})
    assert resolve_endpoints(declared, down_).etcd is None
    assert not declared.has_nats


def test_environment_value_is_the_first_plain_one() -> None:
    assert environment_value({"containerDefinitions": [{"name": "a"}]}, "X") is None
