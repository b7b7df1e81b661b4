"""The other AWS APIs: moto in this process, reached through the same port.

EC2 instances are made there with addresses of the loopback network, so that whoever asks EC2 for
a container instance's private IP gets one that answers.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import aiohttp
import boto3
from aiohttp import web
from moto.ec2.models import ec2_backends
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, iam_backends
from moto.server import ThreadedMotoServer
from moto.utilities.utils import get_partition

from ecs_dynamo.local.wire.protocol import ACCOUNT

VPC = "127.1.0.0/16"
_HOP_HEADERS = frozenset({"connection", "transfer-encoding", "content-length", "content-encoding"})


class Moto:
    """A moto server and a client session to it."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._session: aiohttp.ClientSession | None = None
        self._url = ""
        self._subnet: str | None = None

    async def start(self) -> None:
        """Start it in a thread of its own."""
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        await asyncio.to_thread(self._server.start)
        host, port = self._server.get_host_and_port()
        self._url = f"http://{host}:{port}"
        self._session = aiohttp.ClientSession(auto_decompress=False)
        # moto keeps its state in the process: without this, one of an earlier server would be seen.
        async with self._session.post(f"{self._url}/moto-api/reset") as answer:
            answer.raise_for_status()

    async def stop(self) -> None:
        """Stop it."""
        if self._session is not None:
            await self._session.close()
        await asyncio.to_thread(self._server.stop)

    def client(self, service: str) -> Any:
        """A boto3 client straight to moto."""
        return boto3.client(
            service,
            endpoint_url=self._url,
            region_name=self._region,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 (moto takes any)
        )

    async def forward(self, request: web.Request, body: bytes) -> web.Response:
        """Pass a request on as it is."""
        if self._session is None:
            return web.Response(status=503)
        async with self._session.request(
            request.method,
            f"{self._url}{request.rel_url}",
            data=body,
            headers={k: v for k, v in request.headers.items() if k.lower() != "content-length"},
        ) as answer:
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                headers={k: v for k, v in answer.headers.items() if k.lower() not in _HOP_HEADERS},
            )

    async def run_instance(self, address: str, instance_type: str) -> str:
        """An EC2 instance with the private IP ``address``; its id."""
        return await asyncio.to_thread(self._run_instance, address, instance_type)

    def _run_instance(self, address: str, instance_type: str) -> str:
        ec2 = self.client("ec2")
        if self._subnet is None:
            vpc = ec2.create_vpc(CidrBlock=VPC)["Vpc"]["VpcId"]
            self._subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=VPC)["Subnet"]["SubnetId"]
        made = ec2.run_instances(
            ImageId="ami-12c6146b",
            MinCount=1,
            MaxCount=1,
            InstanceType=instance_type,
            SubnetId=self._subnet,
            PrivateIpAddress=address,
        )
        return str(made["Instances"][0]["InstanceId"])

    async def terminate_instance(self, instance_id: str) -> None:
        """End an EC2 instance."""
        ec2 = self.client("ec2")
        await asyncio.to_thread(lambda: ec2.terminate_instances(InstanceIds=[instance_id]))

    def forget_instance(self, instance_id: str) -> None:
        """EC2 knows it no more, as usually an hour after it was terminated (EC2 API reference,
        DescribeInstances)."""
        backend = ec2_backends[ACCOUNT][self._region]
        for reservation in list(backend.reservations.values()):
            reservation.instances = [i for i in reservation.instances if i.id != instance_id]

    def readdress(self, instance_id: str, address: str) -> None:
        """Have EC2 tell another private IP of an instance: moto's own would reach nothing."""
        interface = ec2_backends[ACCOUNT][self._region].get_instance(instance_id).nics[0]
        interface.private_ip_address = address
        interface.private_ip_addresses[0]["PrivateIpAddress"] = address

    def offer_managed_policies(self, operation: str, body: bytes) -> None:
        """Let IAM have the policies that AWS manages, before a call that may ask for one.

        moto holds them as text that takes a second to read, which most users never need.
        """
        iam = iam_backends[ACCOUNT][get_partition(self._region)]
        asked = operation == "ListPolicies" or b"aws%3Apolicy" in body or b"aws:policy" in body
        if not asked or iam.aws_managed_policies:
            return
        iam.aws_managed_policies = [
            AWSManagedPolicy.from_data(name, ACCOUNT, self._region, data)
            for name, data in json.loads(aws_managed_policies_data).items()
        ]
        iam.managed_policies.update({p.arn: p for p in iam.aws_managed_policies})

    async def secret(self, reference: str) -> str:
        """The value behind a container's ``valueFrom``. LookupError where there is none."""
        return await asyncio.to_thread(self._secret, reference)

    def _secret(self, reference: str) -> str:
        try:
            if ":secretsmanager:" in reference:
                # arn:...:secret:name-suffix[:json-key:stage:version]
                parts = reference.split(":")
                key, stage, version = [*parts[7:], "", "", ""][:3]
                asked = {"VersionStage": stage, "VersionId": version}
                value = self.client("secretsmanager").get_secret_value(
                    SecretId=":".join(parts[:7]), **{n: v for n, v in asked.items() if v}
                )["SecretString"]
                return str(json.loads(value)[key] if key else value)
            # The ARN of a top-level parameter does not tell ``key`` from ``/key``.
            name = reference.split(":parameter/", 1)[-1] if ":ssm:" in reference else reference
            if name == reference:
                asked_names = [name]
            else:
                asked_names = [f"/{name}"] if "/" in name else [name, f"/{name}"]
            answer = self.client("ssm").get_parameters(Names=asked_names, WithDecryption=True)
            return str(answer["Parameters"][0]["Value"])
        except Exception as error:
            raise LookupError(f"unable to pull secrets: {error}") from None
