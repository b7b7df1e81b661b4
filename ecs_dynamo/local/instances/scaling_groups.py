"""Auto Scaling groups: their instances join the cluster that their user data names, as on AWS.

The groups are in moto. After each call that may have changed them, their instances are compared
with the container instances: new instances boot and register, and terminated ones are removed. The
resources of an instance are those of its type. Each instance gets a loopback address, so that tasks
in host mode on it can be reached.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from ecs_dynamo.local.moto.server import MotoServer
from ecs_dynamo.local.placement.provider_strategy import instances_needed
from ecs_dynamo.local.placement.resources import RemainingResources, requested_resources
from ecs_dynamo.local.state.entities import Provider, Task
from ecs_dynamo.local.state.store import State

_log = logging.getLogger(__name__)

_CLUSTER = re.compile(r"ECS_CLUSTER=['\"]?([\w-]+)")
_ATTRIBUTES = re.compile(r"ECS_INSTANCE_ATTRIBUTES='?(\{[^}]*\})")
REGISTERED_SHARE = 0.95
"""The share of an instance's memory that it registers; the kernel reserves the rest."""


@dataclass(frozen=True, slots=True)
class GroupInstance:
    """An instance of a group in moto."""

    ec2_id: str
    scaling_group: str
    instance_type: str
    zone: str
    user_data: str


@dataclass(frozen=True, slots=True)
class InstanceSize:
    """The resources that instances of a type register: CPU units, memory in MiB, and GPUs."""

    cpu: int
    memory: int
    gpus: int


