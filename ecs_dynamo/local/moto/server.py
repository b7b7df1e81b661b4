"""A moto server in this process, for the AWS APIs other than ECS.

EC2 instances are created there with loopback addresses, so that a client which asks EC2 for the
private IP address of a container instance can connect to it.
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


class MotoServer:
    """A moto server, and clients of it."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._session: aiohttp.ClientSession | None = None
        self._url = ""
        self._subnet: str | None = None

    async def start(self) -> None:
        """Start the server in a thread."""
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        await asyncio.to_thread(self._server.start)
        host, port = self._server.get_host_and_port()
        self._url = f"http://{host}:{port}"
        self._session = aiohttp.ClientSession(auto_decompress=False)
        # moto's state belongs to the process, so the state of an earlier server is discarded.
        async with self._session.post(f"{self._url}/moto-api/reset") as answer:
            answer.raise_for_status()

    async def stop(self) -> None:
        """Stop the server."""
        if self._session is not None:
            await self._session.close()
        await asyncio.to_thread(self._server.stop)

    def client(self, service: str) -> Any:
        """Return a boto3 client that calls moto directly."""
        return boto3.client(
            service,
            endpoint_url=self._url,
            region_name=self._region,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 (moto accepts any key)
        )

    async def forward(self, request: web.Request, body: bytes) -> web.Response:
        """Forward a request to moto unchanged, and return its answer."""
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
        """Launch an EC2 instance with the private IP address ``address``, and return its id."""
        return await asyncio.to_thread(self._run_instance, address, instance_type)

    def _run_instance(self, address: str, instance_type: str) -> str:
        ec2 = self.client("ec2")
        if self._subnet is None:
            vpc = ec2.create_vpc(CidrBlock=VPC)["Vpc"]["VpcId"]
            self._subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=VPC)["Subnet"]["SubnetId"]
        answer = ec2.run_instances(
            ImageId="ami-12c6146b",
            MinCount=1,
            MaxCount=1,
            InstanceType=instance_type,
            SubnetId=self._subnet,
            PrivateIpAddress=address,
        )
        return str(answer["Instances"][0]["InstanceId"])

    async def terminate_instance(self, instance_id: str) -> None:
        """Terminate an EC2 instance."""
        ec2 = self.client("ec2")
        await asyncio.to_thread(lambda: ec2.terminate_instances(InstanceIds=[instance_id]))

    def forget_instance(self, instance_id: str) -> None:
        """Remove an instance from EC2, as happens about an hour after its termination (EC2 API
        reference, DescribeInstances)."""
        backend = ec2_backends[ACCOUNT][self._region]
        for reservation in list(backend.reservations.values()):
            reservation.instances = [i for i in reservation.instances if i.id != instance_id]

    def set_private_address(self, instance_id: str, address: str) -> None:
        """Replace the private IP address that moto assigned, which cannot be connected to."""
        interface = ec2_backends[ACCOUNT][self._region].get_instance(instance_id).nics[0]
        interface.private_ip_address = address
        interface.private_ip_addresses[0]["PrivateIpAddress"] = address

    def load_managed_policies(self, operation: str, body: bytes) -> None:
        """Load the policies that AWS manages into IAM, before a call that may need one.

        moto has them as JSON text that takes about a second to parse, which most sessions never
        need.
        """
        iam = iam_backends[ACCOUNT][get_partition(self._region)]
        needs_policies = (
            operation == "ListPolicies" or b"aws%3Apolicy" in body or b"aws:policy" in body
        )
        if not needs_policies or iam.aws_managed_policies:
            return
        iam.aws_managed_policies = [
            AWSManagedPolicy.from_data(name, ACCOUNT, self._region, data)
            for name, data in json.loads(aws_managed_policies_data).items()
        ]
        iam.managed_policies.update({p.arn: p for p in iam.aws_managed_policies})

    async def secret(self, reference: str) -> str:
        """Return the value that a container's ``valueFrom`` refers to.

        Raises LookupError if it does not exist.
        """
        return await asyncio.to_thread(self._secret, reference)

    def _secret(self, reference: str) -> str:
        try:
            if ":secretsmanager:" in reference:
                # arn:...:secret:name-suffix[:json-key:stage:version]
                parts = reference.split(":")
                key, stage, version = [*parts[7:], "", "", ""][:3]
                options = {"VersionStage": stage, "VersionId": version}
                value = self.client("secretsmanager").get_secret_value(
                    SecretId=":".join(parts[:7]), **{n: v for n, v in options.items() if v}
                )["SecretString"]
                return str(json.loads(value)[key] if key else value)
            # The ARN of a top-level parameter is the same for ``key`` and ``/key``.
            name = reference.split(":parameter/", 1)[-1] if ":ssm:" in reference else reference
            if name == reference:
                names = [name]
            else:
                names = [f"/{name}"] if "/" in name else [name, f"/{name}"]
            answer = self.client("ssm").get_parameters(Names=names, WithDecryption=True)
            return str(answer["Parameters"][0]["Value"])
        except Exception as error:
            raise LookupError(f"unable to pull secrets: {error}") from None
