"""doctor over the local stack: what is missing is found, what is there is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiobotocore.session import AioSession

from tests.integration.stack import REGION, Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


async def test_what_is_missing_is_found_and_then_fine(stack: Stack) -> None:
    code, out, err = await stack.cli("doctor", "-f", str(stack.graph_file), "--json")
    assert code == 1, err
    found = {(f["check"], f["severity"]): f for f in json.loads(out)}
    for check in ("roles", "subnets", "security groups"):
        assert (check, "error") in found, out
        assert found[check, "error"]["remedy"]
    for check in ("credentials", "clusters", "gpus", "clock"):
        assert (check, "ok") in found, out

    made: Any = {"endpoint_url": stack.url, "region_name": REGION}
    made |= {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    session = AioSession()
    async with session.create_client("ec2", **made) as ec2:
        vpc = (await ec2.create_vpc(CidrBlock="10.20.0.0/16"))["Vpc"]["VpcId"]
        subnet = (await ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.1.0/24"))["Subnet"][
            "SubnetId"
        ]
        group = (await ec2.create_security_group(GroupName="d", Description="d", VpcId=vpc))[
            "GroupId"
        ]
        rule = {
            "IpProtocol": "tcp",
            "FromPort": 1,
            "ToPort": 65535,
            "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
        }
        await ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    async with session.create_client("iam", **made) as iam:
        role = await iam.create_role(RoleName="ecsTaskExecutionRole", AssumeRolePolicyDocument="{}")
    try:
        stack.edit(lambda d: d.update(network={"subnets": [subnet], "securityGroups": [group]}))
        code, out, err = await stack.cli("doctor", "-f", str(stack.graph_file))
        assert code == 0, out + err
        assert "no default route" in out
        assert role["Role"]["RoleName"] in out
    finally:
        async with session.create_client("iam", **made) as iam:
            await iam.delete_role(RoleName="ecsTaskExecutionRole")
