"""The daemon may create, change and delete the services of generations, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_dynamo.config import load_graph
from ecs_dynamo.iam.daemon import daemon_policy
from ecs_dynamo.planning.desired.generations.expansion import service_name
from tests.rights.policy import AccessRequest, decide
from tests.rights.widest import ACCOUNT, ENVIRON, EXAMPLE

GRAPH = load_graph(EXAMPLE, ENVIRON).graph
POLICY = daemon_policy(GRAPH, "us-east-1", ACCOUNT)
OWNED = ["ecs:CreateService", "ecs:UpdateService", "ecs:DeleteService", "ecs:TagResource"]


def allows(action: str, service: str, cluster: str, owner: str) -> bool:
    arn = f"arn:aws:ecs:us-east-1:{ACCOUNT}:service/{cluster}/{service}"
    keys = ("aws:RequestTag", "aws:ResourceTag")
    context: dict[str, Any] = {f"{key}/ecs-dynamo:graph": [owner] for key in keys}
    return decide([POLICY], AccessRequest(action, arn, context)).allowed


@pytest.mark.parametrize("action", OWNED)
def test_services_of_generations_are_within_the_graphs_rights(action: str) -> None:
    for component in (c for c in GRAPH.components if c.is_worker):
        name = service_name(component, "g1a2b3c4d")
        assert allows(action, name, component.cluster, GRAPH.name)
        assert not allows(action, name, component.cluster, "another")
        assert not allows(action, name.replace(GRAPH.name, "another"), component.cluster, "qwen")
