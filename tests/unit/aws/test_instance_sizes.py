"""GPU devices of an instance type: whole ones, and parts of one."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_dynamo.aws.observe.capacity import InstanceSizes
from tests.unit.aws.fake_aws import fake_aws


@pytest.mark.parametrize(
    ("gpus", "devices"),
    [
        ([{"Count": 4}], 4),
        ([{"Count": 0, "LogicalGpuCount": 1, "GpuPartitionSize": 0.125}], 1),
        ([{"Count": 8, "LogicalGpuCount": 8, "GpuPartitionSize": 1.0}], 8),
        ([], 0),
    ],
)
async def test_devices_are_counted(gpus: list[dict[str, Any]], devices: int) -> None:
    answer = {
        "InstanceTypes": [
            {
                "InstanceType": "g6f.xlarge",
                "GpuInfo": {"Gpus": gpus},
                "VCpuInfo": {"DefaultVCpus": 4},
                "MemoryInfo": {"SizeInMiB": 16384},
            }
        ]
    }
    aws = fake_aws(ec2={"DescribeInstanceTypes": lambda **_: answer})
    (size,) = await InstanceSizes().of(aws, ["g6f.xlarge"])
    assert size.gpus == devices
