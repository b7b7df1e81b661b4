"""A local ECS under third-party clients: the AWS CLI and boto3."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.runtime import ImageTable

AWS_CLI = Path(sys.executable).parent / "aws"
BUSYBOX = 'images: [{match: "busybox"}]'


def container(name: str = "app", command: str = "exec sleep 600", **members: Any) -> dict[str, Any]:
    """Return a container definition that runs a shell command."""
    return {
        "name": name,
        "image": "busybox",
        "memory": 64,
        "stopTimeout": 2,
        "entryPoint": ["sh", "-c"],
        "command": [command],
        **members,
    }


class EcsClient:
    """The AWS CLI and boto3, connected to one local ECS."""

    def __init__(self, local: LocalEcs) -> None:
        self.local = local
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        self.boto = boto3.client(
            "ecs",
            endpoint_url=local.endpoint_url,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}),
            **keys,
        )

    async def cli(self, *arguments: str, ok: bool = True) -> Any:
        """Run `aws ecs ...`; return its JSON, or its message if it fails."""
        process = await asyncio.create_subprocess_exec(
            str(AWS_CLI),
            "--endpoint-url",
            self.local.endpoint_url,
            "ecs",
            *arguments,
            env={
                "PATH": os.environ["PATH"],
                "AWS_ACCESS_KEY_ID": "x",
                "AWS_SECRET_ACCESS_KEY": "x",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_PAGER": "",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert (process.returncode == 0) == ok, err.decode()
        if not ok:
            return err.decode()
        return json.loads(out) if out.strip() else None

    async def call(self, operation: str, **parameters: Any) -> Any:
        """Make a boto3 call outside of the event loop that serves it."""
        return await asyncio.to_thread(getattr(self.boto, operation), **parameters)

    async def wait(self, waiter: str, **parameters: Any) -> None:
        """Run one of boto3's own waiters."""
        boto_waiter = self.boto.get_waiter(waiter)
        await asyncio.to_thread(
            boto_waiter.wait, WaiterConfig={"Delay": 1, "MaxAttempts": 40}, **parameters
        )

    async def error_of(self, operation: str, **parameters: Any) -> tuple[str, str]:
        """Return code and message of a call's error."""
        with pytest.raises(ClientError) as caught:
            await self.call(operation, **parameters)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]


@asynccontextmanager
async def ecs_client(
    tmp_path: Path, *, instances: int = 1, gpus: int = 1, images: str = BUSYBOX
) -> AsyncIterator[EcsClient]:
    """Run a local ECS with a cluster ``main``; yield its clients.

    ``gpus`` is the number of GPU slots of each instance, and ``images`` the image table.
    """
    table = tmp_path / "images.yaml"
    table.write_text(images)
    async with LocalEcs(images=ImageTable.load(table), directory=tmp_path / "ecs") as local:
        local.create_cluster("main")
        for _ in range(instances):
            await local.add_instance("main", gpus=gpus)
        yield EcsClient(local)
