"""The graph whose policies contain every permission."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ecs_dynamo.config import load_graph
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.service_settings import ServiceConnect
from ecs_dynamo.model.spec.capacity import (
    AutoScalingGroupSpec,
    CapacityProviderItem,
    CapacitySpec,
)
from ecs_dynamo.model.spec.scaling import (
    CloudWatchSource,
    SloScaling,
)
from ecs_dynamo.model.spec.security import SecuritySpec
from tests.helpers.graphs import redeclared

EXAMPLE = Path(__file__).parents[2] / "examples" / "qwen-disagg" / "ecs-dynamo.yaml"
ENVIRON = {
    "AWS_ID": "123456789012",
    "AWS_REGION": "us-east-1",
    "SUBNET_ID": "subnet-1",
    "SECURITY_GROUP_ID": "sg-1",
}
ACCOUNT = "123456789012"
REGISTRY = f"arn:aws:servicediscovery:us-east-1:{ACCOUNT}:service/srv-1"


def widest() -> Graph:
    """Return a graph that declares everything that needs permissions."""
    base = load_graph(EXAMPLE, ENVIRON).graph
    groups = (AutoScalingGroupSpec(name="gpu", cluster="dynamo-GPU", max=3),)
    scaling = SloScaling(
        max=2, signals=(CloudWatchSource(source="cloudwatch", namespace="n", metric="m"),)
    )
    prefill = base.component("prefill")
    (container, *others) = prefill.template["containerDefinitions"]
    container = {
        **container,
        "image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/dynamo:1@sha256:0",
        "secrets": [{"name": "A", "valueFrom": "/plain"}],
        "environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::bucket/a/b.env"}],
    }
    content = {**prefill.template, "containerDefinitions": [container, *others]}
    changed = redeclared(
        prefill,
        template=content,
        scaling=scaling,
        capacity_providers=(CapacityProviderItem(name="spot"),),
    )
    connect = ServiceConnect("dynamo")
    rest = tuple(
        redeclared(c, service_registry=REGISTRY, service_connect=connect)
        if c.is_infrastructure
        else c
        for c in base.components
        if c.name != "prefill"
    )
    return replace(
        base,
        names={Role.ETCD: "etcd.dynamo.local"},
        components=(*rest, changed),
        capacity=CapacitySpec(auto_scaling_groups=groups),
        security=SecuritySpec.model_validate(
            {
                "etcd": {"username": "/etcd/user", "password": "/etcd/password"},
                "nats": {"token": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:nats"},
            }
        ),
    )
