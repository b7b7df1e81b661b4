"""Auto Scaling groups on the stack, created the way a user creates them."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import boto3


class Scaling:
    """EC2 and Auto Scaling, used through boto3 as a user does."""

    def __init__(self, url: str) -> None:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        self._clients = {
            name: boto3.client(name, endpoint_url=url, region_name="us-east-1", **keys)
            for name in ("ec2", "autoscaling")
        }

    async def call(self, service: str, operation: str, **parameters: Any) -> Any:
        return await asyncio.to_thread(getattr(self._clients[service], operation), **parameters)

    async def group(
        self,
        name: str,
        *,
        cluster: str = "main",
        size: int = 0,
        max_size: int = 4,
        instance_type: str = "g5.xlarge",
        user_data: str = "",
    ) -> str:
        """Create a launch template and a group whose instances join ``cluster``; return its ARN."""
        script = f"#!/bin/bash\necho ECS_CLUSTER={cluster} >> /etc/ecs/ecs.config\n{user_data}"
        await self.call(
            *("ec2", "create_launch_template"),
            LaunchTemplateName=name,
            LaunchTemplateData={
                "ImageId": "ami-12c6146b",
                "InstanceType": instance_type,
                "UserData": base64.b64encode(script.encode()).decode(),
            },
        )
        await self.call(
            *("autoscaling", "create_auto_scaling_group"),
            AutoScalingGroupName=name,
            MinSize=0,
            MaxSize=max_size,
            DesiredCapacity=size,
            LaunchTemplate={"LaunchTemplateName": name},
            AvailabilityZones=["us-east-1a"],
        )
        return str((await self.describe(name))["AutoScalingGroupARN"])

    async def describe(self, name: str) -> Any:
        """Describe the group."""
        answer = await self.call(
            "autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[name]
        )
        return answer["AutoScalingGroups"][0]
