"""Partitions are botocore's: ARNs, EC2's service principal, names of VPC endpoints."""

from __future__ import annotations

import pytest

from ecs_dynamo.common.botocore_data import partitions
from ecs_dynamo.config.reading.variables import SecretReference
from ecs_dynamo.iam.statements import Arns
from ecs_dynamo.model.ecs.partitions import (
    ec2_principals,
    endpoint_service,
    partition_of,
)

COM, CN = "ec2.amazonaws.com", "ec2.amazonaws.com.cn"


@pytest.mark.parametrize(
    ("region", "partition", "principals"),
    [
        ("us-east-1", "aws", [COM]),
        ("cn-northwest-1", "aws-cn", [COM, CN]),
        ("us-gov-west-1", "aws-us-gov", [COM]),
        ("us-iso-east-1", "aws-iso", ["ec2.c2s.ic.gov"]),
        ("us-isob-east-1", "aws-iso-b", ["ec2.sc2s.sgov.gov"]),
        ("eusc-de-east-1", "aws-eusc", [COM]),
        ("eu-west-99", "aws", [COM]),  # Newer than the installed botocore.
        ("cn-south-7", "aws-cn", [COM, CN]),
        ("xx-moon-1", "aws", [COM]),
    ],
)
def test_a_region_is_in_one_partition(region: str, partition: str, principals: list[str]) -> None:
    assert partition_of(region) == partition
    assert Arns(region, "1").of("ecs", "x") == f"arn:{partition}:ecs:{region}:1:x"
    assert ec2_principals(region) == principals
    secret = SecretReference("secret", "s").value_from(region, "1")
    assert secret == f"arn:{partition}:secretsmanager:{region}:1:secret:s"


def test_every_listed_region_is_known() -> None:
    for partition in partitions():
        for region in partition["regions"]:
            assert partition_of(region) == partition["id"]


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("com.amazonaws.us-east-1.s3", "s3"),
        ("com.amazonaws.us-gov-west-1.ecr.dkr", "ecr.dkr"),
        ("cn.com.amazonaws.cn-north-1.ecr.api", "ecr.api"),
        ("com.amazonaws.cn-north-1.logs", "logs"),
        ("eu.amazonaws.eusc-de-east-1.secretsmanager", "secretsmanager"),
        ("gov.ic.c2s.us-iso-east-1.logs", "logs"),
        ("com.amazonaws.vpce.us-east-1.vpce-svc-0e123abc123198abc", "vpce-svc-0e123abc123198abc"),
    ],
)
def test_the_service_of_an_endpoint(name: str, service: str) -> None:
    assert endpoint_service(name) == service
