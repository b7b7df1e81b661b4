"""Service settings survive the way to ECS and back."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import validate_parameters
from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.aws.service_settings import creation_parameters, to_settings, update_parameters
from ecs_dynamo.model.service_settings import (
    DeploymentLimits,
    LoadBalancer,
    PlacementConstraint,
    PlacementStrategy,
    PublishedPort,
    ServiceConnect,
    ServiceSettings,
)
from ecs_dynamo.model.spec.capacity import CapacityProviderItem
from ecs_dynamo.model.spec.service import NetworkSpec

WORDS = st.text("abc-:/", min_size=1, max_size=8)
PORTS = st.integers(1, 65535)


def tuples(items: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[Any]:
    return st.lists(items, max_size=most, unique=True).map(tuple)


NETWORKS = st.builds(
    NetworkSpec,
    subnets=st.lists(WORDS, min_size=1, max_size=16).map(tuple),
    security_groups=tuples(WORDS, 5),
    assign_public_ip=st.booleans(),
)
PROVIDERS = st.builds(
    CapacityProviderItem,
    name=st.text("abc-", min_size=1, max_size=8),
    weight=st.integers(0, 1000),
    base=st.integers(0, 100_000),
)
CONNECT = st.builds(
    ServiceConnect, WORDS, tuples(st.builds(PublishedPort, WORDS, WORDS, WORDS, PORTS), 3)
)
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "capacity_providers": tuples(PROVIDERS, 3),
    "service_registry": WORDS,
    "service_connect": CONNECT,
    "load_balancers": tuples(st.builds(LoadBalancer, WORDS, WORDS, PORTS), 3),
    "network": NETWORKS,
    "limits": st.builds(
        DeploymentLimits,
        minimum_healthy_percent=st.integers(0, 100),
        maximum_percent=st.integers(100, 200),
        circuit_breaker=st.booleans(),
        rolls_back=st.booleans(),
    ),
    "availability_zone_rebalancing": st.booleans(),
    "health_check_grace_seconds": st.integers(0, 2_147_483_647),
    "placement_strategy": tuples(
        st.builds(PlacementStrategy, st.sampled_from(["spread", "binpack"]), WORDS)
        | st.just(PlacementStrategy("random")),
        5,
    ),
    "placement_constraints": tuples(
        st.builds(PlacementConstraint, st.just("memberOf"), WORDS)
        | st.just(PlacementConstraint("distinctInstance")),
        3,
    ),
    "tags_reach_tasks": st.booleans(),
    "enable_execute_command": st.booleans(),
}


@st.composite
def complete_settings(draw: st.DrawFn) -> ServiceSettings:
    """Settings as a created service has them: a launch type, or capacity providers."""
    members = {name: draw(values) for name, values in MEMBERS.items()}
    launch_type = (
        None if members["capacity_providers"] else draw(st.sampled_from(["EC2", "FARGATE"]))
    )
    return ServiceSettings(launch_type=launch_type, **members)


CHANGES = st.fixed_dictionaries({}, optional=MEMBERS).map(
    lambda members: ServiceSettings(**members)
)


def described(parameters: dict[str, Any]) -> dict[str, Any]:
    """The DescribeServices entry of a service with these parameters.

    ECS reports Service Connect on each deployment instead of the service, lists what was left out
    of CreateService as empty or off, and does not report the launch type beside capacity providers.
    """
    connect = parameters.pop("serviceConnectConfiguration", None)
    former = {"status": "ACTIVE", "serviceConnectConfiguration": {"enabled": False}}
    primary = {"status": "PRIMARY", "serviceConnectConfiguration": connect}
    left_out = {"loadBalancers": [], "enableExecuteCommand": False}
    return left_out | {"deployments": [former, primary]} | parameters


def validate(operation: str, parameters: dict[str, Any]) -> None:
    shape = Session().get_service_model("ecs").shape_for(f"{operation}Request")
    validate_parameters(parameters, shape)


@given(complete_settings())
def test_a_created_service_is_observed_with_the_settings_that_it_was_created_with(
    settings: ServiceSettings,
) -> None:
    parameters = creation_parameters(settings)
    validate("CreateService", {"serviceName": "s", **parameters})
    assert to_settings(described(parameters)) == settings


@given(complete_settings(), CHANGES)
def test_an_updated_service_is_observed_with_the_members_that_were_changed(
    before: ServiceSettings, changes: ServiceSettings
) -> None:
    parameters = update_parameters(changes)
    validate("UpdateService", {"service": "s", **parameters})
    assert parameters.pop("forceNewDeployment", False) == (changes.capacity_providers is not None)
    after = before.updated(changes)
    observed = to_settings(described(creation_parameters(before) | parameters))
    assert observed.without("launch_type") == after.without("launch_type")


def test_a_new_service_is_sent_these_parameters() -> None:
    settings = ServiceSettings(
        launch_type="FARGATE",
        capacity_providers=(),
        network=NetworkSpec(subnets=("subnet-1",), security_groups=("sg-1",)),
        load_balancers=(),
        limits=DeploymentLimits(),
        availability_zone_rebalancing=False,
        health_check_grace_seconds=0,
        placement_strategy=(),
        placement_constraints=(),
        tags_reach_tasks=True,
        enable_execute_command=False,
    )
    assert creation_parameters(settings) == {
        "launchType": "FARGATE",
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": ["subnet-1"],
                "securityGroups": ["sg-1"],
                "assignPublicIp": "DISABLED",
            }
        },
        "deploymentConfiguration": {
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
        "availabilityZoneRebalancing": "DISABLED",
        "healthCheckGracePeriodSeconds": 0,
        "enableECSManagedTags": True,
        "propagateTags": "SERVICE",
    }


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {
            "deployments": [
                {
                    "status": "PRIMARY",
                    "serviceConnectConfiguration": {"enabled": False, "namespace": "dynamo"},
                }
            ]
        },
    ],
)
def test_service_connect_that_is_off_is_not_observed(answer: dict[str, Any]) -> None:
    settings = to_settings(answer)
    assert (settings.service_registry, settings.service_connect) == (None, None)