class ScalingGroups:
    """Synchronises container instances with Auto Scaling groups, and scales the groups.

    ``remove`` removes a container instance by its ARN, and ``on_change`` is called after instances
    have registered.
    """

    def __init__(
        self,
        state: State,
        moto: MotoServer,
        on_change: Callable[[], None],
        remove: Callable[[str], Awaitable[None]],
    ) -> None:
        self._state = state
        self._moto = moto
        self._on_change = on_change
        self._remove = remove
        self._sizes: dict[str, InstanceSize] = {}
        self._lock = asyncio.Lock()
        self._jobs: set[asyncio.Task[None]] = set()
        self.boot_seconds = 0.0
        """How long a new instance takes to register."""

    def request_sync(self) -> None:
        """Begin to synchronise, since the groups may have changed."""
        self._run(self._sync())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        job = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def close(self) -> None:
        """Cancel all work in progress."""
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    async def _sync(self) -> None:
        try:
            async with self._lock:
                await self._sync_instances()
        except Exception:
            _log.exception("Auto Scaling groups could not be read")

    async def _sync_instances(self) -> None:
        known_ids = {i.ec2_id for i in self._state.instances.values()}
        existing = await asyncio.to_thread(self._group_instances, known_ids)
        existing_ids = {i.ec2_id for i in existing}
        for instance in list(self._state.instances.values()):
            if instance.scaling_group is not None and instance.ec2_id not in existing_ids:
                await self._remove(instance.arn)
        new = [i for i in existing if i.ec2_id not in known_ids and _CLUSTER.search(i.user_data)]
        if new and self.boot_seconds:
            await asyncio.sleep(self.boot_seconds)
        for group_instance in new:
            await self._register(group_instance)
        if new:
            self._on_change()

    async def _register(self, instance: GroupInstance) -> None:
        state = self._state
        match = _CLUSTER.search(instance.user_data)
        cluster = match[1] if match else ""
        if cluster not in state.clusters:
            return
        size = await self.size(instance.instance_type)
        address = state.addresses.instance()
        await asyncio.to_thread(self._moto.set_private_address, instance.ec2_id, address)
        attributes = _ATTRIBUTES.search(instance.user_data)
        state.register_instance(
            cluster,
            ec2_id=instance.ec2_id,
            address=address,
            instance_type=instance.instance_type,
            zone=instance.zone,
            cpu=size.cpu,
            memory=size.memory,
            gpus=size.gpus,
            attributes=json.loads(attributes[1]) if attributes else {},
            scaling_group=instance.scaling_group,
        )

    def _group_instances(self, known_ids: set[str]) -> list[GroupInstance]:
        scaling, ec2 = self._moto.client("autoscaling"), self._moto.client("ec2")
        instances: list[GroupInstance] = []
        for group in scaling.describe_auto_scaling_groups()["AutoScalingGroups"]:
            for raw in group.get("Instances", ()):
                ec2_id = raw["InstanceId"]
                instances.append(
                    GroupInstance(
                        ec2_id=ec2_id,
                        scaling_group=group["AutoScalingGroupName"],
                        instance_type=raw["InstanceType"],
                        zone=raw["AvailabilityZone"],
                        user_data="" if ec2_id in known_ids else self._user_data(ec2, ec2_id),
                    )
                )
        return instances

    @staticmethod
    def _user_data(ec2: Any, ec2_id: str) -> str:
        answer = ec2.describe_instance_attribute(InstanceId=ec2_id, Attribute="userData")
        return base64.b64decode(answer.get("UserData", {}).get("Value", "")).decode()

    async def size(self, instance_type: str) -> InstanceSize:
        """Return the resources that instances of a type register."""
        if instance_type not in self._sizes:
            ec2 = self._moto.client("ec2")
            answer = await asyncio.to_thread(
                lambda: ec2.describe_instance_types(InstanceTypes=[instance_type])
            )
            raw = answer["InstanceTypes"][0]
            self._sizes[instance_type] = InstanceSize(
                raw["VCpuInfo"]["DefaultVCpus"] * 1024,
                int(raw["MemoryInfo"]["SizeInMiB"] * REGISTERED_SHARE),
                sum(g["Count"] for g in raw.get("GpuInfo", {}).get("Gpus", ())),
            )
        return self._sizes[instance_type]

    # Managed scaling ----------------------------------------------------------------------------

    def scale_out(self) -> None:
        """Begin to add the instances that tasks waiting for managed scaling need."""
        for provider in self._state.providers.values():
            scalable = provider.managed_scaling and provider.scaling_group
            if scalable and self._waiting_tasks(provider) and not self._lock.locked():
                self._run(self._scale_out(provider))

    def _waiting_tasks(self, provider: Provider) -> list[Task]:
        return [
            t
            for t in self._state.tasks.values()
            if t.awaiting_capacity and t.capacity_provider == provider.name and t.alive
        ]

    async def _scale_out(self, provider: Provider) -> None:
        async with self._lock:
            requests = [
                requested_resources(t.definition.content, t.definition.network_mode)
                for t in self._waiting_tasks(provider)
            ]
            group = await asyncio.to_thread(self._group, provider.scaling_group or "")
            registered = sum(
                i.scaling_group == provider.scaling_group for i in self._state.instances.values()
            )
            if group is None or not requests or registered < group["DesiredCapacity"]:
                return
            size = await self.size(await asyncio.to_thread(self._instance_type, group))
            new_instance = RemainingResources(
                "", size.cpu, size.memory, size.gpus, frozenset(), total_gpus=size.gpus
            )
            limit = group["MaxSize"] - group["DesiredCapacity"]
            count = instances_needed(requests, new_instance, limit)
            if count <= 0:
                return
            client = self._moto.client("autoscaling")
            await asyncio.to_thread(
                lambda: client.set_desired_capacity(
                    AutoScalingGroupName=provider.scaling_group,
                    DesiredCapacity=group["DesiredCapacity"] + count,
                )
            )
        self.request_sync()

    def _group(self, name: str) -> Any:
        client = self._moto.client("autoscaling")
        answer = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        return next(iter(answer["AutoScalingGroups"]), None)

    def _instance_type(self, group: Any) -> str:
        template = group["LaunchTemplate"]
        answer = self._moto.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=template["LaunchTemplateId"],
            Versions=[template.get("Version", "$Default")],
        )
        return str(answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]["InstanceType"])
