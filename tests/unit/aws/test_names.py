"""Names in what is sent to ECS, and in what it answers."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import validate_parameters

from ecs_dynamo.aws.execute.requests import names_request
from ecs_dynamo.aws.observe.convert_names import to_names
from ecs_dynamo.model.service_names import (
    Published,
    ServiceConnect,
    ServiceNames,
)

ARN = "arn:aws:servicediscovery:us-west-2:123456789012:service/srv-1"
PUBLISHED = Published("client", "g-etcd", "etcd.internal", 2379)


@pytest.mark.parametrize(
    "names",
    [
        ServiceNames(),
        ServiceNames(registry=ARN),
        ServiceNames(connect=ServiceConnect("dynamo")),
        ServiceNames(connect=ServiceConnect("dynamo", (PUBLISHED,))),
    ],
)
def test_what_is_sent_is_seen_again(names: ServiceNames) -> None:
    request = names_request(names)
    shape = Session().get_service_model("ecs").shape_for("UpdateServiceRequest")
    validate_parameters({"service": "s", **request}, shape)
    connect = request.get("serviceConnectConfiguration")
    former = {"status": "ACTIVE", "serviceConnectConfiguration": {"enabled": True}}
    deployments: list[Any] = [former, {"status": "PRIMARY", "serviceConnectConfiguration": connect}]
    answer = {"serviceRegistries": request.get("serviceRegistries"), "deployments": deployments}
    assert to_names(answer) == names


def test_what_is_turned_off_is_not_there() -> None:
    off = {"enabled": False, "namespace": "dynamo"}
    deployment = {"status": "PRIMARY", "serviceConnectConfiguration": off}
    assert to_names({"deployments": [deployment]}) == ServiceNames()
    assert to_names({}) == ServiceNames()
